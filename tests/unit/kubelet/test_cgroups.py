"""The tree of cgroups, on folders that look like v1's and v2's."""

from pathlib import Path

import pytest
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kernel.cgroups import Hierarchy
from pybernetes.kubelet.cgroups import PodCgroups, TreeRules
from pybernetes.kubelet.resources import CpuRules

V1 = ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes", "pids.max")
V2 = ("cpu.weight", "cpu.max", "memory.max", "pids.max")


class Files:
    """A mounted hierarchy whose groups have the controllers' files as soon as they are made."""

    def __init__(self, root: Path, version: int, rules: TreeRules = TreeRules()) -> None:  # noqa: B008
        self.root = root
        names = V1 if version == 1 else V2
        # The kernel makes a group's files with it; here they are made for the groups that the test is about.
        for group in ("kubepods", "kubepods/burstable", "kubepods/besteffort", "kubepods/burstable/poduid-1", "system"):
            folder = root / group
            folder.mkdir(parents=True, exist_ok=True)
            for name in (*names, "cgroup.controllers", "cgroup.subtree_control"):
                (folder / name).touch()
        (root / "cgroup.controllers").touch()
        self.tree = PodCgroups("/", (Hierarchy(root, version, ()),), rules)

    def read(self, group: str) -> dict[str, str]:
        found = {f.name: f.read_text() for f in (self.root / group).iterdir() if f.is_file()}
        return {name: text for name, text in found.items() if text}


def burstable() -> core_v1.Pod:
    wants = core_v1.ResourceRequirements(limits={"cpu": "1", "memory": "64Mi"}, requests={"cpu": "500m"})
    return pod(container(resources=wants))


def test_a_pods_limits_are_written_in_v1s_files(tmp_path: Path) -> None:
    files = Files(tmp_path, 1, TreeRules(pids=100))
    files.tree.create(burstable())
    assert files.read("kubepods/burstable/poduid-1") == {
        "cpu.shares": "512",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "100000",
        "memory.limit_in_bytes": str(64 << 20),
        "pids.max": "100",
    }


def test_a_pods_limits_are_written_in_v2s_files(tmp_path: Path) -> None:
    files = Files(tmp_path, 2, TreeRules(CpuRules(quota=False)))
    files.tree.create(burstable())
    assert files.read("kubepods/burstable/poduid-1") == {
        "cpu.weight": "59",
        "cpu.max": "max 100000",
        "memory.max": str(64 << 20),
    }


def test_the_burstable_have_together_what_they_request(tmp_path: Path) -> None:
    files = Files(tmp_path, 1)
    files.tree.update_classes([burstable(), burstable(), pod()])
    assert files.read("kubepods/burstable") == {"cpu.shares": "1024"}
    assert files.read("kubepods/besteffort") == {"cpu.shares": "2"}
    files.tree.update_classes([])
    assert files.read("kubepods/burstable") == {"cpu.shares": "2"}


def test_all_pods_together_are_held_to_what_the_node_has_for_them(tmp_path: Path) -> None:
    files = Files(tmp_path, 1)
    files.tree.enforce({"cpu": 1500, "memory": 1 << 30, "pid": 1000})
    assert files.read("kubepods") == {"cpu.shares": "1536", "memory.limit_in_bytes": str(1 << 30), "pids.max": "1000"}
    assert files.tree.memory_limit("/kubepods") == 1 << 30


def test_a_reservation_needs_its_group_to_be_there(tmp_path: Path) -> None:
    files = Files(tmp_path, 1)
    files.tree.enforce_on("/system", {"cpu": 500})
    assert files.read("system") == {"cpu.shares": "512"}
    with pytest.raises(FileNotFoundError, match="cgroup '/nowhere' does not exist"):
        files.tree.enforce_on("/nowhere", {"cpu": 500})
