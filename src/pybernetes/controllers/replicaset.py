"""ReplicaSet controller: keeps spec.replicas Pods of one template. _replicas.py has the work."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.controllers._claim import INDEX, by_controller, owned_watch, selector_of
from pybernetes.controllers._replicas import Counts, Replicated
from pybernetes.controllers._replicas import reconcile as reconcile_replicas
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Outcome, Watch, allow
from pybernetes.rules.ownership import controller_of


def _siblings(ctx: Context, owner: apps_v1.ReplicaSet) -> Iterable[core_v1.Pod]:
    """The Pods of all ReplicaSets of the same Deployment: a rollout must not empty one node first."""
    ref = controller_of(owner.metadata)
    family = ctx.cache(apps_v1.ReplicaSet).by(INDEX, ref.uid) if ref else [owner]
    for member in family:
        yield from ctx.cache(core_v1.Pod).by(INDEX, member.metadata.uid)


def _status(owner: apps_v1.ReplicaSet, counts: Counts, conditions: tuple[Any, ...]) -> apps_v1.ReplicaSet:
    return replace(
        owner,
        status=replace(
            owner.status,
            replicas=counts.replicas,
            fullyLabeledReplicas=counts.labeled,
            readyReplicas=counts.ready,
            availableReplicas=counts.available,
            terminatingReplicas=counts.terminating,
            observedGeneration=owner.metadata.generation,
            conditions=conditions,
        ),
    )


_HOW = Replicated(
    kind=apps_v1.ReplicaSet,
    selector=selector_of,
    siblings=_siblings,
    status=_status,
    condition=apps_v1.ReplicaSetCondition,
)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One ReplicaSet."""
    return await reconcile_replicas(key, ctx, _HOW)


CONTROLLER = Controller(
    name="replicaset-controller",
    watches=(
        Watch(kind=apps_v1.ReplicaSet, indexes={INDEX: by_controller}),
        owned_watch(core_v1.Pod, apps_v1.ReplicaSet),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update", "replicasets", "apps"),
        allow("update patch", "replicasets/status", "apps"),
        allow("update", "replicasets/finalizers", "apps"),
        allow("create delete list patch watch", "pods"),
        EVENTS,
    ),
)
