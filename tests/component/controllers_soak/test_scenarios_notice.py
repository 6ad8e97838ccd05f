"""Every scenario fails when the fault that it tells of is there: none of them is a test that cannot fail."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest
from msgspec.structs import replace
from tests.component.controllers.scenario import FOLDER, play
from tools.soak import mutations

from pybernetes.aio.simulation import EPOCH
from pybernetes.api.errors import ApiError, Conflict
from pybernetes.api.types import core_v1
from pybernetes.controllers import (
    _claim,
    _graph,
    _job_pods,
    _stateful,
    deployment,
    endpoints,
    job,
    statefulset,
    taint_eviction,
)

Fault = Callable[[ExitStack], None]


def swap(stack: ExitStack, owner: Any, name: str, made: Any) -> None:
    stack.enter_context(mock.patch.object(owner, name, made))


def uncounted_collision(stack: ExitStack) -> None:
    """The name that is taken is tried again and again."""

    async def collided(self: Any, wanted: Any) -> None:
        raise Conflict("it is another's")

    swap(stack, deployment.Rollout, "_collided", collided)


def in_between(stack: ExitStack) -> None:
    """A rollback makes the ReplicaSet of the template in between whatever the strategy is."""
    swap(stack, deployment, "is_recreate", lambda d: False)


def going_addresses(stack: ExitStack) -> None:
    """Endpoints have Pods that are being deleted."""
    real = endpoints.selected

    def selected(service: Any, ctx: Any) -> Any:
        found = real(service, ctx)
        return [replace(pod, metadata=replace(pod.metadata, deletionTimestamp=None)) for pod in found]

    swap(stack, endpoints, "selected", selected)


def seen_owners_alone(stack: ExitStack) -> None:
    """A collector that begins takes what it does not know for settled."""
    swap(stack, _graph.Graph, "settled", lambda self, node: True)


def patient_with_endings(stack: ExitStack) -> None:
    """A Job waits for replacements that its namespace refuses."""
    swap(stack, job, "of_ending_namespace", lambda error: False)


def hasty_release(stack: ExitStack) -> None:
    """A Pod that goes loses its finalizer whatever it is now."""
    real = job._Sync._untrack

    async def untrack(self: Any, pod: Any, *, as_seen: bool = False) -> ApiError | None:
        return await real(self, pod)

    swap(stack, job._Sync, "_untrack", untrack)


def untracked(stack: ExitStack) -> None:
    """Pods have no finalizer: who is away when they go never counts them."""
    real = _job_pods.new_pod

    def new_pod(*args: Any) -> core_v1.Pod:
        pod = real(*args)
        return replace(pod, metadata=replace(pod.metadata, finalizers=()))

    async def tracked(self: Any, pod: Any, released: Any) -> Any:
        return pod

    swap(stack, job, "new_pod", new_pod)
    swap(stack, job._Sync, "_tracked", tracked)


def another_revision(stack: ExitStack) -> None:
    """A StatefulSet whose controller has begun anew takes its Pods for those of another revision, in its first looks."""
    real, looks = _stateful.next_steps, iter(range(3))

    def next_steps(s: Any, pods: Any, update: str, now: float) -> Any:
        begins = now - EPOCH > 70 and next(looks, None) is not None
        return real(s, pods, f"{update}x" if begins else update, now)

    swap(stack, statefulset, "next_steps", next_steps)


def claims_by_name(stack: ExitStack) -> None:
    """A claim is taken over from whoever had the name."""
    swap(stack, statefulset, "is_stale", lambda claim, pod: False)

    def owners(claim: Any, s: Any, pod: Any) -> Any:
        return claim.metadata.ownerReferences and (_stateful.reference_to(type(s), s.metadata),)

    swap(stack, statefulset, "owners_of_claim", owners)


def timers_go_on(stack: ExitStack) -> None:
    """An eviction that was cancelled leaves its beginning behind."""

    class Kept(dict[str, float]):
        def pop(self, *args: Any) -> Any:
            return self.get(args[0])

    def init(self: Any) -> None:
        self.at = Kept()

    swap(stack, taint_eviction._Seen, "__init__", init)


def patient_with_orphans(stack: ExitStack) -> None:
    """A Pod that a Job would adopt waits for it, though it is going."""
    real = job._adopters

    def let_go(key: Any, ctx: Any) -> Any:
        pod = ctx.cache(core_v1.Pod).get(key)
        return nothing() if pod is not None and real(pod, ctx) else real_let_go(key, ctx)

    async def nothing() -> None: ...

    real_let_go = job._let_go
    swap(stack, job, "_let_go", let_go)


def adopted_as_they_were(stack: ExitStack) -> None:
    """Adoption asks for no revision."""
    real = _claim.Claim._write

    async def write(self: Any, obj: Any, meta: Any, *, lock: bool = False) -> Any:
        return await real(self, obj, meta)

    swap(stack, _claim.Claim, "_write", write)


def others_alone(stack: ExitStack) -> None:
    """What could not be adopted as it was seen is left out, and others are made in its place."""
    real = _claim.Claim._write

    async def write(self: Any, obj: Any, meta: Any, *, lock: bool = False) -> Any:
        try:
            return await real(self, obj, meta, lock=lock)
        except Conflict:
            return None

    swap(stack, _claim.Claim, "_write", write)


FAULTS: list[tuple[str, Fault]] = [
    ("cronjob_twice_after_restart", mutations.jobs_by_chance),
    ("daemonset_all_at_once", mutations.all_daemons),
    ("deployment_hash_collision", uncounted_collision),
    ("deployment_recreate_rolled_back", in_between),
    ("deployment_rolled_back_with_late_cache", mutations.no_surge_limit),
    ("deployment_sizes_from_late_cache", mutations.late_sizes),
    ("endpoints_of_terminating_pods", going_addresses),
    ("gc_absent_owner_remembered", mutations.absent_by_uid),
    ("gc_orphan_asked_for_later", mutations.told_to_wait),
    ("gc_owner_of_unknown_kind", mutations.unknown_is_gone),
    ("gc_starts_late", mutations.trusting_collector),
    ("gc_starts_late", seen_owners_alone),
    ("job_counts_twice", mutations.forgetful_jobs),
    ("job_ended_between_two_writes", mutations.finalizer_first),
    ("job_entered_as_failed_ends_well", mutations.counted_both_ways),
    ("job_kept_pod_in_ending_namespace", patient_with_endings),
    ("job_orphan_deleted_before_adoption", patient_with_orphans),
    ("job_second_pod_on_late_status", mutations.forgetful_jobs),
    ("job_success_while_shrinking", hasty_release),
    ("job_terminated_pods_missing", untracked),
    ("node_back_within_grace", mutations.late_eviction),
    ("pods_of_another_owner", mutations.careless_claim),
    ("replicaset_adopts_on_late_cache", adopted_as_they_were),
    ("replicaset_counts_what_it_adopted", others_alone),
    ("replicaset_too_many_after_restart", mutations.no_expectations),
    ("statefulset_claim_of_another_set", claims_by_name),
    ("statefulset_live_pod_on_late_cache", mutations.by_name_alone),
    ("statefulset_replaced_pod", another_revision),
    ("taint_eviction_cancelled", timers_go_on),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_a_scenario_notices_its_fault(name: str, fault: Fault) -> None:
    with ExitStack() as stack:
        fault(stack)
        with pytest.raises((AssertionError, ApiError)):
            play(FOLDER / f"{name}.txt")


def test_every_scenario_has_a_fault() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} - {name for name, _ in FAULTS} == {
        "namespace_with_broken_conversion"  # of the API server: it would have to convert what it deletes
    }
