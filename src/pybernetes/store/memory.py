"""The store in memory: for tests, simulations and clusters that may forget. sqlite.py is the one that remembers."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from pybernetes.store._expiry import Expiry
from pybernetes.store._hub import Hub
from pybernetes.store.protocol import (
    Compacted,
    Event,
    FutureRevision,
    KeyExists,
    Mismatch,
    Range,
    Revision,
    Store,
    Stored,
    StoreFactory,
    Unavailable,
    Watch,
)

_REPLAY_PAGE = 1000


class _Record(Struct, frozen=True):
    event: Event
    previous: Stored | None


class MemoryStore:
    """Store in dicts. Every call finishes without waiting, so one loop's order is the history's order.

    It begins with `items` as of a revision, and without their history; `lifetimes` are seconds that some of them have left.
    """

    shared = False

    def __init__(
        self,
        items: Iterable[Stored] = (),
        revision: Revision = Revision(0),  # noqa: B008  # a number
        lifetimes: Mapping[str, float] | None = None,
    ) -> None:
        self._live: dict[str, Stored] = {stored.key: stored for stored in items}
        self._keys: list[str] = sorted(self._live)
        self._log: list[_Record] = []
        self._compacted = revision
        self._hub = Hub(revision)
        self._expiry = Expiry(self._expire)
        for key, seconds in (lifetimes or {}).items():
            self._expiry.add(key, self._live[key].revision, seconds)

    async def get(self, key: str, at: Revision | None = None) -> Stored | None:
        self._check(at)
        stored = self._live.get(key)
        if at is None or at == self._hub.revision:
            return stored
        return self._as_of(at, key).get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, at: Revision | None = None) -> Range:
        self._check(at)
        if at is None or at == self._hub.revision:
            at, keys, values = self._hub.revision, self._keys, self._live
        else:
            values = self._as_of(at, prefix)
            keys = sorted(values)
        start = bisect_right(keys, after) if after >= prefix else bisect_left(keys, prefix)
        end = bisect_left(keys, prefix + "\U0010ffff")
        stop = min(end, start + limit) if limit else end
        left = max(0, end - stop)
        return Range(tuple(values[key] for key in keys[start:stop]), at, left > 0, left)

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> Revision:
        self._check(None)
        if key in self._live:
            raise KeyExists(key)
        return self._put(key, value, None, ttl)

    async def update(self, key: str, value: bytes, expected: Revision, *, ttl: float | None = None) -> Revision:
        return self._put(key, value, self._expect(key, expected), ttl)

    async def delete(self, key: str, expected: Revision) -> Revision:
        return self._remove(key, self._expect(key, expected))

    async def watch(self, prefix: str, after: Revision) -> Watch:
        self._check(None)
        if after < self._compacted:
            raise Compacted(self._compacted)
        return self._hub.watch(prefix, after, self._replay)

    async def compact(self, before: Revision) -> None:
        self._check(None)
        if before > self._hub.revision:
            raise FutureRevision(f"revision {before} has not happened, the newest is {self._hub.revision}")
        if before > self._compacted:
            del self._log[: self._after(before)]
            self._compacted = before

    async def revision(self) -> Revision:
        self._check(None)
        return self._hub.revision

    def lifetimes(self) -> Mapping[str, float]:
        """Seconds that keys with a time have left."""
        due = self._expiry.remaining().items()
        return {
            key: left for (key, revision), left in due if key in self._live and self._live[key].revision == revision
        }

    def fault(self) -> str:
        return "the store is closed" if self._hub.closed else ""

    async def close(self) -> None:
        self._expiry.close()
        self._hub.close()
        for kept in (self._live, self._keys, self._log):  # who still holds a closed store need not hold its content
            kept.clear()

    def _check(self, at: Revision | None) -> None:
        if self._hub.closed:
            raise Unavailable("the store is closed")
        if at is None:
            return
        if at < self._compacted:
            raise Compacted(self._compacted)
        if at > self._hub.revision:
            raise FutureRevision(f"revision {at} has not happened, the newest is {self._hub.revision}")

    def _expect(self, key: str, expected: Revision) -> Stored:
        self._check(None)
        current = self._live.get(key)
        if current is None or current.revision != expected:
            raise Mismatch(key, current)
        return current

    def _next(self) -> Revision:
        return Revision(self._hub.revision + 1)

    def _remove(self, key: str, previous: Stored) -> Revision:
        del self._live[key]
        del self._keys[bisect_left(self._keys, key)]
        return self._record(Event("DELETE", key, self._next(), previous=previous), previous)

    def _expire(self, due: Sequence[tuple[str, Revision]]) -> None:
        for key, revision in due:
            current = self._live.get(key)
            if current is not None and current.revision == revision:
                self._remove(key, current)

    def _put(self, key: str, value: bytes, previous: Stored | None, ttl: float | None) -> Revision:
        revision = self._next()
        if previous is None:
            insort(self._keys, key)
        created = previous.created if previous else revision
        self._live[key] = Stored(key, value, created, revision)
        if ttl is not None:
            self._expiry.add(key, revision, ttl)
        return self._record(Event("PUT", key, revision, value, created=created), previous)

    def _record(self, event: Event, previous: Stored | None) -> Revision:
        self._log.append(_Record(event, previous))
        self._hub.publish((event,))
        return event.revision

    def _after(self, revision: Revision) -> int:
        """Index of the first record after that revision."""
        return bisect_right(self._log, revision, key=lambda record: record.event.revision)

    def _as_of(self, at: Revision, prefix: str) -> dict[str, Stored]:
        """What was there at a revision: what has not changed since, and what later writes replaced."""
        found = {k: s for k, s in self._live.items() if s.revision <= at and k.startswith(prefix)}
        for record in self._log[self._after(at) :]:
            previous = record.previous
            if previous is not None and previous.revision <= at and previous.key.startswith(prefix):
                found[previous.key] = previous
        return found

    async def _replay(self, prefix: str, after: Revision, until: Revision) -> tuple[Sequence[Event], Revision]:
        if after < self._compacted:
            raise Compacted(self._compacted)
        start = self._after(after)
        page = self._log[start : min(start + _REPLAY_PAGE, self._after(until))]
        reached = page[-1].event.revision if page else until
        return tuple(r.event for r in page if r.event.key.startswith(prefix)), reached


async def open_memory(location: str = "") -> Store:
    """A new, empty store; the location means nothing here."""
    return MemoryStore()


STORE = StoreFactory("memory", "keeps everything in memory and forgets it at the end", open_memory)
