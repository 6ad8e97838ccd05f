"""WatchCache: every object of every resource in memory, kept true by one watch on the store. watcher.py fans out of it.

All resources share the store's one revision: once `revision` is R, every write up to R is here and has been offered to
every watcher. Reads wait for the store's current revision (`fresh`), writes for their own (`reached`): you read what
you wrote.
"""

import asyncio
import logging
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

from pybernetes.api.errors import Expired, GatewayTimeout, NotFound
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import ROOT, Served
from pybernetes.apiserver.registry import Listener
from pybernetes.apiserver.watchcache.entry import FORMS, Entry, entry_of
from pybernetes.apiserver.watchcache.watcher import INDEXED_FIELD, Change, Rounds, Scope, Watcher, scopes_of
from pybernetes.store.protocol import Compacted, Event, Revision, SlowWatcher, Store, Unavailable

log = logging.getLogger(__name__)

HISTORY = 4096
"""Changes a resource remembers for watches that resume."""
HISTORY_BYTES = 64 * 1024 * 1024
"""What their states may take together: large objects are remembered less long."""
WAIT_SECONDS = 3.0
"""How long a read waits for a revision that has not come (upstream's blockTimeout)."""
_REOPEN_SECONDS = 0.5
_PAGE = 2000
Past: TypeAlias = Mapping[str, Entry | None]
"""How a resource was at an earlier revision, where that differs from now; None is what was not there then."""
NOW: Past = {}


def _bounds(namespace: str, after: str) -> tuple[str, str]:
    """The first key, and the first one beyond."""
    begin = max(namespace + "/" if namespace else "", after + "\0" if after else "")
    return begin, namespace + "0" if namespace else _BEYOND


_BEYOND = "\U0010ffff"


class ResourceCache:
    """The objects of one resource, sorted by `namespace/name` in byte order, and its newest changes."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.entries: dict[str, Entry] = {}
        self.keys: list[str] = []
        self.changes: deque[Change] = deque()
        self.size = self.history_size = 0
        """Bytes of the entries, and of the states in `changes`."""
        self.received = self.terminated = 0
        """Changes so far, and watchers that were cut off."""
        self.since = 0
        """Every change after this revision is in `changes`."""
        self.watchers: dict[Scope, dict[Watcher, None]] = {}  # in order of arrival, so that a seed repeats a run
        self.rounds = Rounds()
        self._watched = 0
        self._nodes: dict[str, set[str]] | None = {} if INDEXED_FIELD in served.fields else None
        """Keys by spec.nodeName, where objects have one."""
        self._listeners: list[Listener] = []
        self.whole = False
        """Who listens looks at more than Resource.glance."""

    def tell(self, obj: Object) -> None:
        """Tells who listens of an object that is there; replace() brings its entry."""
        for listener in self._listeners:
            listener("ADDED", obj)

    def replace(self, entries: Iterable[Entry], revision: int, *, told: bool = False) -> None:
        """Starts over from a state of the store; who listens is `told` already where there was none before."""
        before = self.entries
        self.forget()
        self.entries = {entry.key: entry for entry in entries}
        self.keys = sorted(self.entries)
        if self._nodes is not None:
            self._nodes = {}
            for entry in self.entries.values():
                self._nodes.setdefault(entry.value(INDEXED_FIELD) or "", set()).add(entry.key)
        self.changes.clear()
        self.history_size = 0
        self.size = sum(len(entry.body) for entry in self.entries.values())
        self.since = revision
        if told or not self._listeners:
            return
        for key, entry in before.items():
            if key not in self.entries:
                obj = entry.object()
                for listener in self._listeners:
                    listener("DELETED", obj)
        for key, entry in self.entries.items():
            obj = entry.object()
            for listener in self._listeners:
                listener("MODIFIED" if key in before else "ADDED", obj)

    def follow(self, before: "ResourceCache") -> None:
        """Takes the place of another: who listened to that one goes on here."""
        self.entries, self._listeners, self.whole = before.entries, before._listeners, before.whole

    def forget(self) -> None:
        """Lets go of what is kept beside the entries, of those of the past, too."""
        for entry in (*self.entries.values(), *(state for change in self.changes for state in change.states)):
            FORMS.drop(entry)

    def clear(self) -> None:
        """Lets go of everything."""
        self.forget()
        for kept in (self.entries, self.keys, self.changes):
            kept.clear()

    def subscribe(self, listener: Listener, *, glance: bool = False) -> None:
        """Tells `listener` of every object there is, then of every change, in the step in which it is taken in.

        `glance`: what Resource.glance names is enough of it.
        """
        self._listeners.append(listener)
        self.whole = self.whole or not glance
        for entry in self.entries.values():
            listener("ADDED", entry.object())

    def select(self, namespace: str = "", after: str = "", *, node: str | None = None, past: Past = NOW) -> list[Entry]:
        """The entries of a namespace (empty: all) that sort after a key: those of a node, those of the past."""
        entries = self.entries
        keys = self._of_node(node, namespace, after, past) if node is not None else self._keys(namespace, after, past)
        if not past:
            return [entries[key] for key in keys]
        found = (past[key] if key in past else entries[key] for key in keys)
        return [entry for entry in found if entry is not None]

    def page(self, namespace: str, after: str, limit: int, past: Past) -> tuple[list[Entry], int]:
        """The first of what select() gives, and how many more there are."""
        keys, entries, found = self._keys(namespace, after, past), self.entries, list[Entry]()
        if not past:
            return [entries[key] for key in keys[:limit]], max(len(keys) - limit, 0)
        for number, key in enumerate(keys):
            entry = past[key] if key in past else entries[key]
            if entry is None:
                continue
            if len(found) == limit:
                end = _bounds(namespace, after)[1]
                created = sum(key < other < end and past[other] is None and other in entries for other in past)
                return found, len(keys) - number - created
            found.append(entry)
        return found, 0

    def past(self, revision: int) -> Past | None:
        """What was different at a revision: key to state, None for what was not there. None: that is forgotten."""
        if revision < self.since:
            return None
        found: dict[str, Entry | None] = {}
        for change in self.changes_after(revision):
            known = change.entry or change.previous
            assert known is not None
            found.setdefault(known.key, change.previous)
        return found

    def _keys(self, namespace: str, after: str, past: Past) -> list[str]:
        """In order; those of the past that are no more, too."""
        begin, end = _bounds(namespace, after)
        keys = self.keys
        found = keys[bisect_left(keys, begin) : bisect_left(keys, end)]
        gone = [key for key, entry in past.items() if entry is not None and key not in self.entries]
        gone = [key for key in gone if begin <= key < end]
        return sorted(found + gone) if gone else found

    def _of_node(self, node: str, namespace: str, after: str, past: Past) -> list[str]:
        if self._nodes is None:
            return self._keys(namespace, after, past)
        begin, end = _bounds(namespace, after)
        found = {key for key in self._nodes.get(node, ()) if key not in past}
        found |= {key for key, entry in past.items() if entry is not None and entry.value(INDEXED_FIELD) == node}
        return sorted(key for key in found if begin <= key < end)

    def apply(self, key: str, entry: Entry | None, revision: int, obj: Object | None = None) -> None:
        """One write of the store; `entry` None is a deletion. `obj` is what the entry holds, where it is known."""
        previous = self.entries.get(key)
        if entry is not None:
            if previous is None:
                insort(self.keys, key)
            self.entries[key] = entry
        elif previous is None:
            return
        else:
            del self.entries[key]
            del self.keys[bisect_left(self.keys, key)]
        self._placed(key, previous, entry)
        change = Change(entry, previous, revision)
        self._remember(change)
        if self._listeners:
            kind: Literal["ADDED", "MODIFIED", "DELETED"] = "MODIFIED" if previous is not None else "ADDED"
            if entry is None:
                kind, obj = "DELETED", change.last.object()
            elif obj is None:
                obj = entry.object()
            else:
                obj = _at_revision(obj, revision)
            for listener in self._listeners:
                listener(kind, obj)
        if self.watchers:
            for scope in scopes_of(change):
                for watcher in tuple(self.watchers.get(scope, ())):
                    watcher.offer(change)
            change.frames.clear()  # all who watch have theirs; the history keeps objects, not frames

    def _remember(self, change: Change) -> None:
        changes = self.changes
        changes.append(change)
        self.received += 1
        self.history_size += change.size
        while len(changes) > HISTORY or (self.history_size > HISTORY_BYTES and len(changes) > 1):
            forgotten = changes.popleft()
            self.since = forgotten.revision
            self.history_size -= forgotten.size

    def _placed(self, key: str, previous: Entry | None, entry: Entry | None) -> None:
        """Keeps the index, and lets go of what nobody will ask of the old state."""
        if previous is not None:
            FORMS.drop(previous)
            self.size -= len(previous.body)
        if entry is not None:
            self.size += len(entry.body)
        nodes = self._nodes
        if nodes is None:
            return
        before = None if previous is None else previous.value(INDEXED_FIELD)
        now = None if entry is None else entry.value(INDEXED_FIELD)
        if before == now:
            return
        if before is not None:
            group = nodes[before]
            group.discard(key)
            if not group:
                del nodes[before]
        if now is not None:
            nodes.setdefault(now, set()).add(key)

    def changes_after(self, revision: int) -> Sequence[Change]:
        """Raises Expired when some of them are forgotten."""
        if revision < self.since:
            raise Expired(f"too old resource version: {revision} ({self.since})")
        start = bisect_left(self.changes, revision + 1, key=lambda change: change.revision)
        return [self.changes[i] for i in range(start, len(self.changes))]

    @property
    def watching(self) -> int:
        """How many watchers there are."""
        return sum(len(group) for group in self.watchers.values())

    def interested(self, namespace: str, name: str) -> int:
        """How many watchers look at every change of an object (name empty: at a new one), but for those of a node."""
        groups: list[Scope] = [None]
        if namespace:
            groups.append(("namespace", namespace))
        if name:
            groups.append(("name", f"{namespace}/{name}" if self.served.facts.namespaced else name))
        return sum(len(self.watchers.get(group, ())) for group in groups)

    def all_watchers(self) -> list[Watcher]:
        """As of now."""
        return [watcher for group in self.watchers.values() for watcher in group]

    def add(self, watcher: Watcher) -> None:
        """Offers every later change to a watcher until it is removed."""
        watcher.number, self._watched = self._watched, self._watched + 1
        self.watchers.setdefault(watcher.scope, {})[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """May be called twice."""
        group = self.watchers.get(watcher.scope)
        if group is not None:
            group.pop(watcher, None)
            if not group:
                del self.watchers[watcher.scope]


class WatchCache:
    """The caches of all resources and the one watch that feeds them. open() once, then run() until cancelled."""

    def __init__(self, store: Store, served: Iterable[Served]) -> None:
        self._store = store
        self._by_prefix = {one.prefix: ResourceCache(one) for one in served if one.source is None}
        self._loading: dict[str, list[Event]] = {}
        """Resources that are being read, and what happened to them meanwhile."""
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._handed: dict[bytes, Object] = {}
        self.revision = 0
        self.ended = False
        self.compacted = 0
        """Older states are no longer shown to those who list."""
        self._opened = 0
        """Counts how often everything was read: each time events may have been passed over."""
        self.wait_seconds = WAIT_SECONDS

    def of(self, served: Served) -> ResourceCache:
        """The cache of one resource. Raises NotFound for one that has just gone, with its definition."""
        found = self._by_prefix.get(served.prefix)
        if found is None:
            raise NotFound("the server could not find the requested resource", details={})
        return found

    @property
    def resources(self) -> Iterable[ResourceCache]:
        """All caches."""
        return self._by_prefix.values()

    async def open(self) -> None:
        """Reads the whole store. Everything that is served answers from here afterwards."""
        revision = await self._store.revision()
        found = {}
        for prefix, cache in tuple(self._by_prefix.items()):
            # A first state is told while it is read, when objects are at hand: to decode them again would take longer.
            found[prefix] = await self._load(cache, revision, None if self._opened else cache.tell)
        for prefix, entries in found.items():
            if prefix in self._by_prefix:  # it may have gone meanwhile
                self._by_prefix[prefix].replace(entries, revision, told=not self._opened)
        self._opened += 1
        self._advance(revision)

    async def put(self, served: Served) -> None:
        """Begins to cache a resource; of one that is cached already every object is read anew and every watch ends.

        One call at a time for a resource.
        """
        while not await self._put(served):
            log.info("resource is read again, for the watch was lost meanwhile prefix=%s", served.prefix)

    async def _put(self, served: Served) -> bool:
        """False when the watch was lost while this read: then events may be missing."""
        prefix, opened = served.prefix, self._opened
        cache = ResourceCache(served)
        self._loading[prefix] = []
        try:
            revision = await self._store.revision()
            found = await self._load(cache, revision)
            await self.taken_in(revision)
        finally:
            missed = self._loading.pop(prefix)
        if opened != self._opened:
            return False
        before = self._by_prefix.get(prefix)
        if before is not None:
            cache.follow(before)
        self.drop(served)
        cache.replace(found, revision)
        for event in missed:
            if event.revision > revision:
                self._apply(cache, event)
        self._by_prefix[prefix] = cache
        return True

    async def _load(
        self, cache: ResourceCache, revision: Revision, tell: Callable[[Object], None] | None = None
    ) -> list[Entry]:
        """Reads the objects of one resource, page by page so that the loop is not held up for long."""
        found, after = list[Entry](), ""
        while True:
            page = await self._store.range(cache.served.prefix, after=after, limit=_PAGE, at=revision)
            for stored in page.items:
                read = self._read(cache, stored.key, stored.value, stored.revision)
                if read is not None:
                    found.append(read[0])
                    if tell is not None:
                        read[1]["metadata"]["resourceVersion"] = str(stored.revision)  # decoded here, for this alone
                        tell(read[1])
            if not page.more:
                return found
            after = page.items[-1].key

    def drop(self, served: Served) -> None:
        """Caches a resource no longer; ends its watches."""
        cache = self._by_prefix.pop(served.prefix, None)
        if cache is not None:
            cache.forget()
            for watcher in cache.all_watchers():
                watcher.end()

    async def run(self) -> None:
        """Follows the store. A lost watch reloads everything and ends every watcher with 410: none may miss a change."""
        while True:
            watch = None
            try:
                # Of every key: a revision that is told of nowhere would be waited for.
                watch = await self._store.watch("", Revision(self.revision))
                async for events in watch:
                    self._take(events)
                return
            except (Compacted, SlowWatcher) as error:
                log.warning("watch cache reloads revision=%d cause=%s", self.revision, error)
            finally:
                if watch is not None:
                    await watch.aclose()
            await self._open_again()
            for watcher in self._watchers():
                watcher.fail(Expired("too old resource version: the history was lost").status())

    async def _open_again(self) -> None:
        """As soon as the store can be read."""
        while True:
            try:
                return await self.open()
            except (Unavailable, Compacted) as error:
                log.warning("watch cache is not reloaded yet cause=%s", error)
                await asyncio.sleep(_REOPEN_SECONDS)

    def close(self) -> None:
        """Nobody will ask any more: the objects go, and what the process keeps of them."""
        for cache in self._by_prefix.values():
            cache.clear()

    def end(self) -> None:
        """Ends every watch, and what may still begin; what is queued is still sent. Clients resume elsewhere or later."""
        self.ended = True
        for watcher in self._watchers():
            watcher.end()

    def _watchers(self) -> list[Watcher]:
        return [watcher for cache in self._by_prefix.values() for watcher in cache.all_watchers()]

    async def fresh(self) -> None:
        """Waits until the cache holds everything the store has acknowledged by now."""
        revision = await self._store.revision()
        if self.revision < revision:
            await self.taken_in(revision)

    async def reached(self, revision: int) -> None:
        """Waits for a revision that a client names. Raises GatewayTimeout (reason Timeout) when it does not come."""
        if self.revision >= revision:
            return
        try:
            async with asyncio.timeout(self.wait_seconds):
                await self.taken_in(revision)
        except TimeoutError:
            raise too_large(revision, self.revision) from None

    def past(self, served: Served, revision: int) -> Past | None:
        """How a resource differed at a revision that has been here; None: only the store knows, if anybody."""
        return self.of(served).past(revision) if self.compacted <= revision <= self.revision else None

    async def compact(self, before: Revision) -> None:
        """Forgets history, here and in the store. Raises StoreError."""
        await self._store.compact(before)
        self.compacted = before

    async def taken_in(self, revision: int) -> None:
        """Waits for a revision that the store has acknowledged: it comes, however slow the machine is."""
        if self.revision < revision:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((revision, waiter))
            await waiter

    @contextmanager
    def handing_over(self, value: bytes, obj: Object) -> Iterator[None]:
        """A writer's own object: when its bytes come back from the store, they need not be read again."""
        self._handed[value] = obj
        try:
            yield
        finally:
            self._handed.pop(value, None)

    def entry(self, served: Served, value: bytes, revision: int) -> Entry:
        """The Entry of stored bytes. Raises ValueError for bytes that are not ours."""
        return entry_of(served, value, revision, self._handed.get(value), whole=False)[0]

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            cache = self._cache_of(event.key)
            if cache is not None:
                self._apply(cache, event)
            if self._loading:
                for prefix, missed in self._loading.items():
                    if event.key.startswith(prefix):
                        missed.append(event)
        self._advance(events[-1].revision)

    def _apply(self, cache: ResourceCache, event: Event) -> None:
        read = None
        if event.type == "PUT":
            read = self._read(cache, event.key, event.value, event.revision)
        entry, obj = read or (None, None)
        cache.apply(event.key[len(cache.served.prefix) :], entry, event.revision, obj)

    def _advance(self, revision: int) -> None:
        self.revision = revision
        if self._waiters:
            waiting, self._waiters = self._waiters, []
            for pair in waiting:
                if pair[1].done():
                    continue  # given up
                if pair[0] > revision:
                    self._waiters.append(pair)
                else:
                    pair[1].set_result(None)

    def _cache_of(self, key: str) -> ResourceCache | None:
        slash = key.find("/", len(ROOT))
        found = self._by_prefix.get(key[: slash + 1])
        if found is None:
            slash = key.find("/", slash + 1)
            found = self._by_prefix.get(key[: slash + 1])
        return found

    def _read(self, cache: ResourceCache, key: str, value: bytes, revision: int) -> tuple[Entry, Object] | None:
        try:
            return entry_of(cache.served, value, revision, self._handed.get(value), whole=cache.whole)
        except (ValueError, KeyError, TypeError) as error:
            log.error("stored object is unreadable and left out key=%s cause=%s", key, error)
            return None


def _at_revision(obj: Object, revision: int) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


def too_large(revision: int, current: int) -> GatewayTimeout:
    """The answer to a revision from the future: wait and retry (cause ResourceVersionTooLarge)."""
    return GatewayTimeout(
        f"Timeout: Too large resource version: {revision}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )
