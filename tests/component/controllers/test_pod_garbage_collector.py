"""Pods that nobody else removes, with the real API server."""

from typing import Any

from tests.component.controllers.world import World, simulated, world
from tests.exposition import read

from pybernetes.api.errors import ApiError, Forbidden
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers.runtime import Config
from pybernetes.wire.http import Request

HOLD = "example.com/hold"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
FORCED = "pod_gc_collector_force_delete_pods_total"
REFUSED = "pod_gc_collector_force_delete_pod_errors_total"


async def pod(w: World, name: str, phase: str = "", reason: str = "", hold: bool = False, **spec: Any) -> core_v1.Pod:
    meta = {"finalizers": [HOLD]} if hold else {}
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 30, **spec}
    made = await w.create(core_v1.Pod, name, metadata=meta, spec=spec)
    if phase:
        status = {"phase": phase, **({"reason": reason} if reason else {})}
        await w.client.of(core_v1.Pod).patch_raw(key_of(made), {"status": status}, subresource="status")
    return made


async def node(w: World, name: str, *taints: str, ready: str = "False") -> None:
    """One without a kubelet."""
    made = await w.create(core_v1.Node, name, spec={"taints": [{"key": k, "effect": "NoExecute"} for k in taints]})
    conditions = {"conditions": [{"type": "Ready", "status": ready}]}
    await w.client.of(core_v1.Node).patch_raw(key_of(made), {"status": conditions}, subresource="status")


async def stays(w: World) -> set[str]:
    """Names of Pods that nobody has asked to go."""
    return {p.metadata.name for p in await w.pods()}


def counted(w: World, name: str, reason: str) -> float:
    family = read(w.manager.metrics()).get(name)
    labels = (("namespace", "default"), ("reason", reason))
    return family.series.get((name, labels), 0) if family is not None else 0


def few(most: int) -> Any:
    return world(nodes=0, config=Config(terminated_pod_gc_threshold=most), only=("serviceaccount", "podgc"))


@simulated
async def test_evicted_pods_go_first_then_the_oldest():
    async with few(2) as w:
        await node(w, "n", ready="True")
        await pod(w, "a", nodeName="n", phase="Running")
        for name, reason in (("b", ""), ("c", ""), ("d", "Evicted")):
            await pod(w, name, "Failed", reason, nodeName="n")
            await w.clock.sleep(1.5)
        assert await stays(w) == {"a", "b", "c"}
        await pod(w, "e", "Succeeded", nodeName="n")
        await w.clock.sleep(1)
        assert await stays(w) == {"a", "c", "e"}
        assert counted(w, FORCED, "terminated") == 2


@simulated
async def test_of_pods_of_one_second_the_names_say_which_go():
    async with few(2) as w:
        await node(w, "n", ready="True")
        for name in ("d", "b", "a", "c"):
            await pod(w, name, nodeName="n")
        for name in ("c", "a", "d", "b"):
            await w.client.of(core_v1.Pod).patch_raw(
                key_of(await w.get(core_v1.Pod, name)), {"status": {"phase": "Failed"}}, subresource="status"
            )
        await w.clock.sleep(1)
        assert await stays(w) == {"c", "d"}


@simulated
async def test_pods_that_only_wait_for_finalizers_count_and_are_not_told_again():
    async with few(1) as w:
        await node(w, "n", ready="True")
        for name in ("a", "b"):
            await pod(w, name, "Succeeded", hold=True, nodeName="n")
            await w.clock.sleep(1.5)
        assert await stays(w) == set()
        told = [line for line in w.wire.writes if line.startswith("DELETE")]
        assert len(told) == 2
        await pod(w, "c", "Succeeded", nodeName="n")
        await w.clock.sleep(600)
        assert {p.metadata.name for p in await w.all(core_v1.Pod)} == {"a", "b"}
        assert len([line for line in w.wire.writes if line.startswith("DELETE")]) == 3


@simulated
async def test_an_ended_pod_that_goes_slowly_goes_at_once():
    async with few(1) as w:
        await node(w, "n", ready="True")
        await pod(w, "a", "Running", hold=True, nodeName="n")
        await w.delete(core_v1.Pod, "a")
        assert (await w.get(core_v1.Pod, "a")).metadata.deletionGracePeriodSeconds == 30
        for name in ("a", "b"):
            made = await w.get(core_v1.Pod, "a") if name == "a" else await pod(w, name, nodeName="n")
            await w.client.of(core_v1.Pod).patch_raw(
                key_of(made), {"status": {"phase": "Succeeded"}}, subresource="status"
            )
        await w.clock.sleep(1)
        assert (await w.get(core_v1.Pod, "a")).metadata.deletionGracePeriodSeconds == 0


@simulated
async def test_pods_that_go_from_a_node_out_of_service_fail_and_are_not_disrupted():
    async with few(0) as w:
        await node(w, "out", OUT_OF_SERVICE)
        await node(w, "silent")
        await node(w, "well", OUT_OF_SERVICE, ready="True")
        for name in ("out", "silent", "well"):
            await pod(w, name, "Running", hold=True, nodeName=name)
            await w.delete(core_v1.Pod, name)
        await pod(w, "runs-on", "Running", nodeName="out")
        await w.clock.sleep(5)
        found = {p.metadata.name: p for p in await w.all(core_v1.Pod)}
        phases = {name: p.status.phase for name, p in found.items()}
        assert phases == {"out": "Failed", "silent": "Running", "well": "Running", "runs-on": "Running"}
        assert found["out"].metadata.deletionGracePeriodSeconds == 0
        assert "DisruptionTarget" not in {c.type for c in found["out"].status.conditions}
        assert counted(w, FORCED, "out-of-service") > 0


@simulated
async def test_an_orphan_fails_as_disrupted_before_it_goes():
    async with few(0) as w:
        await pod(w, "orphan", "Running", hold=True, nodeName="gone")
        await w.clock.sleep(45)
        found = await w.get(core_v1.Pod, "orphan")
        assert found.status.phase == "Failed"
        (condition,) = (c for c in found.status.conditions if c.type == "DisruptionTarget")
        assert (condition.status, condition.reason) == ("True", "DeletionByPodGC")
        assert condition.message == "PodGC: node no longer exists"
        told = len(w.wire.writes)
        await w.clock.sleep(600)
        assert len(w.wire.writes) == told


@simulated
async def test_a_deletion_that_is_refused_is_counted():
    def refuse(request: Request) -> ApiError | None:
        return Forbidden("no") if request.method == "DELETE" else None

    async with few(0) as w:
        w.wire.refuse = refuse
        await pod(w, "waits", hold=True)
        await w.delete(core_v1.Pod, "waits")
        await w.clock.sleep(1)
        assert (counted(w, FORCED, "unscheduled"), counted(w, REFUSED, "unscheduled")) == (1, 1)
        assert (await w.get(core_v1.Pod, "waits")).status.phase == "Failed"
        w.wire.refuse = lambda request: None
        loop = w.manager.loops["pod-garbage-collector-controller"]
        loop.counters.errors = loop.counters.races  # the refusals were the point
