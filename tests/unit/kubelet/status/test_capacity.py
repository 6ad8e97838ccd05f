"""What a node has, and what Pods may use of it."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.quantity import parse
from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.status.capacity import allocatable, capacity
from pybernetes.kubelet.status.machine import Machine, huge_pages

GI = 2**30
MACHINE = Machine(core_v1.NodeSystemInfo(), 4, 8 * GI, 100 * GI, {"hugepages-2Mi": 0, "hugepages-1Gi": 0})


def of(config: Configuration, machine: Machine = MACHINE) -> tuple[dict[str, str], dict[str, str]]:
    whole = capacity(machine, config)
    return whole, allocatable(whole, config)


def test_by_default_hard_eviction_thresholds_are_kept_free() -> None:
    whole, usable = of(Configuration())
    assert whole == {
        "cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "100Gi",
        "hugepages-2Mi": "0", "hugepages-1Gi": "0",
    }  # fmt: skip
    assert usable["memory"] == "8092Mi"
    assert parse(usable["ephemeral-storage"]).value() == 90 * GI
    assert usable["cpu"] == "4"


def test_reservations_and_thresholds_are_taken_off() -> None:
    config = Configuration(
        system_reserved={"cpu": "500m", "memory": "1Gi", "pid": "100"},
        kube_reserved={"cpu": "250m", "memory": "512Mi", "ephemeral-storage": "10Gi"},
        eviction_hard={"memory.available": "512Mi", "nodefs.available": "10Gi"},
    )
    _, usable = of(config)
    assert usable["cpu"] == "3250m"
    assert parse(usable["memory"]).value() == 6 * GI
    assert parse(usable["ephemeral-storage"]).value() == 80 * GI


def test_reserved_cpus_outrank_reservations_of_cpu() -> None:
    config = Configuration(system_reserved={"cpu": "3"}, reserved_system_cpus="0-1")
    assert of(config)[1]["cpu"] == "2"


def test_huge_pages_are_no_ordinary_memory() -> None:
    machine = Machine(core_v1.NodeSystemInfo(), 4, 8 * GI, GI, {"hugepages-2Mi": GI})
    whole, usable = of(Configuration(eviction_hard={}), machine)
    assert whole["hugepages-2Mi"] == usable["hugepages-2Mi"] == "1Gi"
    assert parse(usable["memory"]).value() == 7 * GI


def test_pods_per_core_bounds_the_number_of_pods() -> None:
    assert of(Configuration(pods_per_core=10))[0]["pods"] == "40"
    assert of(Configuration(pods_per_core=100))[0]["pods"] == "110"


def test_without_isolation_there_is_no_ephemeral_storage() -> None:
    assert "ephemeral-storage" not in of(Configuration(local_storage_capacity_isolation=False))[0]


def test_what_clients_added_can_be_used() -> None:
    assert allocatable({"cpu": "1", "example.com/dongle": "3"}, Configuration())["example.com/dongle"] == "3"


@given(st.integers(0, 64), st.integers(0, 2**40), st.integers(0, 2**44), st.integers(0, 128), st.integers(0, 2**41))
def test_allocatable_is_never_negative_nor_above_the_capacity(
    cpus: int, memory: int, disk: int, reserved_cpus: int, reserved_memory: int
) -> None:
    machine = Machine(core_v1.NodeSystemInfo(), cpus, memory, disk, {"hugepages-2Mi": memory // 2})
    config = Configuration(system_reserved={"cpu": str(reserved_cpus)}, kube_reserved={"memory": str(reserved_memory)})
    whole, usable = of(config, machine)
    assert whole.keys() == usable.keys()
    for name, text in usable.items():
        assert 0 <= parse(text).nanos <= parse(whole[name]).nanos


def test_page_sizes_are_those_of_the_kernel(tmp_path: Path) -> None:
    for size, number in (("2048", 512), ("1048576", 0)):
        folder = tmp_path / f"hugepages-{size}kB"
        folder.mkdir()
        (folder / "nr_hugepages").write_text(f"{number}\n")
    assert huge_pages(tmp_path) == {"hugepages-2Mi": GI, "hugepages-1Gi": 0}
    assert huge_pages(tmp_path / "none") == {}
