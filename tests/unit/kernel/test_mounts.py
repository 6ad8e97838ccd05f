"""The mount table and the control group hierarchies that it names."""

from pathlib import Path

import pytest

from pybernetes.kernel import mounts
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
    assert (last.target, last.kind, last.root, last.shared) == ("/mnt/with space", "tmpfs", "/sub", False)


def test_shared_mounts_are_known() -> None:
    assert [mount.shared for mount in parse_mountinfo(HYBRID)] == [False, True, False, False, False]


@pytest.mark.root
def test_mounts_are_found_where_they_are_also_of_files(tmp_path: Path) -> None:
    for name in ("folder", "file", "plain"):
        (tmp_path / name).touch() if name == "file" else (tmp_path / name).mkdir()
    mounts.mount("tmpfs", tmp_path / "folder", "tmpfs")
    mounts.bind("/etc/passwd", tmp_path / "file")
    (tmp_path / "folder/below").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    try:
        names = ("folder", "file", "plain", "folder/below", "link", "none")
        assert [mounts.is_mount(tmp_path / name) for name in names] == [True, True, False, False, False, False]
    finally:
        mounts.unmount_below(tmp_path)
    assert not mounts.is_mount(tmp_path / "folder")


@pytest.mark.root
def test_a_folder_of_a_private_mount_is_shared_once(tmp_path: Path) -> None:
    mounts.mount("tmpfs", tmp_path, "tmpfs")
    mounts.propagate(tmp_path, mounts.PRIVATE)
    (tmp_path / "root").mkdir()
    try:
        for _ in range(2):
            mounts.share(tmp_path / "root")
        assert [m.shared for m in mounts.table() if m.target == str(tmp_path / "root")] == [True]
    finally:
        mounts.unmount_below(tmp_path)


@pytest.mark.root
def test_what_a_bind_shows_of_elsewhere_stays_mounted_there(tmp_path: Path) -> None:
    """As a local volume on whose path somebody has mounted a disk meanwhile."""
    outside, inside = tmp_path / "outside", tmp_path / "pod" / "v"
    outside.mkdir()
    inside.mkdir(parents=True)
    mounts.bind(outside, outside)
    mounts.propagate(outside, mounts.SHARED)
    mounts.bind(outside, inside)
    (outside / "disk").mkdir()
    mounts.mount("tmpfs", outside / "disk", "tmpfs")
    try:
        assert mounts.is_mount(inside / "disk")
        mounts.unmount_below(tmp_path / "pod")
        assert mounts.is_mount(outside / "disk")
        assert not mounts.is_mount(inside)
    finally:
        mounts.unmount_below(tmp_path)


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
