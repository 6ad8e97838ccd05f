"""Disruption budgets with the real API server: what they count, what the eviction API spends, and what is given back."""

from typing import Any

import pytest
from msgspec import to_builtins
from tests.component.controllers.world import World, deployment, no_pods, simulated, template, world

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import ApiError, Conflict, InternalError, ServiceUnavailable, TooManyRequests
from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, batch_v1, core_v1
from pybernetes.api.types.policy_v1 import PodDisruptionBudget
from pybernetes.client.rest import Target
from pybernetes.wire.http import Request

UNIT = "[sig-apps] DisruptionController "
STRATEGIC = "application/strategic-merge-patch+json"
GATED = [{"conditionType": "test/go"}]


async def budget(w: World, name: str = "b", app: str = "web", **spec: Any) -> PodDisruptionBudget:
    return await w.create(PodDisruptionBudget, name, spec={"selector": {"matchLabels": {"app": app}}, **spec})


async def find(w: World, name: str = "b") -> PodDisruptionBudget:
    return await w.get(PodDisruptionBudget, name)


async def counts(w: World, *wanted: int, name: str = "b") -> PodDisruptionBudget:
    """Waits until (allowed, healthy, needed, expected) are so, of the newest spec."""

    async def holds() -> bool:
        b = await find(w, name)
        s = b.status
        found = (s.disruptionsAllowed, s.currentHealthy, s.desiredHealthy, s.expectedPods)
        return found == wanted and s.observedGeneration == b.metadata.generation

    await w.until(holds)
    return await find(w, name)


def reason(b: PodDisruptionBudget) -> tuple[str, str, str]:
    (c,) = b.status.conditions
    assert c.type == "DisruptionAllowed"
    return c.status, c.reason, c.message


async def alone(w: World, name: str, app: str = "web", **meta: Any) -> core_v1.Pod:
    spec = template()["spec"]
    return await w.create(core_v1.Pod, name, metadata={"labels": {"app": app}, **meta}, spec=spec)


async def evict(w: World, pod: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}}
    await w.client.raw("POST", f"/api/v1/namespaces/default/pods/{pod}/eviction", body)


async def gate(w: World, pod: str, ready: bool) -> None:
    body = {"status": {"conditions": [{"type": "test/go", "status": str(ready)}]}}
    await w.client.of(core_v1.Pod).patch_raw(Key("default", pod), body, STRATEGIC, subresource="status")


async def gated(w: World, replicas: int) -> list[str]:
    """A Deployment whose Pods are ready when gate() says so: the names of its Pods."""
    made = template(app="web")
    made["spec"]["readinessGates"] = GATED
    await deployment(w, replicas=replicas, template=made)

    async def all_there() -> bool:
        return sum(p.status.phase == "Running" for p in await w.pods("app=web")) == replicas

    await w.until(all_there)
    return sorted(p.metadata.name for p in await w.pods("app=web"))


# --- what is counted


@pytest.mark.conformance(UNIT + "should observe PodDisruptionBudget status updated [Conformance]")
@simulated
async def test_a_budget_counts_its_pods_and_allows_what_is_too_many():
    async with world() as w:
        await budget(w, minAvailable=1)
        empty = await counts(w, 0, 0, 1, 0)
        assert reason(empty) == ("False", "InsufficientPods", "")
        assert empty.status.conditions[0].observedGeneration == 1
        for name in ("one", "two", "three"):
            await alone(w, name)
        full = await counts(w, 2, 3, 1, 3)
        assert reason(full) == ("True", "SufficientPods", "")
        assert await w.events("b") == ["NoPods: No matching pods found"]


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        ({"minAvailable": 2}, 2),
        ({"minAvailable": "50%"}, 4),
        ({"minAvailable": "0%"}, 0),
        ({"minAvailable": "100%"}, 7),
        ({"maxUnavailable": 2}, 5),
        ({"maxUnavailable": 9}, 0),
        ({"maxUnavailable": "30%"}, 4),
        ({"maxUnavailable": "1%"}, 6),
    ],
)
def test_numbers_and_percentages_are_rounded_up(spec: dict[str, Any], needed: int):
    @simulated
    async def run() -> None:
        async with world() as w:
            await deployment(w, replicas=7)
            await budget(w, **spec)
            await counts(w, 7 - needed, 7, needed, 7)

    run()


@simulated
async def test_expected_pods_are_what_all_their_owners_want_together():
    async with world() as w:
        labels = {"selector": {"matchLabels": {"app": "web"}}, "template": template(app="web")}
        await deployment(w, replicas=2)
        await w.create(apps_v1.StatefulSet, "db", spec={**labels, "replicas": 1, "serviceName": "db"})
        await w.create(apps_v1.ReplicaSet, "rs", spec={"replicas": 3, **labels})
        rc = {"replicas": 4, "selector": {"app": "web"}, "template": template(app="web")}
        await w.create(core_v1.ReplicationController, "rc", spec=rc)
        await budget(w, maxUnavailable="10%")
        await counts(w, 1, 10, 9, 10)
        await w.patch(apps_v1.Deployment, "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
        await w.clock.sleep(30)
        await counts(w, 1, 10, 9, 10)  # two ReplicaSets of one Deployment do not count twice
        await w.patch(apps_v1.ReplicaSet, "rs", {"spec": {"replicas": 23}})
        await counts(w, 3, 30, 27, 30)


@simulated
async def test_a_scale_that_brings_no_pods_counts_all_the_same():
    async with world(nodes=1) as w:
        await deployment(w, replicas=2)
        await budget(w, maxUnavailable=1)
        await counts(w, 1, 2, 1, 2)
        w.wire.refuse = no_pods
        await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 4}})
        await counts(w, 0, 2, 3, 4)
        counters = w.manager.loops["replicaset-controller"].counters
        counters.errors = counters.races  # failures were the point


@simulated
async def test_owners_of_any_kind_are_asked_for_their_scale():
    async with world() as w:
        names = {"plural": "fleets", "singular": "fleet", "kind": "Fleet"}
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"scale": scale}}
        crd = {"group": "test.example.com", "names": names, "scope": "Namespaced", "versions": [version]}
        where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await w.client.raw("POST", where, {"metadata": {"name": "fleets.test.example.com"}, "spec": crd})
        fleets = Target("test.example.com", "v1", "fleets", "Fleet", True)
        await w.clock.sleep(5)
        made = {
            "apiVersion": "test.example.com/v1",
            "kind": "Fleet",
            "metadata": {"name": "f"},
            "spec": {"replicas": 5},
        }
        fleet = await w.client.raw("POST", fleets.path("default"), made)
        ref = {"apiVersion": "test.example.com/v1", "kind": "Fleet", "name": "f", "controller": True}
        ref["uid"] = fleet["metadata"]["uid"]
        for name in ("f-1", "f-2", "f-3", "f-4"):
            await alone(w, name, ownerReferences=[ref])
        await budget(w, minAvailable="50%")
        await counts(w, 1, 4, 3, 5)


@simulated
async def test_an_owner_without_scale_allows_nothing_and_says_why():
    async with world() as w:
        spec = {"parallelism": 2, "completions": 2, "template": template(app="web")}
        spec["template"]["spec"]["restartPolicy"] = "Never"
        await w.create(batch_v1.Job, "work", spec=spec)
        await w.clock.sleep(2)
        await budget(w, maxUnavailable=1)
        await w.clock.sleep(5)
        failed = await find(w)
        why = "jobs.batch does not implement the scale subresource"
        assert (failed.status.disruptionsAllowed, reason(failed)) == (0, ("False", "SyncFailed", why))
        told = f"CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: {why}"
        assert told in await w.events("b")
        before = len(w.wire.writes)
        await w.clock.sleep(3000)
        assert len([one for one in w.wire.writes[before:] if "disruptionbudgets" in one]) == 0
        await w.patch(PodDisruptionBudget, "b", {"spec": {"maxUnavailable": None, "minAvailable": 1}})
        await counts(w, 1, 2, 1, 2)


@simulated
async def test_a_refused_scale_takes_back_what_was_allowed_until_it_is_answered():
    async with world(only=("*", "-garbagecollector")) as w:
        await deployment(w, replicas=3)
        await budget(w, maxUnavailable=1)
        await counts(w, 1, 3, 2, 3)

        def refuse(request: Request) -> ApiError | None:
            return ServiceUnavailable("not now") if request.path.endswith("/scale") else None

        w.wire.refuse = refuse
        ref = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "other", "uid": "u", "controller": True}
        await alone(w, "lost", ownerReferences=[ref])
        await w.until(lambda: _failed(w, "not now"))
        w.wire.refuse = lambda request: None
        await w.delete(core_v1.Pod, "lost")
        await counts(w, 1, 3, 2, 3)


async def _failed(w: World, why: str) -> bool:
    b = await find(w)
    return bool(b.status.conditions) and reason(b) == ("False", "SyncFailed", why)


@simulated
async def test_pods_that_nobody_owns_count_by_number_only():
    async with world() as w:
        await alone(w, "one")
        await alone(w, "two")
        await w.clock.sleep(5)
        await budget(w, maxUnavailable=1)
        await counts(w, 0, 2, 0, 0)
        (told,) = [e for e in await w.events("b") if e.startswith("UnmanagedPods")]
        assert "(selector: &LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:" in told
        assert 'please set ".spec.minAvailable" field of the PDB to an integer value.' in told
        await w.patch(PodDisruptionBudget, "b", {"spec": {"maxUnavailable": None, "minAvailable": 1}})
        await counts(w, 1, 2, 1, 2)


@simulated
async def test_an_empty_selector_means_all_pods_and_none_means_none():
    async with world() as w:
        await alone(w, "one")
        await alone(w, "two", app="db")
        await w.create(PodDisruptionBudget, "all", spec={"minAvailable": 1, "selector": {}})
        await w.create(PodDisruptionBudget, "none", spec={"minAvailable": 1})
        await counts(w, 1, 2, 1, 2, name="all")
        await counts(w, 0, 0, 1, 0, name="none")


@simulated
async def test_pods_that_are_not_ready_or_going_are_not_healthy():
    async with world() as w:
        names = await gated(w, 3)
        await budget(w, minAvailable=1)
        await counts(w, 0, 0, 1, 3)
        for name in names:
            await gate(w, name, ready=True)
        since = (await counts(w, 2, 3, 1, 3)).status.conditions[0].lastTransitionTime
        await gate(w, names[0], ready=False)
        still = await counts(w, 1, 2, 1, 3)
        assert still.status.conditions[0].lastTransitionTime == since


@simulated
async def test_a_budget_at_rest_is_not_written():
    async with world() as w:
        await deployment(w, replicas=2)
        await budget(w, minAvailable=1)
        await counts(w, 1, 2, 1, 2)
        await w.clock.sleep(5)
        before = len(w.wire.writes)
        await w.clock.sleep(600)
        assert [one for one in w.wire.writes[before:] if "disruptionbudgets" in one or "/events" in one] == []


# --- what is spent


@pytest.mark.conformance(UNIT + "should block an eviction until the PDB is updated to allow it [Conformance]")
@simulated
async def test_an_eviction_is_refused_until_the_budget_allows_it():
    async with world() as w:
        await deployment(w, replicas=3)
        await budget(w, minAvailable=3)
        await counts(w, 0, 3, 3, 3)
        first = (await w.pods("app=web"))[0].metadata.name
        with pytest.raises(TooManyRequests) as refused:
            await evict(w, first)
        cause = {
            "reason": "DisruptionBudget",
            "message": "The disruption budget b needs 3 healthy pods and has 3 currently",
        }
        assert refused.value.details == {"causes": [cause]}  # no retryAfterSeconds: clients would try ten times
        await w.patch(PodDisruptionBudget, "b", {"spec": {"minAvailable": "2%"}})
        await counts(w, 2, 3, 1, 3)
        await evict(w, first)
        await counts(w, 2, 3, 1, 3)
        assert not await w.there(core_v1.Pod, first)


@simulated
async def test_a_budget_that_nobody_has_looked_at_is_waited_for():
    async with world(only=("*", "-disruption")) as w:
        await deployment(w, replicas=2)
        await w.clock.sleep(5)
        await budget(w, minAvailable=1)
        first = (await w.pods("app=web"))[0].metadata.name
        began = w.clock.monotonic()
        with pytest.raises(TooManyRequests) as refused:
            await evict(w, first)
        assert refused.value.details["retryAfterSeconds"] == 10
        assert w.clock.monotonic() - began >= 100  # the client came back ten times


@simulated
async def test_two_budgets_of_a_pod_both_count_it_and_no_eviction_is_answered():
    async with world() as w:
        await alone(w, "one")
        await budget(w, "a", minAvailable=0)
        await budget(w, "b", minAvailable=0)
        for name in ("a", "b"):
            await counts(w, 1, 1, 0, 1, name=name)
        with pytest.raises(InternalError, match="more than one PodDisruptionBudget, which the eviction subresource"):
            await evict(w, "one")
        told = 'Pod "default"/"one" matches multiple PodDisruptionBudgets.  Chose "a" arbitrarily.'
        assert f"MultiplePodDisruptionBudgets: {told}" in await w.events("one")


@simulated
async def test_what_was_spent_is_not_given_back_before_the_pod_is_seen_to_go():
    """Pods that hang in a finalizer, many evictions at once, and every write of the controller raced."""
    async with world() as w:
        await deployment(w, replicas=6)
        await budget(w, maxUnavailable=2)
        await counts(w, 2, 6, 4, 6)
        turns = 0

        def race(request: Request) -> ApiError | None:
            nonlocal turns
            if request.method == "GET" or "disruptionbudgets" not in request.path:
                return None
            turns += 1
            return Conflict("race") if turns % 3 else None

        w.wire.refuse = race
        evicted: set[str] = set()
        for _ in range(40):
            ready = [
                p
                for p in await w.pods("app=web")
                if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions)
            ]
            assert len(ready) >= 4
            for pod in ready:
                try:
                    await evict(w, pod.metadata.name)
                except TooManyRequests:
                    continue
                evicted.add(pod.metadata.name)
            await w.clock.sleep(0.3)
        assert len(evicted) > 4
        w.wire.refuse = lambda request: None
        done = await counts(w, 2, 6, 4, 6)
        assert done.status.disruptedPods == {}


@simulated
async def test_an_eviction_that_came_to_nothing_is_given_back_after_two_minutes():
    async with world() as w:
        await deployment(w, replicas=2)
        await budget(w, minAvailable=1)
        await counts(w, 1, 2, 1, 2)
        pod = (await w.pods("app=web"))[0].metadata.name
        spent = {"disruptionsAllowed": 0, "disruptedPods": {pod: _now(w), "gone": _now(w)}}
        await w.client.of(PodDisruptionBudget).patch_raw(Key("default", "b"), {"status": spent}, subresource="status")
        await counts(w, 0, 1, 1, 2)
        await w.clock.sleep(100)
        assert list((await counts(w, 0, 1, 1, 2)).status.disruptedPods) == [pod]
        await w.clock.sleep(30)
        assert (await counts(w, 1, 2, 1, 2)).status.disruptedPods == {}
        assert "NotDeleted: Pod was expected by PDB default/b to be deleted but it wasn't" in await w.events(pod)


@simulated
async def test_pods_that_were_spent_are_kept_for_two_minutes_by_their_own_times_and_while_they_are_there():
    """TestUpdateDisruptedPods."""
    async with world() as w:
        await budget(w, minAvailable=1)
        for name in ("p1", "p2", "p3"):
            await alone(w, name)
        await counts(w, 2, 3, 1, 3)
        now = w.clock.now()
        spent = {"p1": rfc3339(now - 30), "p2": rfc3339(now - 60 * 3), "notthere": rfc3339(now)}
        body = {"status": {"disruptedPods": spent}}
        await w.client.of(PodDisruptionBudget).patch_raw(Key("default", "b"), body, subresource="status")
        kept = await counts(w, 1, 2, 1, 3)
        assert dict(kept.status.disruptedPods) == {"p1": spent["p1"]}


@simulated
async def test_conditions_of_others_stay_at_a_budget():
    """TestKeepExistingPDBConditionDuringSync."""
    async with world() as w:
        await budget(w, minAvailable=1)
        await counts(w, 0, 0, 1, 0)
        theirs = {
            "type": "ExistingTestCondition", "status": "True", "reason": "Theirs", "message": "m",
            "lastTransitionTime": _now(w),
        }  # fmt: skip
        ours = (await w.client.of(PodDisruptionBudget).get(Key("default", "b"))).status.conditions
        body = {"status": {"conditions": [to_builtins(c) for c in ours] + [theirs]}}
        await w.client.of(PodDisruptionBudget).patch_raw(Key("default", "b"), body, subresource="status")
        for name in ("one", "two"):
            await alone(w, name)
        full = await counts(w, 1, 2, 1, 2)
        assert {(c.type, c.status, c.reason) for c in full.status.conditions} == {
            ("ExistingTestCondition", "True", "Theirs"),
            ("DisruptionAllowed", "True", "SufficientPods"),
        }


def _now(w: World) -> str:
    return rfc3339(w.clock.now())


@pytest.mark.parametrize(("policy", "goes"), [("AlwaysAllow", True), ("IfHealthyBudget", False)])
def test_pods_that_are_not_ready_go_as_the_policy_says(policy: str, goes: bool):
    @simulated
    async def run() -> None:
        async with world() as w:
            names = await gated(w, 2)
            await budget(w, minAvailable=1, unhealthyPodEvictionPolicy=policy)
            await counts(w, 0, 0, 1, 2)
            if goes:
                return await evict(w, names[0])
            with pytest.raises(TooManyRequests):
                await evict(w, names[0])
            await gate(w, names[0], ready=True)
            await counts(w, 0, 1, 1, 2)
            await evict(w, names[1])  # enough are healthy without it
            return None

    run()


# --- Pods that were to be disrupted


@simulated
async def test_a_stale_disruption_target_is_cleared_after_two_minutes():
    async with world() as w:
        for name, why in (("left", "PreemptionByScheduler"), ("kubelets", "TerminationByKubelet")):
            await alone(w, name)
            await w.until(lambda name=name: _is_running(w, name))
            mark = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": why,
                "message": "m",
                "lastTransitionTime": _now(w),
            }
            key = Key("default", name)
            await w.client.of(core_v1.Pod).patch_raw(
                key, {"status": {"conditions": [mark]}}, STRATEGIC, subresource="status"
            )
        await w.clock.sleep(110)
        assert await _target(w, "left") == ("True", "PreemptionByScheduler", "m")
        await w.clock.sleep(20)
        assert await _target(w, "left") == ("False", "", "")
        conditions = (await w.get(core_v1.Pod, "left")).status.conditions
        assert [c.observedGeneration for c in conditions if c.type == "DisruptionTarget"] == [1]
        assert await _target(w, "kubelets") == ("True", "TerminationByKubelet", "m")


async def _is_running(w: World, name: str) -> bool:
    return (await w.get(core_v1.Pod, name)).status.phase == "Running"


async def _target(w: World, name: str) -> tuple[str, str | None, str | None]:
    found = (await w.get(core_v1.Pod, name)).status.conditions
    (c,) = [c for c in found if c.type == "DisruptionTarget"]
    return c.status, c.reason, c.message
