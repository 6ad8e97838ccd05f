"""Who goes first, and with which words."""

import pytest
from tests.unit.kubelet.pods import named, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.eviction.ranking import ContainerUse, PodUsage, Space, message, order
from pybernetes.kubelet.eviction.signals import Observation
from pybernetes.kubelet.thresholds import Amount, Threshold

MEBI = 1 << 20


def ranked(signal: str, uses: dict[str, PodUsage], *pods: core_v1.Pod, dedicated: bool = False) -> list[str]:
    threshold = Threshold(signal, Amount(1))
    return [p.metadata.name for p in order(pods, uses, threshold, dedicated=dedicated)]


def using(memory: int) -> PodUsage:
    return PodUsage(memory=memory * MEBI)


def test_short_of_memory_those_over_their_request_go_first_then_the_less_important_then_the_larger() -> None:
    pods = (
        named("within", memory="100Mi"),
        named("important", 10, memory="10Mi"),
        named("over", memory="10Mi"),
        named("far-over", memory="10Mi"),
        named("unknown", 100),
    )
    uses = {"within": using(99), "important": using(90), "over": using(20), "far-over": using(30)}
    assert ranked("memory.available", uses, *pods) == ["unknown", "far-over", "over", "important", "within"]
    assert ranked("allocatableMemory.available", uses, *pods)[1] == "far-over"


def test_short_of_processes_the_less_important_go_first_then_those_with_most() -> None:
    uses = {name: PodUsage(processes=n) for name, n in (("few", 2), ("many", 50), ("important", 900))}
    assert ranked("pid.available", uses, named("few"), named("many"), named("important", 1)) == [
        "many",
        "few",
        "important",
    ]


def disk(root: int = 0, logs: int = 0, volume: int = 0) -> PodUsage:
    use = ContainerUse(root=Space(root * MEBI, root), logs=Space(logs * MEBI, logs))
    return PodUsage(containers={"c": use}, volumes={"v": Space(volume * MEBI, volume)})


def test_each_file_system_is_freed_by_those_who_fill_it() -> None:
    pods = (named("writes-root"), named("logs"), named("volume"))
    uses = {"writes-root": disk(root=30), "logs": disk(logs=20), "volume": disk(volume=10)}
    assert ranked("nodefs.available", uses, *pods) == ["writes-root", "logs", "volume"]
    assert ranked("imagefs.available", uses, *pods) == ["writes-root", "logs", "volume"]
    assert ranked("nodefs.available", uses, *pods, dedicated=True) == ["logs", "volume", "writes-root"]
    assert ranked("imagefs.inodesFree", uses, *pods, dedicated=True)[0] == "writes-root"


def test_who_keeps_to_its_request_of_storage_stays_longer() -> None:
    pods = (named("within", **{"ephemeral-storage": "1Gi"}), named("over"))
    uses = {"within": disk(root=500), "over": disk(root=5)}
    assert ranked("nodefs.available", uses, *pods) == ["over", "within"]


def test_a_pod_is_told_what_it_used_and_of_what_there_was_too_little() -> None:
    threshold = Threshold("memory.available", Amount(100 * MEBI))
    observed = {"memory.available": Observation(50 * MEBI, 1 << 30, 0)}
    use = PodUsage(memory=1 << 30, containers={"c": ContainerUse(memory=1 << 30)})
    text, notes = message(named("web", memory="100Mi"), use, (threshold,), observed, "memory")
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi."
        " Container c was using 1Gi, request is 100Mi, has larger consumption of memory. "
    )
    assert notes == {
        "offending_containers": "c",
        "offending_containers_usage": "1Gi",
        "starved_resource": "memory",
    }


def test_a_pod_with_requests_of_its_own_is_told_of_those_too() -> None:
    own = pod(resources=core_v1.ResourceRequirements(requests={"memory": "64Mi"}))
    text, notes = message(own, PodUsage(memory=128 * MEBI), (), {}, "memory")
    assert text == (
        "The node was low on resource: memory."
        " Pod web was using 128Mi, request is 64Mi, has larger consumption of memory. "
    )
    assert (notes["offending_pod"], notes["offending_pod_usage"]) == ("web", "128Mi")


@pytest.mark.parametrize(("signal", "short"), [("nodefs.available", "ephemeral-storage"), ("pid.available", "pids")])
def test_nobody_is_blamed_who_used_no_more_than_its_request(signal: str, short: str) -> None:
    threshold, observed = Threshold(signal, Amount(part=0.1)), {signal: Observation(5, 100, 0)}
    text, notes = message(named("web"), PodUsage(containers={"c": ContainerUse()}), (threshold,), observed, short)
    assert text == f"The node was low on resource: {short}. Threshold quantity: 10, available: 5. "
    assert notes["offending_containers"] == ""
