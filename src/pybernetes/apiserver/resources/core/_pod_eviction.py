"""Eviction of Pods (policy/v1): a deletion that asks the disruption budget first and leaves a reason. pods.py uses it."""

from collections.abc import Mapping
from typing import Any

from pybernetes.aio.clock import rfc3339
from pybernetes.api import selectors
from pybernetes.api.errors import BadRequest, Conflict, InternalError, NotFound, TooManyRequests, conflict, forbidden
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.resources._columns import spec, status
from pybernetes.apiserver.resources.core._pod_actions import PODS, SUCCESS, check_preconditions, set_condition
from pybernetes.rules.readiness import DISRUPTION_TARGET

BUDGETS = GroupResource("policy", "poddisruptionbudgets")
_BUDGET = GroupResource("policy", "poddisruptionbudget")
_NO = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_CONDITION, _CAUSE = "DisruptionAllowed", "DisruptionBudget"
_UNOBSERVED_SECONDS = 10
_MOST_DISRUPTED = 2000
_TRIES = 20
_TARGET = {
    "type": DISRUPTION_TARGET,
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


class _Several(InternalError):
    """Upstream answers this with a Status that has no reason."""

    reason = ""


async def evict(call: Call, body: Object) -> Object:
    """POST pods/{name}/eviction. Raises TooManyRequests where the budget is spent."""
    name = (body.get("metadata") or {}).get("name") or call.name
    if name != call.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    options = body.get("deleteOptions") or {}
    dry_run = call.dry_run or bool(options.get("dryRun"))
    for _ in range(_TRIES):
        pod = await call.registry.get(PODS, call.namespace, call.name)
        wanted = dict(options.get("preconditions") or {})
        check_preconditions(PODS, pod, wanted)
        given = bool(wanted.get("resourceVersion"))
        budget = ""
        if not _unguarded(pod):
            budget = await _spend(call, pod, wanted, dry_run)
        elif status(pod).get("phase") == "Pending" and not given:
            # It must not become ready, and guarded, meanwhile.
            wanted["resourceVersion"] = pod["metadata"]["resourceVersion"]
        try:
            if not dry_run:
                await _delete(call, pod["metadata"]["uid"], options, wanted)
        except Conflict:
            if budget and not given:
                raise _too_many(_unobserved(budget), _UNOBSERVED_SECONDS) from None
            if given or not _unguarded(pod):
                raise
            continue
        return dict(SUCCESS)
    raise conflict(PODS, call.name, "the pod changes too often to be evicted")


def _unguarded(pod: Object) -> bool:
    """Whether the Pod runs for nobody: over, being deleted, or not begun."""
    phase = status(pod).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


async def _spend(call: Call, pod: Object, wanted: Object, dry_run: bool) -> str:
    """Takes one disruption from the Pod's budget. Answers with its name where the Pod must not change meanwhile."""
    budgets = await _budgets(call, pod)
    if len(budgets) > 1:
        raise _Several(_SEVERAL)
    if not budgets:
        return ""
    name = budgets[0]["metadata"]["name"]
    if not _ready(pod) and _unhealthy_may_go(budgets[0]):
        wanted["resourceVersion"] = pod["metadata"]["resourceVersion"]
        return str(name)
    moment = rfc3339(call.registry.clock.now())

    def take(budget: Object) -> Object:
        _refuse_spent(budget)
        held = budget["status"] = dict(status(budget))
        held["disruptionsAllowed"] = held["disruptionsAllowed"] - 1
        if not held["disruptionsAllowed"]:
            _note_spent(held, moment)
        held["disruptedPods"] = {**(held.get("disruptedPods") or {}), pod["metadata"]["name"]: moment}
        return budget

    if dry_run:
        _refuse_spent(budgets[0])
    else:
        await call.registry.update(BUDGETS, call.namespace, name, take)
    return ""


async def _budgets(call: Call, pod: Object) -> list[Object]:
    """Budgets whose selector matches the Pod; an empty selector matches all, none or a broken one matches nothing."""
    if BUDGETS not in call.registry.resources:
        return []
    labels = pod["metadata"].get("labels") or {}
    found = []
    for budget in await call.registry.list(BUDGETS, call.namespace):
        selector = spec(budget).get("selector")
        try:
            if selector is not None and selectors.of_label_selector(selector).matches(labels):
                found.append(budget)
        except ValueError:
            continue
    return found


def _ready(pod: Object) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in status(pod).get("conditions") or ())


def _unhealthy_may_go(budget: Object) -> bool:
    """A Pod that is not ready counts for nobody: it may go if the budget says so, or holds without it."""
    if spec(budget).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    healthy, wanted = status(budget).get("currentHealthy") or 0, status(budget).get("desiredHealthy") or 0
    return healthy >= wanted > 0


def _refuse_spent(budget: Object) -> None:
    held, name = status(budget), budget["metadata"]["name"]
    if (held.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _too_many(_unobserved(name), _UNOBSERVED_SECONDS)
    allowed = held.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise forbidden(_BUDGET, name, "pdb disruptions allowed is negative")
    if len(held.get("disruptedPods") or {}) > _MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden(_BUDGET, name, why)
    if allowed:
        return
    failed: Mapping[str, Any] = next((c for c in held.get("conditions") or () if c.get("type") == _CONDITION), {})
    if failed.get("status") == "False" and failed.get("reason") == "SyncFailed":
        why = f"does not allow evicting pods currently because it failed sync: {failed.get('message') or ''}"
    else:
        wanted, healthy = held.get("desiredHealthy") or 0, held.get("currentHealthy") or 0
        why = f"needs {wanted} healthy pods and has {healthy} currently"
    raise _too_many(f"The disruption budget {name} {why}", 0)


def _unobserved(name: str) -> str:
    return f"The disruption budget {name} is still being processed by the server."


def _too_many(why: str, seconds: int) -> TooManyRequests:
    details: dict[str, Any] = {"causes": [{"reason": _CAUSE, "message": why}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    return TooManyRequests(_NO, details=details)


def _note_spent(held: Object, moment: str) -> None:
    conditions = list(held.get("conditions") or ())
    old: Mapping[str, Any] = next((c for c in conditions if c.get("type") == _CONDITION), {})
    fresh = {
        "type": _CONDITION,
        "status": "False",
        "observedGeneration": held.get("observedGeneration") or 0,
        "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == "False" else moment,
        "reason": "InsufficientPods",
        "message": "",
    }
    held["conditions"] = [*(c for c in conditions if c.get("type") != _CONDITION), fresh]


async def _delete(call: Call, uid: str, options: Object, wanted: Object) -> None:
    """Deletes with grace, as DELETE would, and with the condition that says why."""
    grace = call.resource.grace
    now = call.registry.clock.now()
    gone: list[bool] = []

    def change(obj: Object) -> Object | None:
        gone.clear()
        check_preconditions(PODS, obj, {**wanted, "uid": uid})
        meta = obj["metadata"]
        asked = options.get("gracePeriodSeconds")
        seconds = grace(obj, asked) if grace is not None else 0
        held = meta.get("deletionGracePeriodSeconds") or 0
        if not seconds and not meta.get("finalizers"):
            gone.append(True)
        elif meta.get("deletionTimestamp") and (held <= seconds or asked is None):
            return None
        set_condition(obj, _TARGET, rfc3339(now))
        if not meta.get("deletionTimestamp"):
            meta["generation"] = (meta.get("generation") or 0) + 1
        meta["deletionTimestamp"] = rfc3339(now + seconds)
        meta["deletionGracePeriodSeconds"] = seconds
        return obj

    await call.registry.update(PODS, call.namespace, call.name, change)
    if gone:
        try:
            await call.registry.delete(PODS, call.namespace, call.name)
        except NotFound:
            return
