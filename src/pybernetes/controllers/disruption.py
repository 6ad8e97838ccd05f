"""Disruption controller: how many Pods of each PodDisruptionBudget may be evicted now. The eviction API spends it.

The status is written at the revision that was seen, so that it never gives back what the API has spent meanwhile; what
cannot be computed allows nothing. A Pod that an eviction left standing loses its condition DisruptionTarget.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key
from pybernetes.api.selectors import of_label_selector
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.policy_v1 import PodDisruptionBudget as Budget
from pybernetes.api.types.policy_v1 import PodDisruptionBudgetStatus as Status
from pybernetes.client.rest import key_of
from pybernetes.controllers._labels import candidates
from pybernetes.controllers._scales import SCALED, NoScaleError, scale_of
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.conditions import put, put_at
from pybernetes.rules.goquote import label_selector, quoted
from pybernetes.rules.ownership import controller_of
from pybernetes.rules.readiness import DISRUPTION_TARGET, condition, is_finished, is_ready
from pybernetes.rules.workloads import scaled

DELETION = 120.0
"""Seconds in which a Pod whose eviction was allowed is to be seen going; then the budget has it back."""
STALE = 120.0
"""Seconds after which the condition of a Pod that was to be disrupted, and was not, no longer holds."""
FAILED = 300.0
"""Seconds until a budget that could not be computed is looked at again, if nothing changes before."""
ALLOWED = "DisruptionAllowed"
BY_KUBELET = "TerminationByKubelet"
"""The kubelet's own reason for DISRUPTION_TARGET: it may take any time to end such a Pod."""
POD = "pods/"
"""Keys that begin so are Pods; no budget can be called so."""


class _Expected(Struct, frozen=True):
    """Of a budget: its Pods by their owners, how many of them must be healthy, and those that nobody owns."""

    pods: int
    healthy: int
    unmanaged: tuple[str, ...] = ()


# --- what concerns which key


def _budgets_of(pod: core_v1.Pod, ctx: Context) -> list[Budget]:
    found = ctx.cache(Budget).of(pod.metadata.namespace)
    return [budget for budget in found if _matches(budget, pod)]


def _matches(budget: Budget, pod: core_v1.Pod) -> bool:
    try:
        return of_label_selector(budget.spec.selector).matches(pod.metadata.labels)
    except ValueError:
        return False


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    budgets = _budgets_of(pod, ctx)
    if len(budgets) > 1 or _marked(pod):
        yield Key(pod.metadata.namespace, POD + pod.metadata.name)
    yield from map(key_of, budgets)


def _pod_matters(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return _facts(old) != _facts(new)


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    meta = pod.metadata
    return (
        *(meta.uid, meta.labels, meta.ownerReferences, meta.deletionTimestamp),
        *(is_ready(pod), is_finished(pod), condition(pod, DISRUPTION_TARGET)),
    )


def _of_owner(owner: Any, ctx: Context) -> Iterable[Key]:
    """Who owns whose Pods is not known here; few namespaces have many budgets."""
    return [key_of(budget) for budget in ctx.cache(Budget).of(owner.metadata.namespace)]


def _owner_matters(old: Any, new: Any) -> bool:
    was, is_ = old.metadata, new.metadata
    return bool((was.uid, was.ownerReferences, old.spec.replicas) != (is_.uid, is_.ownerReferences, new.spec.replicas))


# --- budgets


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One budget, or a Pod that was to be disrupted."""
    if key.name.startswith(POD):
        return await _look_at_pod(Key(key.namespace, key.name.removeprefix(POD)), ctx)
    budget = ctx.cache(Budget).get(key)
    if budget is None:
        return Done()
    now = ctx.clock.now()
    pods: list[core_v1.Pod] = []
    try:
        selector = of_label_selector(budget.spec.selector)
        labels = budget.spec.selector.matchLabels if budget.spec.selector is not None else {}
        near = candidates(key.namespace, labels, ctx.cache(core_v1.Pod))
        pods = [pod for pod in near if selector.matches(pod.metadata.labels)]
        expected = await _expect(budget, pods, ctx)
    except (ValueError, NoScaleError, ApiError) as error:
        await _fail(budget, str(error), now, ctx)
        return Again(FAILED)
    disrupted, late = _disrupted(budget, pods, now)
    for pod in late:
        text = f"Pod was expected by PDB {key.namespace}/{key.name} to be deleted but it wasn't"
        ctx.events.event(pod, "Warning", "NotDeleted", text)
    healthy = sum(_is_healthy(pod) and pod.metadata.name not in disrupted for pod in pods)
    status = _status(budget, expected, healthy, disrupted, now)
    if status != budget.status:
        _tell(budget, pods, expected, ctx)
        await _write(budget, status, ctx)
    if not disrupted:
        return Done()
    return Again(max(0.0, min(map(parse_time, disrupted.values())) + DELETION - now) + 1)


def _is_healthy(pod: core_v1.Pod) -> bool:
    return pod.metadata.deletionTimestamp is None and is_ready(pod)


async def _expect(budget: Budget, pods: list[core_v1.Pod], ctx: Context) -> _Expected:
    """Raises ValueError, NoScaleError, ApiError."""
    least, most = budget.spec.minAvailable, budget.spec.maxUnavailable
    if most is not None:
        total, unmanaged = await _total(pods, ctx)
        return _Expected(total, max(0, total - scaled(most, total, round_up=True)), unmanaged)
    if isinstance(least, str):
        total, unmanaged = await _total(pods, ctx)
        return _Expected(total, scaled(least, total, round_up=True), unmanaged)
    return _Expected(0 if least is None else len(pods), least or 0)


async def _total(pods: list[core_v1.Pod], ctx: Context) -> tuple[int, tuple[str, ...]]:
    """What all owners of the Pods want together, and the names of the Pods that nobody owns."""
    wanted: dict[str, int] = {}
    known: set[str] = set()
    unmanaged = []
    for pod in pods:
        ref = controller_of(pod.metadata)
        if ref is None:
            unmanaged.append(pod.metadata.name)
        elif ref.uid not in known:
            scale = await scale_of(ref, pod.metadata.namespace, ctx)
            if scale is None:
                raise NoScaleError(f"found no controllers for pod {quoted(pod.metadata.name)}")
            known.add(ref.uid)
            wanted[scale.uid] = scale.replicas
    return sum(wanted.values()), tuple(unmanaged)


def _disrupted(budget: Budget, pods: list[core_v1.Pod], now: float) -> tuple[Mapping[str, str], list[core_v1.Pod]]:
    """Pods whose eviction was allowed and which are not seen going yet; and those that did not go in time."""
    listed = budget.status.disruptedPods
    waiting: dict[str, str] = {}
    late = []
    for pod in pods:
        since = listed.get(pod.metadata.name)
        if since is None or pod.metadata.deletionTimestamp is not None:
            continue
        if parse_time(since) + DELETION < now:
            late.append(pod)
        else:
            waiting[pod.metadata.name] = since
    return waiting, late


def _status(budget: Budget, expected: _Expected, healthy: int, disrupted: Mapping[str, str], now: float) -> Status:
    spare = healthy - expected.healthy
    # A budget without Pods allows nothing: its first Pods may be there before it is looked at again.
    allowed = spare if expected.pods > 0 and spare > 0 else 0
    generation = budget.metadata.generation or 0
    made = meta_v1.Condition(
        type=ALLOWED,
        status="True" if allowed else "False",
        reason="SufficientPods" if allowed else "InsufficientPods",
        observedGeneration=generation,
    )
    return replace(
        budget.status,
        currentHealthy=healthy,
        desiredHealthy=expected.healthy,
        expectedPods=expected.pods,
        disruptionsAllowed=allowed,
        disruptedPods=disrupted,
        observedGeneration=generation,
        conditions=put_at(budget.status.conditions, made, rfc3339(now)),
    )


async def _fail(budget: Budget, why: str, now: float, ctx: Context) -> None:
    """Nothing may be evicted while nobody knows how much is left."""
    text = f"Failed to calculate the number of expected pods: {why}"
    ctx.events.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
    made = meta_v1.Condition(
        type=ALLOWED,
        status="False",
        reason="SyncFailed",
        message=why,
        observedGeneration=budget.status.observedGeneration,
    )
    conditions = put_at(budget.status.conditions, made, rfc3339(now))
    await _write(budget, replace(budget.status, disruptionsAllowed=0, conditions=conditions), ctx)


async def _write(budget: Budget, status: Status, ctx: Context) -> None:
    await ctx.api(Budget).patch(budget, replace(budget, status=status), subresource="status", lock=True)


def _tell(budget: Budget, pods: list[core_v1.Pod], expected: _Expected, ctx: Context) -> None:
    """Together with a change only: what stays as it is was told before."""
    if not pods:
        ctx.events.event(budget, "Normal", "NoPods", "No matching pods found")
    if expected.unmanaged:
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {label_selector(budget.spec.selector)}) were found to be "
            "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined "
            'behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
        )
        ctx.events.event(budget, "Warning", "UnmanagedPods", text)


# --- Pods


def _marked(pod: core_v1.Pod) -> bool:
    """Whether the Pod stands although it was to be disrupted."""
    found = condition(pod, DISRUPTION_TARGET)
    if found is None or found.status != "True" or found.reason == BY_KUBELET:
        return False
    return pod.metadata.deletionTimestamp is None and not is_finished(pod)


async def _look_at_pod(key: Key, ctx: Context) -> Outcome:
    pod = ctx.cache(core_v1.Pod).get(key)
    if pod is None:
        return Done()
    budgets = _budgets_of(pod, ctx)
    if len(budgets) > 1:
        names = f"{quoted(key.namespace)}/{quoted(key.name)}"
        text = (
            f"Pod {names} matches multiple PodDisruptionBudgets.  Chose {quoted(budgets[0].metadata.name)} arbitrarily."
        )
        ctx.events.event(pod, "Warning", "MultiplePodDisruptionBudgets", text)
    found = condition(pod, DISRUPTION_TARGET) if _marked(pod) else None
    if found is None:
        return Done()
    now = ctx.clock.now()
    left = (parse_time(found.lastTransitionTime) if found.lastTransitionTime else 0.0) + STALE - now
    if left > 0:
        return Again(left)
    cleared = core_v1.PodCondition(
        type=DISRUPTION_TARGET,
        status="False",
        lastTransitionTime=rfc3339(now),
        observedGeneration=pod.metadata.generation,
    )
    changed = replace(pod, status=replace(pod.status, conditions=put(pod.status.conditions, cleared)))
    await ctx.api(core_v1.Pod).patch(pod, changed, subresource="status", lock=True)
    return Done()


CONTROLLER = Controller(
    name="disruption-controller",
    component="controllermanager",
    watches=(
        Watch(kind=Budget),
        Watch(kind=core_v1.Pod, keys=_of_pod, changed=_pod_matters),
        *(Watch(kind=kind, keys=_of_owner, changed=_owner_matters) for kind in SCALED.values()),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "pods replicationcontrollers"),
        allow("get list watch", "deployments replicasets statefulsets", "apps"),
        allow("get list watch", "poddisruptionbudgets", "policy"),
        allow("update patch", "poddisruptionbudgets/status", "policy"),
        allow("update patch", "pods/status"),
        allow("get", "*/scale", "*"),
        EVENTS,
    ),
)
