"""Watcher: one client's watch. resource_cache.py offers it changes; it turns them into events by its selector, and streams bytes.

A change reaches a watcher in the same step in which the cache takes it, so the order of its queue is the order of
revisions, and a bookmark put in the queue is never ahead of what was sent.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import orjson

from pybernetes.aio.turns import Turns
from pybernetes.api.objects import Object
from pybernetes.apiserver.bulk import Bulk, joined, paced
from pybernetes.apiserver.watchcache.entry import Entry

if TYPE_CHECKING:
    from pybernetes.apiserver.watchcache.resource_cache import ResourceCache

log = logging.getLogger(__name__)

BACKLOG = 10_000
"""Events a client may leave unread before it is cut off."""
PACE = 50e-6
"""Seconds without another round of writes for each watcher of a wide round: about twice what writing to it costs."""
WIDE = 20
"""From so many watchers on, a round waits for what follows at once: half a PACE for each, JOIN_SECONDS at most."""
JOIN_SECONDS = 0.01
_MADE_AT_ONCE = 32
"""Frames of a first state made in one turn of the loop."""

Scope: TypeAlias = tuple[str, str] | None
"""What a watcher can be found by: a name, a namespace, a node; None sees every change."""
Match: TypeAlias = Callable[[Entry], bool]

INDEXED_FIELD = "spec.nodeName"
"""Field selectors on it do not cost every other watcher a look: a thousand kubelets watch Pods so."""


class Change:
    """One write: what was there before, what is there now (None: deleted), and its frames by encoding."""

    __slots__ = ("_last", "entry", "frames", "previous", "revision")

    def __init__(self, entry: Entry | None, previous: Entry | None, revision: int) -> None:
        self.entry = entry
        self.previous = previous
        self.revision = revision
        self.frames: dict[tuple[str, str], bytes] = {}
        self._last: Entry | None = None

    @property
    def states(self) -> list[Entry]:
        """Every state that it holds."""
        return [entry for entry in (self.entry, self.previous, self._last) if entry is not None]

    @property
    def size(self) -> int:
        """Bytes that it alone keeps: the state before it is that of another change, or of a resource as it was read."""
        state = self.entry or self.previous  # a deletion is as large as what was there
        assert state is not None
        return len(state.body)

    @property
    def last(self) -> Entry:
        """The last state at this change's revision: what DELETED carries."""
        if self._last is None:
            assert self.previous is not None
            self._last = self.previous.at(self.revision)
        return self._last


class Framing(Protocol):
    """How events become bytes; `name` is the same for watchers whose frames are the same."""

    name: str

    def frame(self, kind: str, entry: Entry, *, first: bool = False) -> bytes: ...

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes: ...

    def error(self, status: Object) -> bytes: ...


def scopes_of(change: Change) -> Iterable[Scope]:
    """Where watchers of this change are registered; each once."""
    found: dict[Scope, None] = {None: None}
    for entry in (change.entry, change.previous):
        if entry is not None:
            found["name", entry.key] = None
            if entry.namespace:
                found["namespace", entry.namespace] = None
            node = entry.value(INDEXED_FIELD)
            if node is not None:
                found[INDEXED_FIELD, node] = None
    return found


class Rounds:
    """Wakes the watchers of one resource together, in rounds, so that what happens in quick succession leaves in one write.

    To few, a change goes out at once; to many, a moment later (2.5 ms for 100). After a wide round the next one waits as
    long as that one was wide: fanning out takes no more than about half of the loop, and each write carries more.
    """

    def __init__(self) -> None:
        self._waking: list[Watcher] = []
        self._free_at = 0.0
        self._joining = False
        self._joined: dict[str, tuple[list[bytes], bytes]] | None = None  # while those of a round take what is theirs

    def wake(self, watcher: "Watcher") -> None:
        """In the next round; each watcher asks once a round."""
        self._waking.append(watcher)
        if len(self._waking) == 1:
            loop = asyncio.get_running_loop()
            if loop.time() < self._free_at:
                self._joining = True  # what comes until then is in it
                loop.call_at(self._free_at, self._round, loop)
            else:
                loop.call_soon(self._round, loop)

    def now(self) -> None:
        """Wakes all who wait for a round, without waiting for it."""
        waking, self._waking, self._joining = self._waking, [], False
        for watcher in waking:
            watcher.signal()
        if len(waking) > 1:
            self._joined = {}
            asyncio.get_running_loop().call_soon(self._all_have_theirs)

    def joined(self, name: str, frames: list[bytes]) -> bytes:
        """What waits for a watcher, to be sent as one; to most of a round it is the same, and then made once."""
        if self._joined is None:
            return b"".join(frames)
        last = self._joined.get(name)
        if last is None or last[0] != frames:
            last = self._joined[name] = frames, b"".join(frames)
        return last[1]

    def _all_have_theirs(self) -> None:
        self._joined = None

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waking) >= WIDE and not self._joining:
            self._joining = True
            loop.call_later(min(PACE / 2 * len(self._waking), JOIN_SECONDS), self._round, loop)
            return
        if len(self._waking) >= WIDE:
            self._free_at = loop.time() + PACE * len(self._waking)
        self.now()


class Watcher:
    """Queue and stream of one watch. `match` None is everything."""

    def __init__(
        self, cache: "ResourceCache", framing: Framing, scope: Scope = None, match: Match | None = None
    ) -> None:
        self.scope = scope
        self.number = 0
        """The cache counts its watchers; bookmarks take turns by it."""
        self.wants_bookmarks = False
        self.timer: asyncio.TimerHandle | None = None
        self._cache = cache
        self._framing = framing
        self._match = match
        self._pending: list[bytes] = []
        self._ended = False
        self._first = True
        self.prelude: Bulk | None = None
        """The state that it begins with, until that is out."""
        self._wake: asyncio.Future[None] | None = None
        self._waking = False

    def offer(self, change: Change) -> None:
        """Queues the event that this change is to this watcher, if it is one."""
        match, entry, previous = self._match, change.entry, change.previous
        new = entry is not None and (match is None or match(entry))
        old = previous is not None and (match is None or match(previous))
        if not new and not old:
            return
        if new:
            assert entry is not None
            kind, shown = ("MODIFIED" if old else "ADDED"), entry
        else:
            # A state that no longer matches is a deletion to this watcher: the old state at the new revision.
            kind, shown = "DELETED", change.last
        self._queue(self._framed(change, kind, shown))

    def fail(self, status: Object) -> None:
        """Ends with an ERROR event. After Expired (410) the client must list again."""
        self._queue(self._framing.error(status))
        self.end()

    def bookmark(self, revision: int, *, initial_end: bool = False) -> None:
        """Tells the client how far it is."""
        self._queue(self._framing.bookmark(revision, initial_end=initial_end))

    def end(self) -> None:
        """No further events; what is queued is still sent."""
        self._ended = True
        self._cache.remove(self)
        if self.timer is not None:
            self.timer.cancel()
        self.signal()

    def begin(self, entries: Sequence[Entry], turns: Turns) -> None:
        """ADDED events of a state come first, made in slices as the client takes them."""
        frames = (self._framing.frame("ADDED", entry, first=at == 0) for at, entry in enumerate(entries))
        self.prelude = Bulk(joined(b"", b"", paced(frames, _MADE_AT_ONCE), b""), turns)
        self._first = self._first and not entries

    def __aiter__(self) -> "Watcher":
        return self

    async def __anext__(self) -> bytes:
        """The next bytes for the client. Events that wait together leave in one write."""
        if self.prelude is not None:
            async for chunk in self.prelude:
                return chunk
            self.prelude = None
        while not self._pending:
            if self._ended:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            self._wake = None
        pending, self._pending = self._pending, []
        return pending[0] if len(pending) == 1 else self._cache.rounds.joined(self._framing.name, pending)

    async def aclose(self) -> None:
        """The client is gone; may be called twice, and before the first byte was asked for."""
        self._pending.clear()
        self.end()
        prelude, self.prelude = self.prelude, None
        if prelude is not None:
            await prelude.aclose()

    def _framed(self, change: Change, kind: str, entry: Entry) -> bytes:
        if self._first:
            self._first = False
            return self._framing.frame(kind, entry, first=True)
        key = (self._framing.name, kind)
        frame = change.frames.get(key)
        if frame is None:
            frame = change.frames[key] = self._framing.frame(kind, entry)
        return frame

    def _queue(self, frame: bytes) -> None:
        if self._ended:
            return
        self._pending.append(frame)
        if len(self._pending) > BACKLOG:
            log.warning("watcher cut off resource=%s unread=%d", self._cache.served.gr, len(self._pending))
            self._cache.terminated += 1
            self._pending.clear()
            self.end()
        elif not self._waking and self._wake is not None:
            self._waking = True
            self._cache.rounds.wake(self)

    def signal(self) -> None:
        """What is queued can be sent."""
        self._waking = False
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class LateWatcher(Watcher):
    """A watch from a revision that is yet to come, as a client has that read from a server ahead of this one."""

    def __init__(
        self, cache: "ResourceCache", framing: Framing, scope: Scope, match: Match | None, revision: int
    ) -> None:
        super().__init__(cache, framing, scope, match)
        self._after = revision

    def offer(self, change: Change) -> None:
        if change.revision > self._after:
            super().offer(change)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> None:
        if revision >= self._after:
            super().bookmark(revision, initial_end=initial_end)


def json_error(status: Object) -> bytes:
    """The ERROR event in JSON."""
    return b'{"type":"ERROR","object":' + orjson.dumps(status) + b"}\n"
