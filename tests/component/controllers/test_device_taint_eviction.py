"""Pods that use tainted devices, and what DeviceTaintRules say of themselves, with the real API server. Rows of upstream's
device_taint_eviction_test.go.
"""

from typing import Any

import pytest
from tests.component.controllers.world import Mortal, World, controllers, simulated, template, world
from tests.exposition import read

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import ApiError, InternalError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.resource_v1 import DeviceTaintRule, ResourceClaim, ResourceSlice
from pybernetes.wire.http import Request

ASKED = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}
TAINT = {"key": "example.com/broken", "effect": "NoExecute"}
MARKED = "DeviceTaintManagerEviction: Marking for deletion"
CANCELLED = "DeviceTaintManagerEviction: Cancelling deletion"
ONLY = ("*", "-resourceclaim-controller")
"""Claims are the tests' own."""


async def publish(w: World, *taints: dict[str, Any], name: str = "one", generation: int = 1) -> None:
    devices = [{"name": "gpu-0", "taints": taints}, {"name": "gpu-1"}]
    pool = {"name": "pool", "generation": generation, "resourceSliceCount": 1}
    spec = {"driver": "d.example.com", "pool": pool, "nodeName": "node-1", "devices": devices}
    if await w.there(ResourceSlice, name, ""):
        await w.client.of(ResourceSlice).patch_raw(Key("", name), {"spec": spec})
    else:
        await w.create(ResourceSlice, name, "", spec=spec)
    await w.clock.sleep(1)


async def using(
    w: World,
    name: str = "p",
    namespace: str = "default",
    device: str = "gpu-0",
    *,
    bound: bool = True,
    **tolerates: Any,
) -> core_v1.Pod:
    """A Pod with a claim of its name that has a device."""
    if not await w.there(core_v1.Node, "node-1", ""):
        await w.create(core_v1.Node, "node-1")
    await w.create(ResourceClaim, name, namespace, spec=ASKED)
    spec = template()["spec"] | {"resourceClaims": [{"name": "gpu", "resourceClaimName": name}]}
    spec |= {"nodeName": "node-1"} if bound else {"schedulingGates": [{"name": "test/wait"}]}
    made = await w.create(core_v1.Pod, name, namespace, spec=spec)
    result = {"request": "gpu", "driver": "d.example.com", "pool": "pool", "device": device}
    if tolerates:
        result["tolerations"] = [{"operator": "Exists", "effect": "NoExecute", **tolerates}]  # type: ignore[assignment]
    users = [{"resource": "pods", "name": name, "uid": made.metadata.uid}]
    status = {"allocation": {"devices": {"results": [result]}}, "reservedFor": users}
    await w.client.of(ResourceClaim).patch_raw(Key(namespace, name), {"status": status}, subresource="status")
    await w.clock.sleep(1)
    return made


async def rule(w: World, name: str = "broken", effect: str = "NoExecute", **selector: str) -> None:
    spec = {"deviceSelector": {"driver": "d.example.com", **selector}, "taint": {**TAINT, "effect": effect}}
    await w.create(DeviceTaintRule, name, "", spec=spec)
    await w.clock.sleep(1)


async def progress(w: World, name: str = "broken") -> meta_v1.Condition:
    found = await w.get(DeviceTaintRule, name, "")
    (condition,) = found.status.conditions
    assert (condition.type, condition.observedGeneration) == ("EvictionInProgress", found.metadata.generation)
    return condition


async def said(w: World, name: str = "broken") -> tuple[str, str, str]:
    condition = await progress(w, name)
    return condition.status, condition.reason, condition.message


async def is_going(w: World, name: str = "p", namespace: str = "default") -> bool:
    pod = await w.get(core_v1.Pod, name, namespace)
    return pod.metadata.deletionTimestamp is not None


@simulated
async def test_a_pod_on_a_tainted_device_is_marked_and_deleted():
    async with world(nodes=0, only=ONLY, accounts=True) as w:
        await publish(w)
        await using(w)
        assert not await is_going(w)
        await publish(w, TAINT)
        assert await is_going(w)
        pod = await w.get(core_v1.Pod, "p")
        (mark,) = [c for c in pod.status.conditions if c.type == "DisruptionTarget"]
        assert (mark.status, mark.reason) == ("True", "DeletionByDeviceTaintManager")
        assert mark.message == "Device Taint manager: deleting due to NoExecute taint"
        assert await w.events("p") == [MARKED]
        found = read(w.manager.metrics())
        name = "device_taint_eviction_controller_pod_deletion"
        assert found[f"{name}s_total"].series[f"{name}s_total", ()] == 1
        assert found[f"{name}_duration_seconds"].series[f"{name}_duration_seconds_count", ()] == 1


@simulated
async def test_a_pod_stays_as_long_as_its_claim_tolerates_the_taint():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w, TAINT)
        await using(w, tolerationSeconds=60)
        await using(w, "patient")
        await w.clock.sleep(50)
        assert not await is_going(w)
        await w.clock.sleep(15)
        assert await is_going(w)


@simulated
async def test_an_eviction_ends_with_its_taint():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w, TAINT)
        await using(w, tolerationSeconds=60)
        await publish(w)
        assert await w.events("p") == [CANCELLED]
        await w.clock.sleep(100)
        assert not await is_going(w)
        await publish(w, TAINT)
        await publish(w, {**TAINT, "effect": "NoSchedule"})
        await w.clock.sleep(100)
        assert not await is_going(w)


@simulated
async def test_a_newer_slice_without_the_taint_ends_an_eviction():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w, TAINT)
        await using(w, tolerationSeconds=60)
        await publish(w, name="two", generation=2)
        assert await w.events("p") == [CANCELLED]
        await w.clock.sleep(100)
        assert not await is_going(w)


@simulated
async def test_a_pod_that_has_no_node_yet_stays():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w, TAINT)
        await using(w, bound=False)
        await w.clock.sleep(30)
        assert not await is_going(w)


@simulated
async def test_a_claim_that_is_reserved_for_another_pod_of_the_name_does_not_count():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w)
        await using(w)
        users = {"reservedFor": [{"resource": "pods", "name": "p", "uid": "other"}]}
        await w.client.of(ResourceClaim).patch_raw(Key("default", "p"), {"status": users}, subresource="status")
        await publish(w, TAINT)
        await w.clock.sleep(30)
        assert not await is_going(w)


@simulated
async def test_a_claim_that_loses_its_devices_ends_an_eviction():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w, TAINT)
        await using(w, tolerationSeconds=60)
        freed = {"status": {"allocation": None, "reservedFor": None}}
        await w.client.of(ResourceClaim).patch_raw(Key("default", "p"), freed, subresource="status")
        await w.clock.sleep(100)
        assert await w.events("p") == [CANCELLED]
        assert not await is_going(w)


@simulated
async def test_a_rule_without_users_has_not_started():
    async with world(nodes=0, only=ONLY) as w:
        await rule(w)
        assert await said(w) == ("False", "NotStarted", "")


@simulated
async def test_a_rule_says_how_many_pods_have_to_go_and_how_many_went():
    async with world(nodes=0, only=ONLY, accounts=True) as w:
        await w.create(core_v1.Namespace, "other")
        await w.clock.sleep(2)
        await using(w, tolerationSeconds=30)
        await using(w, "q", tolerationSeconds=30)
        await rule(w)
        assert await said(w) == ("True", "PodsPendingEviction", "2 pods need to be evicted in 1 namespace.")
        await using(w, "r", "other", tolerationSeconds=30)
        await w.clock.sleep(12)
        wanted = "3 pods need to be evicted in 2 different namespaces."
        assert await said(w) == ("True", "PodsPendingEviction", wanted)
        await w.clock.sleep(30)
        assert await said(w) == ("False", "Completed", "3 pods evicted since starting the controller.")
        assert [await is_going(w, name, space) for name, space in (("p", "default"), ("r", "other"))] == [True, True]


@simulated
async def test_one_pod_is_told_as_one():
    async with world(nodes=0, only=ONLY) as w:
        await using(w, tolerationSeconds=30)
        await rule(w)
        assert await said(w) == ("True", "PodsPendingEviction", "1 pod needs to be evicted in 1 namespace.")
        await w.clock.sleep(45)
        assert await said(w) == ("False", "Completed", "1 pod evicted since starting the controller.")


@simulated
async def test_a_rule_tells_of_nothing_more_than_every_ten_seconds():
    async with world(nodes=0, only=ONLY) as w:
        await rule(w)
        first = parse_time((await progress(w)).lastTransitionTime or "")
        await using(w)
        await w.clock.sleep(30)
        second = await progress(w)
        assert second.reason == "Completed"
        assert parse_time(second.lastTransitionTime or "") >= first + 10


@simulated
async def test_a_rule_without_effect_says_once_what_it_would_do():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w)
        await using(w)
        await rule(w, effect="None")
        end = "This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."
        wanted = (
            "2 published devices selected. 1 allocated device selected. "
            f"1 pod would be evicted in 1 namespace if the effect was NoExecute. {end}"
        )
        assert await said(w) == ("False", "NoEffect", wanted)
        await using(w, "q", device="gpu-1")
        await w.clock.sleep(30)
        assert await said(w) == ("False", "NoEffect", wanted)
        assert not await is_going(w)
        await w.client.of(DeviceTaintRule).patch_raw(Key("", "broken"), {"spec": {"taint": {"value": "x"}}})
        await w.clock.sleep(15)
        wanted = (
            "2 published devices selected. 2 allocated devices selected. "
            f"2 pods would be evicted in 1 namespace if the effect was NoExecute. {end}"
        )
        assert await said(w) == ("False", "NoEffect", wanted)


@simulated
async def test_a_rule_with_another_effect_says_so():
    async with world(nodes=0, only=ONLY) as w:
        await rule(w, effect="NoSchedule")
        assert await said(w) == ("False", "OtherEffect", "Eviction only happens for the NoExecute effect.")


@simulated
async def test_a_rule_that_goes_lets_pods_stay():
    async with world(nodes=0, only=ONLY) as w:
        await using(w, tolerationSeconds=60)
        await rule(w)
        await w.delete(DeviceTaintRule, "broken", "")
        await w.clock.sleep(100)
        assert await w.events("p") == [CANCELLED]
        assert not await is_going(w)


@simulated
async def test_a_pod_that_is_deleted_meanwhile_is_no_longer_told_as_pending():
    async with world(nodes=0, only=ONLY) as w:
        await using(w, tolerationSeconds=600)
        await rule(w)
        assert (await said(w))[1] == "PodsPendingEviction"
        await w.delete(core_v1.Pod, "p", grace=0)
        await w.clock.sleep(15)
        assert await said(w) == ("False", "NotStarted", "")


@simulated
async def test_a_deletion_that_fails_is_tried_again():
    async with world(nodes=0, only=ONLY) as w:
        await publish(w)
        await using(w)

        def refuse(request: Request) -> ApiError | None:
            return InternalError("later") if request.method == "DELETE" and "/pods/p" in request.path else None

        w.wire.refuse = refuse
        await publish(w, TAINT)
        assert not await is_going(w)
        w.wire.refuse = lambda request: None
        await w.clock.sleep(120)
        assert await is_going(w)
        counters = w.manager.loops["device-taint-eviction-controller"].counters
        counters.errors = counters.races  # failures were the point


@pytest.mark.parametrize("last", [1, 2, 3])
def test_whoever_takes_over_after_any_write_finishes_the_eviction(last: int) -> None:
    @simulated
    async def play() -> None:
        async with world(nodes=0, only=("*", "-resourceclaim-controller", "-device-taint-eviction-controller")) as w:
            await using(w)
            mortal = Mortal(w, last)
            first = controllers(w, "device-taint-eviction-controller", mortal)
            await rule(w)
            await mortal.dead.wait()
            first.cancel()
            second = controllers(w, "device-taint-eviction-controller")
            await w.clock.sleep(30)
            assert await is_going(w)
            assert (await said(w))[0] == "False"
            second.cancel()

    play()
