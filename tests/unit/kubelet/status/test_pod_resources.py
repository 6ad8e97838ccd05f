"""What a Pod has as a whole."""

from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types.core_v1 import ContainerStatus, PodStatus, ResourceRequirements
from pybernetes.kubelet.status.pod_resources import allocated, applied

SMALL = ResourceRequirements(requests={"cpu": "100m", "memory": "64Mi"}, limits={"cpu": "0.5", "memory": "128Mi"})


def test_a_pod_that_says_nothing_for_itself_has_the_sum_of_its_containers() -> None:
    wanted = pod(container("a", resources=SMALL), container("b", resources=SMALL), overhead={"cpu": "1"})
    assert allocated(wanted) == {"cpu": "200m", "memory": "128Mi"}
    assert applied(wanted) == ResourceRequirements(
        requests={"cpu": "200m", "memory": "128Mi"}, limits={"cpu": "1", "memory": "256Mi"}
    )


def test_no_limit_holds_where_one_container_has_none() -> None:
    half = ResourceRequirements(requests={"cpu": "100m"}, limits={"memory": "1000"})
    found = applied(pod(container("a", resources=SMALL), container("b", resources=half)))
    assert found is not None
    assert found.limits == {"memory": "134218728"}


def test_what_is_said_of_the_pod_stands_in_its_own_words() -> None:
    own = ResourceRequirements(requests={"cpu": "0.5"}, limits={"memory": "0.5Gi"})
    wanted = pod(container(resources=SMALL), resources=own)
    assert allocated(wanted) == {"cpu": "0.5", "memory": "64Mi"}
    found = applied(wanted)
    assert found is not None
    assert found.limits == {"cpu": "500m", "memory": "0.5Gi"}


def test_a_pod_that_asks_for_nothing_has_nothing() -> None:
    assert allocated(pod()) == {}
    assert applied(pod()) is None


def test_what_containers_have_beyond_the_spec_does_not_count() -> None:
    wanted = pod(container(resources=SMALL))
    held = PodStatus(containerStatuses=(ContainerStatus(name="c", allocatedResources={"cpu": "9"}),))
    wanted = type(wanted)(metadata=wanted.metadata, spec=wanted.spec, status=held)
    assert allocated(wanted)["cpu"] == "100m"
