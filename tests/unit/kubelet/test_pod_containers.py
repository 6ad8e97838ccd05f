"""Which containers a Pod has."""

from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.pod_containers import containers_of, field_of, find_container

POD = pod(
    container("main"),
    initContainers=(container("first"),),
    ephemeralContainers=(core_v1.EphemeralContainer(name="guest", image="busybox:1", targetContainerName="main"),),
)


def test_init_containers_come_first_and_ephemeral_ones_are_apart() -> None:
    assert [c.name for c in containers_of(POD)] == ["first", "main"]


def test_every_container_is_found_by_its_name_as_an_ordinary_one() -> None:
    assert find_container(POD, "guest") == container("guest")
    assert find_container(POD, "main") == container("main")
    assert find_container(POD, "other") is None
    assert find_container(None, "main") is None


def test_the_list_of_a_container_is_known_by_its_name() -> None:
    fields = [field_of(POD, name) for name in ("first", "main", "guest")]
    assert fields == ["initContainers", "containers", "ephemeralContainers"]
