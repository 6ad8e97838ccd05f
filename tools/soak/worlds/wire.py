"""What befalls requests on their way, and watches: refusals, lost requests and answers, delays, ends of the sender.

Nothing happens here that a real API could not do. A watch is late, breaks off, or has to begin anew, but never leaves out an
event, and keeps its order; watches of different kinds are late by themselves, so that one cache is fresh and another is old.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pybernetes.api.errors import ApiError, Conflict, InternalError, TooManyRequests
from pybernetes.api.objects import User
from pybernetes.wire.http import Peer, Request, Response
from tools.soak.worlds.ledger import ATTEMPT, Attempt

if TYPE_CHECKING:
    from tools.soak.worlds.world import World

OVERDUE = 30.0
"""Seconds that a request may be on its way when its sender has ended."""
SLOWEST = 5.0
"""Seconds that a request may be on its way."""


@dataclass(slots=True)
class Trouble:
    """How likely what is. All zero: peace."""

    fail: float = 0.0
    """A request is refused or lost; half as likely: its answer is."""
    slow: float = 0.0
    """A write is on its way for a while."""
    kill: float = 0.0
    """A write of a controller is its last."""
    late: float = 0.0
    """An event of a watch waits, and with it all that follow."""


class Wire:
    """Transport of one part. An honest one has no trouble."""

    def __init__(self, world: "World", user: User, part: str, *, generation: int = 0, honest: bool = False) -> None:
        self.dead = False
        """Its process has ended: it sends nothing more, and hears nothing."""
        self._world = world
        self._user = user
        self._part = part
        self._generation = generation
        self._rng = random.Random(world.rng.random())
        self._trouble: Callable[[], Trouble] = (lambda: _PEACE) if honest else (lambda: world.trouble)

    async def __call__(self, request: Request) -> Response:
        await self._alive()
        planned = self._planned(request)
        if planned in BEFALL:
            return BEFALL[planned]()
        trouble = self._trouble()
        chance = self._rng.random()
        if chance < trouble.fail:
            refusal = self._refusal(request.method)
            if refusal is None:
                raise ConnectionResetError("the request was lost")
            return Response(refusal.code, body=orjson.dumps(refusal.status()))
        lost = chance < trouble.fail * 1.5 or planned == "lost"
        if request.method == "GET":
            return await self._read(request, lost)
        attempt = Attempt(self._controller(request) if self._generation else self._part, self._generation)
        return await self._write(request, attempt, lost, planned)

    def _planned(self, request: Request) -> str:
        if not self._generation or not self._world.befalls:
            return ""
        return self._world.befalls.pop((request.method, kind_asked(request.path)), "")

    async def _alive(self) -> None:
        if self.dead:
            await asyncio.Future()

    def _controller(self, request: Request) -> str:
        return request.headers.get("user-agent").rpartition("/")[2]

    # --- reads

    async def _read(self, request: Request, lost: bool) -> Response:
        response = await self._world.send(request, self._user)
        await self._alive()
        if isinstance(response.body, bytes):
            if lost:
                raise ConnectionResetError("the answer was lost")
            if response.status < 400 and self._generation and is_collection(request.path):
                await self._world.fresh(kind_asked(request.path))
            return response
        if self._generation:
            response.body = self._late(response.body, kind_asked(request.path))
        if lost:
            response.body = self._cut(response.body)
        return response

    async def _late(self, body: AsyncIterator[bytes], resource: str) -> AsyncIterator[bytes]:
        """A watch whose events wait, each with all that follow, while its resource is held."""
        try:
            async for chunk in body:
                for line in chunk.splitlines(keepends=True):
                    await self._world.fresh(resource)
                    if self._trouble().late and self._rng.random() < self._trouble().late:
                        await self._world.clock.sleep(self._rng.choice((0.0, 0.01, 0.5, 3.0)))
                    yield line
        finally:
            await body.aclose()  # type: ignore[attr-defined]  # bodies of watches are generators

    async def _cut(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A watch that breaks in the middle of a line."""
        left = self._rng.randrange(6)
        try:
            async for chunk in body:
                if not left:
                    yield chunk[: len(chunk) // 2]
                    raise ConnectionResetError("the watch was cut")
                left -= 1
                yield chunk
        finally:
            await body.aclose()  # type: ignore[attr-defined]  # bodies of watches are generators

    # --- writes

    def _refusal(self, method: str) -> ApiError | None:
        kinds: list[ApiError | None] = [None, InternalError("by chance"), TooManyRequests("by chance")]
        if method in ("PUT", "PATCH"):
            kinds.append(Conflict("by chance"))
        return self._rng.choice(kinds)

    async def _write(self, request: Request, attempt: Attempt, lost: bool, planned: str) -> Response:
        trouble = self._trouble()
        delay = usual = self._world.pace.get(self._part.partition(" ")[0], 0.0)
        if trouble.slow and self._rng.random() < trouble.slow:
            delay += self._rng.choice((0.0, 0.05, 1.0, SLOWEST))
        if planned == "stale":
            self._world.stop(kind_asked(request.path))
        elif planned in ("last", "late"):
            self._world.end_controllers(0.0)
            delay = OVERDUE if planned == "late" else usual
        elif self._generation and "/events" not in request.path and self._rng.random() < trouble.kill:
            self._world.end_controllers(self._rng.choice((0.0, 0.5, 5.0, 20.0)))
            delay = self._rng.choice((delay, 0.0, 3.0, 15.0, OVERDUE))
            if self._rng.random() < 0.3:
                await self._alive()  # it was not sent any more
        # The server does what it was asked to, whatever becomes of who asked.
        under_way = self._world.spawn(self._done(request, attempt, delay))
        try:
            response = await asyncio.shield(under_way)
        except asyncio.CancelledError:
            attempt.answered = False
            raise
        if self.dead:
            attempt.answered = False
            await self._alive()
        attempt.answered = not lost
        if lost:
            raise ConnectionResetError("the answer was lost")
        return response

    async def _done(self, request: Request, attempt: Attempt, delay: float) -> Response:
        if delay:
            await self._world.clock.sleep(delay)
        attempt.late = self.dead
        ATTEMPT.set(attempt)
        return await self._world.send(request, self._user)


_PEACE = Trouble()


def _refused(error: ApiError) -> Response:
    return Response(error.code, body=orjson.dumps(error.status()))


BEFALL: Mapping[str, Callable[[], Response]] = {
    "conflict": lambda: _refused(Conflict("by a scenario")),
    "broken": lambda: _refused(InternalError("by a scenario")),
}
"""What can be planned for a request. Besides: `lost` (its answer), `last` (its sender ends when it is done), `late` (its sender
ends, and it is done OVERDUE seconds later), `stale` (from then on, what it changes is not seen)."""


def _words(path: str) -> list[str]:
    """The path from the resource on, its namespace left out."""
    words = path.strip("/").split("/")
    words = words[2:] if words[0] == "api" else words[3:]
    return words[2:] if len(words) > 2 and words[0] == "namespaces" else words


def is_collection(path: str) -> bool:
    """Whether a path names a resource and no object of it."""
    return len(_words(path)) == 1


def kind_asked(path: str) -> str:
    """The resource that a path names."""
    return (_words(path) or [""])[0]


def arriving(request: Request, user: User) -> Request:
    """The request as the server's parser would hand it on."""
    return Request(request.method, request.target, request.headers, request.body, Peer(user=user))
