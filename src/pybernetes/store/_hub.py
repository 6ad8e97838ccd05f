"""Fan-out of a store's writes to its watches, on the event loop. Shared by all stores."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from pybernetes.store.protocol import Event, FutureRevision, Revision, SlowWatcher, StoreError, Unavailable

Replay: TypeAlias = Callable[[str, Revision, Revision], Awaitable[tuple[Sequence[Event], Revision]]]
"""(prefix, after, until) -> a page of history and the revision it reaches. Raises Compacted."""

BACKLOG = 20_000
"""Events a watcher may leave unread before it is cut off."""


class Hub:
    """Knows the newest published revision and every open watch."""

    def __init__(self, revision: Revision, backlog: int = BACKLOG) -> None:
        self.revision = revision
        self.closed = False
        self._backlog = backlog
        self._watches: dict[HubWatch, None] = {}  # in order of arrival, so that a seed repeats a run
        self._waiters: list[tuple[Revision, asyncio.Future[None]]] = []

    def publish(self, events: Sequence[Event]) -> None:
        """Hands over a batch in revision order; call it only once its writes are safe."""
        if not events:
            return
        self.revision = events[-1].revision
        for watch in tuple(self._watches):
            watch.offer(events, self._backlog)
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiters = self._waiters, []
        for pair in waiting:
            if pair[1].done():
                continue  # given up
            if pair[0] > self.revision:
                self._waiters.append(pair)
            else:
                pair[1].set_result(None)

    async def reached(self, revision: Revision) -> None:
        """Waits until `revision` is published: a reader may see a commit a moment before the loop hears of it."""
        while self.revision < revision and not self.closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((revision, waiter))
            await waiter

    def watch(self, prefix: str, after: Revision, replay: Replay) -> "HubWatch":
        """A watch that replays (after, now] and goes on with what is published. Raises FutureRevision."""
        if after > self.revision:
            raise FutureRevision(f"revision {after} has not happened, the newest is {self.revision}")
        watch = HubWatch(self, prefix, after, replay)
        self._watches[watch] = None
        return watch

    def forget(self, watch: "HubWatch") -> None:
        """Called by a watch that ends."""
        self._watches.pop(watch, None)

    def lose(self, failure: StoreError, revision: Revision) -> None:
        """Events are missing: ends every watch with that failure and goes on from a revision."""
        self.revision = revision
        for watch in tuple(self._watches):
            watch.fail(failure)
        self._tell()

    def close(self) -> None:
        """Ends every watch and every wait."""
        self.closed = True
        for watch in tuple(self._watches):
            watch.end()
        waiters, self._waiters = self._waiters, []
        for _, waiter in waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable("the store is closed"))


class HubWatch:
    """The Watch of every store. Iteration stops after aclose() and after the store closed."""

    def __init__(self, hub: Hub, prefix: str, after: Revision, replay: Replay) -> None:
        self._hub = hub
        self._prefix = prefix
        self._position = after
        self._until = hub.revision
        self._replay = replay
        self._queue: deque[Event] = deque()
        self._failure: StoreError | None = None
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, events: Sequence[Event], backlog: int) -> None:
        """Queues what matches; never waits."""
        prefix = self._prefix
        self._queue.extend(event for event in events if event.key.startswith(prefix))
        if len(self._queue) > backlog:
            self.fail(SlowWatcher(f"{len(self._queue)} events of {prefix} were left unread"))
        elif self._queue:
            self._wake()

    def fail(self, failure: StoreError) -> None:
        """No further events; the reader is told why."""
        self._failure = failure
        self.end()

    def end(self) -> None:
        """No further events."""
        self._ended = True
        self._queue.clear()
        self._hub.forget(self)
        self._wake()

    def __aiter__(self) -> "HubWatch":
        return self

    async def __anext__(self) -> Sequence[Event]:
        while self._position < self._until and not self._ended:
            events, self._position = await self._replayed()
            if events:
                return events
        while not self._queue:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        batch = tuple(self._queue)
        self._queue.clear()
        return batch

    async def aclose(self) -> None:
        self.end()

    async def _replayed(self) -> tuple[Sequence[Event], Revision]:
        try:
            return await self._replay(self._prefix, self._position, self._until)
        except Unavailable:
            if self._ended:
                raise StopAsyncIteration from None
            raise
        except StoreError:
            self.end()
            raise

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
