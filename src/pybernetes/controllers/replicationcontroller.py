"""ReplicationController controller: as ReplicaSets, with a plain map as selector. _replicas.py has the work."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.selectors import Selector, of_labels
from pybernetes.api.types import core_v1
from pybernetes.controllers._claim import INDEX, owned_watch
from pybernetes.controllers._replicas import Counts, Replicated
from pybernetes.controllers._replicas import reconcile as reconcile_replicas
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Outcome, Watch, allow


def _selector(owner: core_v1.ReplicationController) -> Selector:
    return of_labels(owner.spec.selector)


def _siblings(ctx: Context, owner: core_v1.ReplicationController) -> Iterable[core_v1.Pod]:
    return ctx.cache(core_v1.Pod).by(INDEX, owner.metadata.uid)


def _status(
    owner: core_v1.ReplicationController, counts: Counts, conditions: tuple[Any, ...]
) -> core_v1.ReplicationController:
    return replace(
        owner,
        status=replace(
            owner.status,
            replicas=counts.replicas,
            fullyLabeledReplicas=counts.labeled,
            readyReplicas=counts.ready,
            availableReplicas=counts.available,
            observedGeneration=owner.metadata.generation,
            conditions=conditions,
        ),
    )


_HOW = Replicated(
    kind=core_v1.ReplicationController,
    selector=_selector,
    siblings=_siblings,
    status=_status,
    condition=core_v1.ReplicationControllerCondition,
)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One ReplicationController."""
    return await reconcile_replicas(key, ctx, _HOW)


CONTROLLER = Controller(
    name="replicationcontroller-controller",
    component="replication-controller",
    queue="replicationmanager",
    account="replication-controller",
    watches=(
        Watch(kind=core_v1.ReplicationController),
        owned_watch(core_v1.Pod, core_v1.ReplicationController, _selector),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update", "replicationcontrollers"),
        allow("update patch", "replicationcontrollers/status"),
        allow("update", "replicationcontrollers/finalizers"),
        allow("create delete list patch watch", "pods"),
        EVENTS,
    ),
)
