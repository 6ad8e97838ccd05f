"""WatchCache: every object of every resource in memory, kept true by one watch on the store.

resource_cache.py is one resource of it, watcher.py fans out of that. All resources share the store's one revision: once
`revision` is R, every write up to R is here and has been offered to every watcher. Reads wait for the store's current
revision (`fresh`), writes for their own (`reached`): you read what you wrote.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from pybernetes.api.errors import Expired, GatewayTimeout, NotFound
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import ROOT, Served
from pybernetes.apiserver.watchcache.entry import Entry, entry_of
from pybernetes.apiserver.watchcache.resource_cache import Past, ResourceCache
from pybernetes.apiserver.watchcache.watcher import Watcher
from pybernetes.store.protocol import Compacted, Event, Revision, SlowWatcher, Store, Unavailable

log = logging.getLogger(__name__)

WAIT_SECONDS = 3.0
"""How long a read waits for a revision that has not come (upstream's blockTimeout)."""
_REOPEN_SECONDS = 0.5
_PAGE = 2000


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


def too_large(revision: int, current: int) -> GatewayTimeout:
    """The answer to a revision from the future: wait and retry (cause ResourceVersionTooLarge)."""
    return GatewayTimeout(
        f"Timeout: Too large resource version: {revision}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )
