"""Garbage collector: deletes what lost its owners, and finishes foreground and orphaning deletions. _graph.py has the graph.

It follows the metadata of every resource that discovery knows. The graph only says where to look: before anything is
deleted or let go, the object and those of its owners that do not simply stay are read live. An owner of an unknown kind is
not "gone".
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from pybernetes.api.errors import Conflict, NotFound
from pybernetes.api.objects import Key, split_api_version
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.discovery import Served, discover
from pybernetes.client.rest import MERGE, Propagation, Target, key_of
from pybernetes.controllers._graph import FOREGROUND, ORPHAN, Graph, Node, node_of
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, allow
from pybernetes.wire.metrics import Counter

log = logging.getLogger(__name__)

IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
REFRESH = 30.0
"""Seconds between looks at discovery, which has no watch."""
PATIENCE = 30.0
"""Seconds that a resource may take to be listed before collection begins without it."""
UNKNOWN = 10.0
"""Seconds until an object whose owner's kind nobody serves is looked at again."""
REMEMBERED = 5000
"""Owners known to be absent."""


class Owners(Struct, frozen=True):
    """An object's owners by what they are now."""

    solid: tuple[meta_v1.OwnerReference, ...]
    waiting: tuple[meta_v1.OwnerReference, ...]
    dangling: tuple[meta_v1.OwnerReference, ...]


class Figures:
    """Upstream's metric."""

    def __init__(self) -> None:
        self.errors = Counter(
            "garbagecollector_controller_resources_sync_error_total",
            "Number of garbage collector resources sync errors",
        )


class Collector:
    """What the collector remembers."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.ready = asyncio.Event()
        self.kinds: dict[tuple[str, str], Target] = {}
        """(group, kind) to the resource."""
        self.followed: dict[Target, Callable[[Any, Any], None]] = {}
        self.absent: OrderedDict[tuple[str, ...], None] = OrderedDict()
        """Owners that were asked for and not found, by all that names them: a wrong name says nothing about the uid."""
        self.unknown: set[tuple[str, str]] = set()
        """(group, kind) of owners that nobody serves, as far as that was told."""

    def is_absent(self, namespace: str, ref: meta_v1.OwnerReference) -> bool:
        """Whether the owner was found to be gone."""
        return _named(namespace, ref) in self.absent

    def note_absent(self, namespace: str, ref: meta_v1.OwnerReference) -> None:
        """Remembers it."""
        self.absent[_named(namespace, ref)] = None
        while len(self.absent) > REMEMBERED:
            self.absent.popitem(last=False)


def _named(namespace: str, ref: meta_v1.OwnerReference) -> tuple[str, ...]:
    return namespace, split_api_version(ref.apiVersion)[0], ref.kind, ref.name, ref.uid


async def follow(ctx: Context) -> None:
    """Follows every resource that can be listed, watched and deleted, and those that appear later."""
    state = ctx.state(Collector)
    while True:
        discovered = await discover(ctx.client)
        if discovered.stale:
            ctx.metrics(Figures).errors.add()
        wanted = {r.target for r in discovered.resources if _collectable(r)}
        state.kinds = {(r.target.group, r.target.kind): r.target for r in discovered.resources}
        for target in sorted(wanted - state.followed.keys(), key=str):
            _start(ctx, state, target)
        for target in [t for t in state.followed if t not in wanted]:
            # A group whose server does not answer is not gone.
            if f"{target.group}/{target.version}" not in discovered.stale:
                del state.followed[target]
                ctx.informers.drop(target)
                state.graph.forget(target)
        if not state.ready.is_set():
            await _synced(ctx, state)
            state.ready.set()
            log.info("collecting garbage resources=%d objects=%d", len(state.followed), len(state.graph))
        await ctx.clock.sleep(REFRESH)


def _collectable(resource: Served) -> bool:
    ignored = (resource.target.group, resource.target.plural) in IGNORED
    return {"list", "watch", "delete"} <= resource.verbs and not ignored


def _start(ctx: Context, state: Collector, target: Target) -> None:
    def on_change(old: Any, new: Any) -> None:
        if target not in state.followed:
            return
        needs = (
            state.graph.remove(old.metadata.uid)
            if new is None
            else state.graph.put(node_of(target, key_of(new), new.metadata))
        )
        if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
            needs = [*needs, *state.graph.remove(old.metadata.uid)]
        for uid in needs:
            ctx.queue.add(Key("", uid))

    state.followed[target] = on_change
    ctx.informers.metadata(target).on_change(on_change)


async def _synced(ctx: Context, state: Collector) -> None:
    late: list[str] = []
    for target in tuple(state.followed):
        try:
            async with asyncio.timeout(PATIENCE if not late else 0.1):
                await ctx.informers.metadata(target).synced.wait()
        except TimeoutError:
            late.append(target.plural)
    if late:
        ctx.metrics(Figures).errors.add()
        log.warning("collecting garbage without resources=%s: they could not be listed yet", ",".join(late))


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One object, by uid."""
    state = ctx.state(Collector)
    await state.ready.wait()
    node = state.graph.get(key.name)
    if node is None or (not node.deleting and state.graph.settled(node)):
        return Done()
    if not node.deleting and any(_is_unknown(state, node, ref) for ref in node.owners):
        return Again(UNKNOWN)  # without a request: there may be thousands whose owner's kind is not served any more
    try:
        live = await ctx.client.metadata(node.target).get(node.key)
    except NotFound:
        return Done()
    if live.metadata.uid != node.uid:
        return Done()
    if live.metadata.deletionTimestamp is not None:
        return await _deleting(ctx, state, node, live.metadata)
    if not live.metadata.ownerReferences:
        return Done()
    owners = await _classify(ctx, state, node, live.metadata)
    if owners is None:
        return Again(UNKNOWN)
    if owners.solid:
        if owners.dangling or owners.waiting:
            gone = {ref.uid for ref in (*owners.dangling, *owners.waiting)}
            await _drop_owners(ctx, node, live.metadata, gone)
        return Done()
    await _delete(ctx, state, node, live.metadata, foreground=bool(owners.waiting))
    return Done()


async def _delete(ctx: Context, state: Collector, node: Node, meta: meta_v1.ObjectMeta, *, foreground: bool) -> None:
    """Deletes what has no owner left, in the way that its owner's deletion or its own finalizers ask for."""
    policy: Propagation = "Background"
    if ORPHAN in meta.finalizers:
        policy = "Orphan"
    elif FOREGROUND in meta.finalizers or (foreground and state.graph.dependents(node.uid)):
        policy = "Foreground"
        if foreground and any(dependent.waiting for dependent in state.graph.dependents(node.uid)):
            log.warning("owners form a circle object=%s/%s: it no longer blocks", node.target.plural, node.key)
            await _unblock(ctx, node, meta)
    log.info("collect object=%s/%s policy=%s", node.target.plural, node.key, policy)
    try:
        await ctx.client.metadata(node.target).delete(
            node.key, uid=node.uid, revision=meta.resourceVersion if policy == "Background" else "", propagation=policy
        )
    except NotFound:
        return


async def _deleting(ctx: Context, state: Collector, node: Node, meta: meta_v1.ObjectMeta) -> Outcome:
    if ORPHAN in meta.finalizers:
        await _orphan(ctx, state, node)
        await _drop_finalizer(ctx, node, meta, ORPHAN)
    elif FOREGROUND in meta.finalizers:
        blocking = state.graph.blocking(node.uid)
        if not blocking:
            await _drop_finalizer(ctx, node, meta, FOREGROUND)
        for dependent in blocking:
            if not dependent.deleting:
                ctx.queue.add(Key("", dependent.uid))
    return Done()


async def _orphan(ctx: Context, state: Collector, node: Node) -> None:
    """Takes the owner out of all dependents; one that fails does not keep the others."""
    failure: Exception | None = None
    for dependent in state.graph.dependents(node.uid):
        try:
            await _drop_live(ctx, dependent, {node.uid})
        except NotFound:
            continue
        except (Conflict, OSError) as error:
            failure = error
    if failure is not None:
        raise failure


async def _drop_live(ctx: Context, node: Node, uids: set[str]) -> None:
    """Once more on a lost race, from a fresh read."""
    for _ in range(4):
        live = await ctx.client.metadata(node.target).get(node.key)
        if live.metadata.uid != node.uid:
            return
        try:
            await _drop_owners(ctx, node, live.metadata, uids)
        except Conflict:
            continue
        return
    raise Conflict(f"{node.target.plural} {node.key} changes too fast to release it")


async def _drop_owners(ctx: Context, node: Node, meta: meta_v1.ObjectMeta, uids: set[str]) -> None:
    kept = [ref for ref in meta.ownerReferences if ref.uid not in uids]
    if len(kept) != len(meta.ownerReferences):
        await _patch(ctx, node, meta, {"ownerReferences": kept or None})


async def _unblock(ctx: Context, node: Node, meta: meta_v1.ObjectMeta) -> None:
    refs = [_unblocked(ref) for ref in meta.ownerReferences]
    await _patch(ctx, node, meta, {"ownerReferences": refs})


def _unblocked(ref: meta_v1.OwnerReference) -> meta_v1.OwnerReference:
    return meta_v1.OwnerReference(
        apiVersion=ref.apiVersion, kind=ref.kind, name=ref.name, uid=ref.uid, controller=ref.controller,
        blockOwnerDeletion=False if ref.blockOwnerDeletion else ref.blockOwnerDeletion,
    )  # fmt: skip


async def _drop_finalizer(ctx: Context, node: Node, meta: meta_v1.ObjectMeta, name: str) -> None:
    kept = [finalizer for finalizer in meta.finalizers if finalizer != name]
    try:
        await _patch(ctx, node, meta, {"finalizers": kept or None})
    except NotFound:
        return


async def _patch(ctx: Context, node: Node, meta: meta_v1.ObjectMeta, change: Mapping[str, Any]) -> None:
    """A merge patch, since custom resources know no other, at the revision that was read: lists go whole."""
    identity = {"uid": meta.uid, "resourceVersion": meta.resourceVersion}
    await ctx.client.metadata(node.target).patch_raw(node.key, {"metadata": {**identity, **change}}, MERGE)


async def _classify(ctx: Context, state: Collector, node: Node, meta: meta_v1.ObjectMeta) -> Owners | None:
    """None when it cannot be said of an owner: its kind is not served now."""
    found: dict[str, list[meta_v1.OwnerReference]] = {"solid": [], "waiting": [], "dangling": []}
    for ref in meta.ownerReferences:
        what = await _state_of(ctx, state, node, ref)
        if what is None:
            return None
        found[what].append(ref)
    return Owners(*(tuple(refs) for refs in found.values()))


async def _state_of(
    ctx: Context, state: Collector, node: Node, ref: meta_v1.OwnerReference
) -> Literal["solid", "waiting", "dangling"] | None:
    namespace = node.key.namespace
    known = state.graph.get(ref.uid)
    if known is not None and known.key.namespace not in ("", namespace):
        _tell_namespace(ctx, node, ref)
    if known is None and state.is_absent(namespace, ref):
        return "dangling"  # an uid comes back only with a store that is put back, and is seen then
    target = state.kinds.get(_kind_of(ref))
    if target is None:
        return None
    if target.namespaced and not namespace:
        log.warning("cluster-scoped object=%s/%s names a namespaced owner=%s", node.target.plural, node.key, ref.name)
        return "solid"
    if known is not None and not known.waiting and known.key == Key(namespace if target.namespaced else "", ref.name):
        return "solid"  # one that waits for its dependents may have been told meanwhile to let them go
    try:
        live = await ctx.client.metadata(target).get(Key(namespace if target.namespaced else "", ref.name))
    except NotFound:
        state.note_absent(namespace, ref)
        return "dangling"
    if live.metadata.uid != ref.uid:
        state.note_absent(namespace, ref)
        return "dangling"
    waiting = live.metadata.deletionTimestamp is not None and FOREGROUND in live.metadata.finalizers
    return "waiting" if waiting else "solid"


def _kind_of(ref: meta_v1.OwnerReference) -> tuple[str, str]:
    return split_api_version(ref.apiVersion)[0], ref.kind


def _is_unknown(state: Collector, node: Node, ref: meta_v1.OwnerReference) -> bool:
    """Nobody serves the owner's kind now, so that nothing can be said of it; told once a kind."""
    kind = _kind_of(ref)
    if kind in state.kinds:
        state.unknown.discard(kind)
        return False
    if state.graph.get(ref.uid) is None and state.is_absent(node.key.namespace, ref):
        return False
    if kind not in state.unknown and len(state.unknown) < REMEMBERED:
        state.unknown.add(kind)
        log.warning("owner of unknown kind object=%s/%s owner=%s/%s", node.target.plural, node.key, ref.kind, ref.name)
    return True


def _tell_namespace(ctx: Context, node: Node, ref: meta_v1.OwnerReference) -> None:
    """An owner that is there, in another namespace, is none (the concept of owners and dependents)."""
    target, namespace = node.target, node.key.namespace
    about = core_v1.ObjectReference(
        apiVersion=target.api_version, kind=target.kind, namespace=namespace, name=node.key.name, uid=node.uid
    )
    owner = f"[{ref.apiVersion}/{ref.kind}, namespace: {namespace}, name: {ref.name}, uid: {ref.uid}]"
    text = f'ownerRef {owner} does not exist in namespace "{namespace}"'
    ctx.events.event(about, "Warning", "OwnerRefInvalidNamespace", text)


CONTROLLER = Controller(
    name="garbage-collector-controller",
    queue="garbage_collector_attempt_to_delete",
    account="generic-garbage-collector",
    watches=(),
    reconcile=reconcile,
    background=follow,
    workers=20,
    rules=(allow("delete get list patch update watch", "*", "*"), EVENTS),
)
