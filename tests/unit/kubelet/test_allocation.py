"""What Pods were given, and what they have."""

from pathlib import Path

from msgspec.structs import replace
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.allocation import FILE, GROUP, Allocations

NOW, MORE = {"cpu": "100m"}, {"cpu": "200m"}


def asking(requests: dict[str, str], *policies: core_v1.ContainerResizePolicy) -> core_v1.Pod:
    wants = core_v1.ResourceRequirements(requests=requests)
    sidecar = container("s", restartPolicy="Always", resources=wants)
    once = container("init", resources=wants)
    return pod(container(resources=wants, resizePolicy=policies), initContainers=(sidecar, once))


def requests(made: core_v1.Pod) -> dict[str, object]:
    return {c.name: c.resources.requests for c in (*made.spec.containers, *made.spec.initContainers)}


def test_a_pod_keeps_what_it_was_given_whatever_it_asks_for(tmp_path: Path) -> None:
    allocations = Allocations(tmp_path)
    allocations.take_up(asking(NOW))
    more = asking(MORE)
    assert allocations.asks_for_more(more)
    assert requests(allocations.of(more)) == {"c": NOW, "s": NOW, "init": NOW}
    allocations.allocate(more)
    assert allocations.of(more) is more
    assert not allocations.asks_for_more(more)
    unknown = replace(more, metadata=replace(more.metadata, uid="other"))
    assert allocations.of(unknown) is unknown


def test_what_was_given_is_had_when_it_was_applied(tmp_path: Path) -> None:
    allocations = Allocations(tmp_path)
    allocations.take_up(asking(NOW))
    more = asking(MORE)
    assert allocations.unapplied("uid-1") == frozenset()
    allocations.allocate(more)
    assert allocations.unapplied("uid-1") == allocations.in_place(more) == {"c", "s", "init", GROUP}
    assert allocations.running("uid-1")["c"].requests == NOW
    assert allocations.applied(more, {"c", GROUP})
    assert not allocations.applied(more, {"c"})
    assert allocations.unapplied("uid-1") == {"s", "init"}
    assert allocations.running("uid-1")["c"].requests == MORE
    assert requests(allocations.before(more))["c"] == MORE


def test_a_container_that_restarts_for_a_resource_is_not_changed_in_place(tmp_path: Path) -> None:
    allocations = Allocations(tmp_path)
    policy = core_v1.ContainerResizePolicy(resourceName="cpu", restartPolicy="RestartContainer")
    allocations.take_up(asking(NOW, policy))
    more = asking(MORE, policy)
    allocations.allocate(more)
    assert allocations.in_place(more) == {"s", "init", GROUP}
    with_memory = asking({**NOW, "memory": "1Mi"}, policy)
    allocations.allocate(with_memory)
    assert allocations.in_place(with_memory) == {"c", "s", "init", GROUP}


def test_a_kubelet_that_comes_back_knows_what_was_given(tmp_path: Path) -> None:
    allocations = Allocations(tmp_path)
    allocations.take_up(asking(NOW))
    allocations.save("uid-1")  # before its folder is made, there is nothing to remember
    assert not list(tmp_path.iterdir())
    (tmp_path / "pods" / "uid-1").mkdir(parents=True)
    (tmp_path / "pods" / "broken").mkdir(parents=True)
    (tmp_path / "pods" / "broken" / FILE).write_text("{")
    allocations.allocate(asking(MORE))
    allocations.save("uid-1")
    again = Allocations(tmp_path)
    again.load()
    again.take_up(asking({"cpu": "5"}))
    assert requests(again.of(asking({"cpu": "5"})))["c"] == MORE
    assert again.unapplied("uid-1") == {"c", "s", "init", GROUP}
    again.forget("uid-1")
    assert again.unapplied("uid-1") == frozenset()
