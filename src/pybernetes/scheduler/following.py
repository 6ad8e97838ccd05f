"""What plugins follow beside Pods and Nodes, and what they write and wait for. framework.Handle says what they may ask of it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from msgspec import Struct

from pybernetes.aio.pause import Pause
from pybernetes.api.objects import Key
from pybernetes.client.informer import Cache, Informers
from pybernetes.scheduler.framework import ClusterEvent

T = TypeVar("T", bound=Struct)


class Following:
    """Of one scheduler: a framework.Handle over its informers."""

    def __init__(
        self,
        informers: Informers,
        pause: Pause,
        happened: Callable[[ClusterEvent], None],
        look_again: Callable[[], None],
        run: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        """`run` starts a task beside the scheduler; `look_again` asks all pre_enqueue() that held back."""
        self.happened = happened
        self._informers = informers
        self._pause = pause
        self._look_again = look_again
        self._run = run
        self._followed: dict[tuple[type[Struct], ...], bool] = {}
        """Kinds that are followed together, and whether all of them are known."""
        self._waiting: dict[Key, list[asyncio.Event]] = {}

    def follow(self, *kinds: type[Struct]) -> bool:
        """Whether all of these are known; where not, they will be, and what was held back is looked at again then."""
        known = self._followed.get(kinds)
        if known is None:
            known = self._followed[kinds] = False
            for kind in kinds:
                self._informers.of(kind)
            self._run(self._until_known(kinds), "scheduler.following")
        return known

    async def _until_known(self, kinds: tuple[type[Struct], ...]) -> None:
        for kind in kinds:
            await self._informers.of(kind).synced.wait()
        self._followed[kinds] = True
        self._look_again()

    def cache(self, kind: type[T]) -> Cache[T]:
        """What is known of a kind that is followed."""
        return self._informers.of(kind).cache

    def on_change(self, kind: type[T], handler: Callable[[T | None, T | None], None]) -> None:
        """Calls the handler for every change, as Informer.on_change does."""
        self._informers.of(kind).on_change(handler)

    async def patch(self, old: T, new: T) -> T:
        """Writes at the revision seen. Raises Conflict, NotFound, and what a request raises."""
        return await self._informers.client.of(type(old)).patch(old, new, lock=True)

    def wake(self, key: Key) -> None:
        """Those who wait for this key look again."""
        for event in self._waiting.get(key, ()):
            event.set()

    async def until(self, holds: Callable[[], bool], keys: Iterable[Key], seconds: float) -> bool:
        """Whether it came to hold within that time; asked again at each wake() of one of the keys. Raises what `holds` does."""
        event, keys = asyncio.Event(), tuple(keys)
        for key in keys:
            self._waiting.setdefault(key, []).append(event)
        try:
            with self._pause.waiting():
                async with asyncio.timeout(seconds):
                    while not holds():
                        await event.wait()
                        event.clear()
        except TimeoutError:
            return False
        finally:
            for key in keys:
                self._waiting[key].remove(event)
                if not self._waiting[key]:
                    del self._waiting[key]
        return True
