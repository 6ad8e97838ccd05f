"""Informers: caches that follow the server by list and watch, never by polling. All components read the world here.

One Informer a resource (and selector) a process: `Informers.of(Pod)` hands out the same one to all. Cached objects are
frozen, so everybody may hold them; they come without metadata.managedFields. `on_change(old, new)` is told of every change:
(None, new) added, (old, None) gone. Handlers only note keys; they are plain functions and must not block.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Generic, TypeAlias, TypeVar, cast

from msgspec import DecodeError, Struct, structs

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, Expired, GatewayTimeout
from pybernetes.api.objects import Key
from pybernetes.client.guard import Guard
from pybernetes.client.rest import Client, ResourceClient, Target, WatchEvent, key_of, target_of
from pybernetes.rules.backoff import exponential

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Struct)

Handler: TypeAlias = Callable[[T | None, T | None], None]
Index: TypeAlias = Callable[[T], Iterable[str]]

BACKOFF = (0.8, 30.0)
"""Seconds before the first and at most before a later attempt, each with up to as much again by chance."""
UNREACHABLE = (0.2, 3.0)
"""The same for a server that cannot be reached: asking again costs it nothing, and waiting long keeps a node idle."""
WATCH = (300.0, 600.0)
"""A watch ends after a random time in this range, so that watches do not all come back at once."""
NAMESPACE = "namespace"
"""The index that every cache has."""


class Cache(Generic[T]):
    """Objects by Key, with indexes. Read it anywhere; only its Informer writes."""

    def __init__(self) -> None:
        self._objects: dict[Key, T] = {}
        self._functions: dict[str, Index[T]] = {NAMESPACE: lambda obj: (key_of(obj).namespace,)}
        self._indexes: dict[str, dict[str, dict[Key, None]]] = {NAMESPACE: {}}

    def get(self, key: Key) -> T | None:
        """The object as last seen."""
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._objects.values()))

    def keys(self) -> tuple[Key, ...]:
        """All keys, as of now."""
        return tuple(self._objects)

    def of(self, namespace: str) -> list[T]:
        """The objects of a namespace."""
        return self.by(NAMESPACE, namespace)

    def by(self, index: str, value: str) -> list[T]:
        """The objects that the index function gave `value` for. Raises KeyError for an index nobody added."""
        return [self._objects[key] for key in self._indexes[index].get(value, ())]

    def add_index(self, name: str, function: Index[T]) -> None:
        """Adds an index, or nothing when it is there. Raises ValueError for another function under a name that is taken.

        The cache is everybody's, and so are the names of its indexes.
        """
        known = self._functions.get(name)
        if known is not None:
            if known != function:
                raise ValueError(f'there is an index "{name}" already, by another function')
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            for value in function(obj):
                self._indexes[name].setdefault(value, {})[key] = None

    def indexes(self, prefix: str = "") -> list[str]:
        """The names of its indexes that begin so."""
        return [name for name in self._functions if name.startswith(prefix)]

    def put(self, key: Key, obj: T | None) -> T | None:
        """Sets or (None) removes; returns what was there. For informers. What an index function raises leaves all as it was."""
        # All functions before any change: an object that one of them cannot read must not be half in the indexes.
        wanted = [] if obj is None else [tuple(function(obj)) for function in self._functions.values()]
        old = self._objects.pop(key, None)
        if old is not None:
            for name, function in self._functions.items():
                index = self._indexes[name]
                for value in function(old):
                    members = index.get(value, {})
                    members.pop(key, None)
                    if not members:
                        index.pop(value, None)
        if obj is not None:
            for index, values in zip(self._indexes.values(), wanted, strict=True):
                for value in values:
                    index.setdefault(value, {})[key] = None
            self._objects[key] = obj
        return old


class Informer(Generic[T]):
    """List, then watch, for ever. `synced` is set once the first list is in the cache."""

    def __init__(
        self,
        client: ResourceClient[T],
        clock: Clock,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
    ) -> None:
        self.cache: Cache[T] = Cache()
        self.synced = asyncio.Event()
        self.revision = ""
        """Nothing up to here is missing in the cache."""
        self._client = client
        self._clock = clock
        self._where: dict[str, Any] = {"namespace": namespace, "labels": labels, "fields": fields}
        self._handlers: list[Handler[T]] = []
        self.name = client.target.plural + (f"[{labels or fields}]" if labels or fields else "")

    def on_change(self, handler: Handler[T]) -> None:
        """Adds a handler; it hears of what is in the cache already as added."""
        self._handlers.append(handler)
        for obj in self.cache:
            self._call(handler, None, obj)

    async def run(self) -> None:
        """Follows the server until cancelled. Errors are logged and tried again; only 410 lists anew."""
        while True:
            with Guard(f"informer of {self.name}"):
                await self._follow()
            await self._clock.sleep(self._backoff(1, BACKOFF))

    async def begin(self) -> None:
        """Lists at once, for who must hear what is wrong with that: all errors of a list. run() goes on from there."""
        await self._list()

    async def _follow(self) -> None:
        failures = 0
        while True:
            before = self.revision
            try:
                if not self.revision:
                    await self._list()
                began = self._clock.monotonic()
                await self._watch()
                if self.revision == before and self._clock.monotonic() - began < 1:
                    raise ConnectionError("the server ended the watch at once")
                failures = 0
            except Expired as error:
                log.info("history is gone, listing again resource=%s cause=%s", self.name, error)
                self.revision = ""
            except GatewayTimeout as error:
                # The server is behind what we saw, also after the waits it asked for: its store is another one.
                log.warning("the server's history is another, listing again resource=%s cause=%s", self.name, error)
                self.revision = ""
                await self._clock.sleep(self._backoff(1, BACKOFF))
            except (ApiError, OSError, EOFError, DecodeError) as error:
                failures = 0 if self.revision != before else failures + 1
                wait = self._backoff(failures, UNREACHABLE if isinstance(error, ConnectionError) else BACKOFF)
                log.warning(
                    "cannot follow resource=%s error=%s: %s retry_in=%.1fs",
                    self.name, type(error).__name__, error, wait,
                )  # fmt: skip
                await self._clock.sleep(wait)

    def _backoff(self, failures: int, limits: tuple[float, float]) -> float:
        return exponential(failures, *limits) * (1 + self._clock.random.random())

    async def _list(self) -> None:
        listing = await self._client.list(**self._where)
        found = {key_of(obj): obj for obj in listing.items}
        for key in sorted(set(self.cache.keys()) - found.keys()):
            self._put(key, None)
        for key, obj in found.items():
            self._put(key, obj)
        self.revision = listing.revision
        self.synced.set()
        log.debug("listed resource=%s objects=%d revision=%s", self.name, len(found), self.revision)

    async def _watch(self) -> None:
        timeout = self._clock.random.uniform(*WATCH)
        watch = self._client.watch(self.revision, timeout=timeout, **self._where)
        # Longer than the server's own end of the watch: only a dead connection is cut here.
        async with asyncio.timeout(timeout + 30), aclosing(watch) as events:
            async for event in events:
                self._apply(event)

    def _apply(self, event: WatchEvent[T]) -> None:
        if event.type == "DELETED":
            self._put(event.key, None, event.object)
        elif event.object is not None:
            self._put(event.key, event.object)
        self.revision = event.revision or self.revision

    def _put(self, key: Key, obj: T | None, last: T | None = None) -> None:
        obj = None if obj is None else _light(obj)
        with Guard(f"index of {self.name}") as guard:
            old = self.cache.put(key, obj)
        if guard.error is not None:
            return  # said above; the stream goes on
        if obj is None:
            old = last if last is not None else old
        elif old is not None and _revision(old) == _revision(obj):
            return
        if old is None and obj is None:
            return
        for handler in self._handlers:
            self._call(handler, old, obj)

    def _call(self, handler: Handler[T], old: T | None, new: T | None) -> None:
        with Guard(f"handler of {self.name}"):
            handler(old, new)


def _light(obj: T) -> T:
    """Without the account of who set which field, which nobody reads here: it is more than half of what a Pod takes."""
    meta = cast(Any, obj).metadata
    return structs.replace(obj, metadata=structs.replace(meta, managedFields=())) if meta.managedFields else obj


def _revision(obj: Any) -> str:
    return str(obj.metadata.resourceVersion)


class Informers:
    """The informers of a process. Ask for all before or while run() runs; they start at once."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[object, ...], Informer[Any]] = {}
        self._whole: dict[tuple[str, str], Informer[Any]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def of(self, kind: type[T], *, namespace: str | None = None, labels: str = "", fields: str = "") -> Informer[T]:
        """The one informer of a resource with these selectors."""
        where: dict[str, Any] = {"namespace": namespace, "labels": labels, "fields": fields}
        key = (kind, namespace, labels, fields)
        found = self._get(key, lambda: Informer(self.client.of(kind), self.client.clock, **where))
        if key == (kind, None, "", ""):
            target = target_of(kind)
            self._whole[target.group, target.plural] = found
        return found

    def metadata(self, target: Target) -> Informer[Any]:
        """The one informer of any resource's metadata; the one of whole objects, where somebody needs those anyhow."""
        whole = self._whole.get((target.group, target.plural))
        if whole is not None:
            return whole
        return self._get((target,), lambda: Informer(self.client.metadata(target), self.client.clock))

    def drop(self, target: Target) -> None:
        """Stops a metadata informer: its resource is no longer served."""
        informer: Informer[Any] | None = self._informers.pop((target,), None)
        task = self._tasks.pop(id(informer), None)
        if task:
            task.cancel()

    async def synced(self) -> None:
        """Waits until all that were asked for so far have their first list."""
        for informer in tuple(self._informers.values()):
            await informer.synced.wait()

    def behind(self, revision: int) -> list[str]:
        """The names of those that have not seen everything up to a revision, as far as they know."""
        return [one.name for one in self._informers.values() if int(one.revision or 0) < revision]

    async def run(self) -> None:
        """Runs all informers, also those asked for later, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for informer in self._informers.values():
                self._start(informer)
            await asyncio.Event().wait()

    def _get(self, key: tuple[object, ...], make: Callable[[], Informer[T]]) -> Informer[T]:
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = make()
            if self._group:
                self._start(informer)
        return informer

    def _start(self, informer: Informer[Any]) -> None:
        assert self._group
        task = self._group.create_task(informer.run(), name=f"informer.{informer.name}")
        self._tasks[id(informer)] = task
