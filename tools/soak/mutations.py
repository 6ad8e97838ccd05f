"""Whether the controllers' soak would notice: known faults of controllers are planted, and worlds are played until one breaks.

`python -m tools.soak.mutations [--most 40] [--seed S] [NAME ...]`. Says for each how many seeds it took, and what broke.
"""

import logging
import random
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace as with_changed
from functools import partial
from typing import Any
from unittest import mock

from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import ResourceClient
from pybernetes.controllers import (
    _daemons,
    _deployment_status,
    _hpa_behavior,
    _job_books,
    _rollout,
    _stateful,
    cronjob,
    deployment,
    disruption,
    endpointslice_mirroring,
    garbage_collector,
    job,
    persistentvolume_attach_detach,
    persistentvolumeclaim_protection,
    resourcequota,
    serviceaccount_token,
    statefulset,
    taint_eviction,
)
from pybernetes.controllers._claim import Claim
from pybernetes.controllers._expectations import Expectations, LastWrites
from pybernetes.rules import indexes, volumebinding
from tools.soak._rounds import arguments, with_fixed_hashes
from tools.soak.worlds.lives import run_world

Patch = Callable[[ExitStack], None]


def _swap(stack: ExitStack, owner: Any, name: str, made: Any) -> None:
    stack.enter_context(mock.patch.object(owner, name, made))


def no_expectations(stack: ExitStack) -> None:
    """Whoever makes Pods does not wait until the cache shows them (kubernetes #7160 and many after it)."""
    _swap(stack, Expectations, "met", lambda self, owner, seen, now: True)


def by_name_alone(stack: ExitStack) -> None:
    """Pods are deleted by name, whichever it is now: a late cache ends a live Pod of a StatefulSet (kubernetes #59848)."""
    real = ResourceClient.delete

    async def delete(self: Any, key: Any, **options: Any) -> None:
        await real(self, key, **options | {"uid": "", "revision": ""})

    _swap(stack, ResourceClient, "delete", delete)


def finalizer_first(stack: ExitStack) -> None:
    """A Job takes finalizers off before its status has the uids (kubernetes #104480 in its first form)."""
    real: Callable[..., Awaitable[None]] = job._Sync._keep_books

    async def keep_books(self: Any, seen: Any, status: Any, end: Any, backoff: Any) -> None:
        entry = _job_books.enter(seen, status, end)
        await self._release(entry.release, set(seen.tracked))
        await real(self, seen, status, end, backoff)

    _swap(stack, job._Sync, "_keep_books", keep_books)


def forgetful_jobs(stack: ExitStack) -> None:
    """A Job does not remember what it has written, and counts what a late cache shows once more (kubernetes #116843)."""
    _swap(stack, LastWrites, "behind", lambda self, obj, now: False)
    _swap(stack, job._Memory, "released", lambda self, key, pods: set())
    real = ResourceClient.patch

    async def patch(self: Any, old: Any, new: Any, **options: Any) -> Any:
        return await real(self, old, new, **options | {"lock": False})

    _swap(stack, ResourceClient, "patch", patch)


def unknown_is_gone(stack: ExitStack) -> None:
    """The collector takes an owner whose kind nobody serves for one that is gone."""
    real = garbage_collector._state_of

    async def state_of(*args: Any) -> Any:
        return await real(*args) or "dangling"

    _swap(stack, garbage_collector, "_state_of", state_of)
    _swap(stack, garbage_collector, "_is_unknown", lambda state, node, ref: False)


def trusting_collector(stack: ExitStack) -> None:
    """The collector believes its graph: an owner that it has not seen is gone (kubernetes #54858)."""
    real = garbage_collector._state_of

    async def state_of(ctx: Any, state: Any, node: Any, ref: Any) -> Any:
        return "dangling" if state.graph.get(ref.uid) is None else await real(ctx, state, node, ref)

    _swap(stack, garbage_collector, "_state_of", state_of)


def absent_by_uid(stack: ExitStack) -> None:
    """The collector remembers absent owners by uid alone: a wrong name poisons it (kubernetes #65200)."""
    _swap(stack, garbage_collector, "_named", lambda namespace, ref: (namespace, ref.uid))


def restless_status(stack: ExitStack) -> None:
    """A Deployment's status is another one in every look, and each brings the next (kubernetes #48190 and others)."""
    real = _deployment_status.progressed

    def progressed(*args: Any) -> Any:
        status = real(*args)
        return replace(status, collisionCount=(status.collisionCount or 0) + 1)

    _swap(stack, _deployment_status, "progressed", progressed)


def late_sizes(stack: ExitStack) -> None:
    """A Deployment adds up the sizes that its cache shows."""
    _swap(stack, deployment.Rollout, "_is_late", lambda self, found: False)


def no_surge_limit(stack: ExitStack) -> None:
    """A rollout makes all new Pods at once."""
    _swap(stack, deployment, "new_size", lambda d, sets, now: _rollout.replicas_of(d))


def no_least(stack: ExitStack) -> None:
    """A rollout removes all old Pods at once."""
    _swap(stack, deployment, "old_sizes", lambda d, new, old: {rs.metadata.name: 0 for rs in old})


def all_daemons(stack: ExitStack) -> None:
    """A DaemonSet's update takes all Pods at once (kubernetes #98197: availability from a late cache)."""
    _swap(stack, _daemons, "limits", lambda ds, wanted: (0, 100))


def unordered(stack: ExitStack) -> None:
    """An ordered StatefulSet makes and updates all Pods at once."""
    _swap(stack, _stateful, "is_ordered", lambda s: False)


def always_outdated(stack: ExitStack) -> None:
    """A StatefulSet takes Pods of the current revision for old ones while the partition is ignored."""
    real = _stateful.next_steps

    def next_steps(s: Any, pods: Any, update: str, now: float) -> Any:
        steps = real(s, pods, update, now)
        if not steps.delete and pods and random.Random(now).random() < 0.05:
            steps.delete.append(pods[0])
        return steps

    _swap(stack, statefulset, "next_steps", next_steps)


def jobs_by_chance(stack: ExitStack) -> None:
    """A CronJob's Jobs have names of chance: who restarts before the status is written makes another for the same time."""
    _swap(stack, cronjob._Sync, "_name_at", lambda self, at: f"c-{self._ctx.clock.random.randrange(10**6)}")


def shaky_forbid(stack: ExitStack) -> None:
    """A CronJob that forbids concurrency forgets what it has just made."""
    real = cronjob._Sync._start

    async def start(self: Any, status: Any, at: Any, zone: Any) -> Any:
        return await real(self, replace(status, active=()), at, zone)

    _swap(stack, cronjob._Sync, "_start", start)


def hasty_quota(stack: ExitStack) -> None:
    """A recount overwrites what admission has charged meanwhile."""
    real = resourcequota._write

    async def write(ctx: Any, quota: Any, hard: Any, used: Any) -> Any:
        meta = replace(quota.metadata, resourceVersion="")
        return await real(ctx, replace(quota, metadata=meta), hard, {name: value * 0 for name, value in used.items()})

    _swap(stack, resourcequota, "_write", write)


def careless_claim(stack: ExitStack) -> None:
    """Controllers count, and remove, whatever their selector matches, whoever owns it."""
    real = Claim.run

    async def run(self: Any, wanted: Any = lambda obj: True) -> Any:
        owned = await real(self, wanted)
        others = [o for o in self._cache.of(self._meta.namespace) if o not in owned and wanted(o) and self._matches(o)]
        return [*owned, *others]

    _swap(stack, Claim, "run", run)


def late_eviction(stack: ExitStack) -> None:
    """A taint that has gone evicts nevertheless: its timer was not stopped (kubernetes #90794)."""
    real, remembered = taint_eviction._executing, dict[str, Any]()

    def executing(node: Any) -> Any:
        found = real(node)
        if found:
            remembered[node.metadata.uid] = found
        return found or remembered.get(node.metadata.uid, [])

    _swap(stack, taint_eviction, "_executing", executing)


def counted_both_ways(stack: ExitStack) -> None:
    """A Pod that was entered as failed and then ended well completes its index, too."""
    real = _job_books.tally

    def tally(job: Any, pods: Any, released: Any = frozenset()) -> Any:
        seen = real(job, pods, released)
        found = [_job_books.completion_index(pod) for pod in seen.pods if pod.status.phase == "Succeeded"]
        ended = {index for index in found if index is not None}
        if not ended or not _job_books.is_indexed(job):
            return seen
        done = indexes.merged(seen.done, indexes.of(ended))
        return with_changed(seen, done=done, succeeded=indexes.total(done))

    _swap(stack, _job_books, "tally", tally)


def told_to_wait(stack: ExitStack) -> None:
    """The collector believes its graph of an owner that waits: it may have been told meanwhile to let its dependents go."""
    real = garbage_collector._state_of

    async def state_of(ctx: Any, state: Any, node: Any, ref: Any) -> Any:
        known = state.graph.get(ref.uid)
        return "waiting" if known is not None and known.waiting else await real(ctx, state, node, ref)

    _swap(stack, garbage_collector, "_state_of", state_of)


def forgetful_mirror(stack: ExitStack) -> None:
    """Who mirrors Endpoints makes a slice again that its cache does not show yet."""
    _swap(stack, endpointslice_mirroring, "Expectations", _NoExpectations)


class _NoExpectations(Expectations):
    def met(self, owner: Any, seen: Any, now: float) -> bool:
        return True


def any_claim(stack: ExitStack) -> None:
    """A Pod takes whatever claim has the name of its own (KEP-1698 forbids that)."""
    _swap(stack, volumebinding, "not_of_pod", lambda claim, pod: "")


def unprotected_claim(stack: ExitStack) -> None:
    """A claim goes when the cache shows no Pod that uses it."""
    real: Callable[..., Awaitable[None]] = vars(persistentvolumeclaim_protection)["protect"]

    async def protect(claim: Any, finalizer: str, in_use: bool, ctx: Any) -> None:
        where = f"{claim.metadata.namespace}/{claim.metadata.name}"
        cached = ctx.cache(core_v1.Pod).by(persistentvolumeclaim_protection.CLAIMS, where)
        await real(claim, finalizer, bool(cached), ctx)

    _swap(stack, persistentvolumeclaim_protection, "protect", protect)


def hasty_detach(stack: ExitStack) -> None:
    """A volume is taken from a node that says that it uses it."""
    _swap(stack, persistentvolume_attach_detach._Look, "_wait", lambda self: 0.0)


def two_places(stack: ExitStack) -> None:
    """A volume for one node at a time is sent to a second one (kubernetes #65391 and its kind)."""
    _swap(stack, persistentvolume_attach_detach, "shareable", lambda volume: True)


def any_account(stack: ExitStack) -> None:
    """A token is made for whoever has the account's name now."""
    real = serviceaccount_token._account_of

    async def account_of(annotations: Any, namespace: str, ctx: Any) -> Any:
        return await real({**annotations, serviceaccount_token.UID: ""}, namespace, ctx)

    _swap(stack, serviceaccount_token, "_account_of", account_of)


def cached_account(stack: ExitStack) -> None:
    """A token goes when the cache does not show its account."""

    async def account_of(annotations: Any, namespace: str, ctx: Any) -> Any:
        return ctx.cache(core_v1.ServiceAccount).get(Key(namespace, annotations[serviceaccount_token.NAME]))

    _swap(stack, serviceaccount_token, "_account_of", account_of)


def unbounded(stack: ExitStack) -> None:
    """An autoscaler grows one beyond its bounds."""
    for name in ("limited", "limited_by"):
        real = getattr(_hpa_behavior, name)
        _swap(stack, _hpa_behavior, name, partial(_one_more, real))


def _one_more(real: Any, *args: Any) -> Any:
    ruled = real(*args)
    return replace(ruled, replicas=ruled.replicas + 1)


def generous_budget(stack: ExitStack) -> None:
    """A budget's status overwrites what an eviction has spent meanwhile (kubernetes #91808 and its kind)."""

    async def write(budget: Any, status: Any, ctx: Any) -> None:
        new = replace(budget, status=status)
        await ctx.api(type(budget)).patch(budget, new, subresource="status", lock=False)

    _swap(stack, disruption, "_write", write)
    _swap(stack, disruption, "_disrupted", lambda budget, pods, now: ({}, []))


MUTATIONS: Mapping[Patch, tuple[str, ...]] = {
    no_expectations: ("deployments",),
    by_name_alone: ("statefulsets",),
    finalizer_first: ("jobs",),
    forgetful_jobs: ("jobs",),
    unknown_is_gone: ("owners",),
    trusting_collector: ("owners",),
    absent_by_uid: ("owners",),
    restless_status: ("deployments",),
    late_sizes: ("deployments",),
    no_surge_limit: ("deployments",),
    no_least: ("deployments",),
    all_daemons: ("daemonsets",),
    unordered: ("statefulsets",),
    always_outdated: ("statefulsets",),
    jobs_by_chance: ("cronjobs",),
    shaky_forbid: ("cronjobs",),
    hasty_quota: ("rcs", "quotas"),
    careless_claim: ("rcs", "deployments"),
    late_eviction: ("rcs",),
    counted_both_ways: ("jobs",),
    told_to_wait: ("owners",),
    forgetful_mirror: ("mirrors",),
    any_claim: ("scratch",),
    unprotected_claim: ("scratch", "disks"),
    hasty_detach: ("disks",),
    two_places: ("disks",),
    any_account: ("tokens",),
    cached_account: ("tokens",),
    unbounded: ("deployments", "autoscalers"),
    generous_budget: ("rcs", "budgets"),
}
"""Each fault, and the casts of the worlds in which it is looked for."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The fault of that name is there."""
    with ExitStack() as stack:
        _by_name(name)(stack)
        yield


def _by_name(name: str) -> Patch:
    return next(made for made in MUTATIONS if made.__name__ == name)


def hunt(name: str, first: int, most: int) -> tuple[int, str]:
    """How many seeds it took, 0 if none was enough; and what was broken."""
    casts = MUTATIONS[_by_name(name)]
    with planted(name):
        for count in range(1, most + 1):
            try:
                run_world(first + count - 1, casts)
            except (AssertionError, RuntimeError) as fault:
                return count, str(fault).splitlines()[0]
    return 0, ""


def main() -> int:
    """1 if a fault stays unnoticed."""
    parser = arguments(__doc__)
    parser.add_argument("--most", type=int, default=40, help="seeds for each fault at most")
    parser.add_argument("names", nargs="*", default=[made.__name__ for made in MUTATIONS])
    options = parser.parse_args()
    with_fixed_hashes()
    logging.disable(logging.WARNING)
    unnoticed = []
    for name in options.names:
        count, broken = hunt(name, options.seed, options.most)
        print(
            f"{name}: {f'seed {options.seed + count - 1}, the {count}th' if count else 'unnoticed'}: {broken}",
            flush=True,
        )
        unnoticed += [] if count else [name]
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
