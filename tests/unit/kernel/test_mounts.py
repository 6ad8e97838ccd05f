"""The mount table and the control group hierarchies that it names."""

from pathlib import Path

from pybernetes.kernel.cgroups import hierarchies
from pybernetes.kernel.mounts import parse_mountinfo

HYBRID = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/systemd/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
50 27 0:50 /sub /mnt/with\\040space rw master:1 - tmpfs tmp rw
"""


def test_mountinfo_is_read_with_escapes_and_optional_fields() -> None:
    last = list(parse_mountinfo(HYBRID))[-1]
    assert (last.target, last.kind, last.root) == ("/mnt/with space", "tmpfs", "/sub")


def test_hybrid_hierarchies_are_found_with_their_mount_options() -> None:
    found = hierarchies(parse_mountinfo(HYBRID))
    assert [(h.root.name, h.version, h.mount_options) for h in found] == [
        ("cpu,cpuacct", 1, "cpu,cpuacct"),
        ("systemd", 1, "none,name=systemd"),
        ("unified", 2, ""),
    ]


def test_pure_v2_is_one_hierarchy() -> None:
    line = "30 1 0:29 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
    (only,) = hierarchies(parse_mountinfo(line))
    assert (only.root, only.version) == (Path("/sys/fs/cgroup"), 2)
