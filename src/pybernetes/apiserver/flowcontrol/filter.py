"""Filter: the door between authentication and authorization. pipeline.py lets every request pass it that is no stream.

A request that can be answered without waiting, at a level where nobody waits, takes no seat: nothing else could run in
the meantime. All others hold theirs until they are answered; so does a list that goes out in slices, and a watch until
its first state is out.
"""

import asyncio
import types
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from typing import Any

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import BadRequest, GatewayTimeout
from pybernetes.api.objects import User
from pybernetes.apiserver.bulk import Bulk
from pybernetes.apiserver.flowcontrol.queues import CANCELLED, TIME_OUT, Flow, QueueSet, State, Ticket
from pybernetes.apiserver.flowcontrol.tally import Tally
from pybernetes.apiserver.flowcontrol.watermark import Watermark
from pybernetes.apiserver.flowcontrol.work import ONE, Work
from pybernetes.apiserver.options import Query
from pybernetes.apiserver.requestinfo import RequestInfo
from pybernetes.apiserver.superusers import MASTERS
from pybernetes.apiserver.watchcache.watcher import Watcher
from pybernetes.rules.durations import seconds_of
from pybernetes.wire.http import Headers, Response

LATE = "Timeout: request did not complete within the allotted timeout"
READING = ("get", "list", "watch")
"""Verbs that change nothing."""
_LONGEST_WAIT = 60.0


class Rejected(Exception):
    """No seat for a request, and no place to wait for one."""

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after

    def response(self) -> Response:
        """429 as upstream says it: plain text."""
        headers = Headers.lowered(
            [
                ("content-type", "text/plain; charset=utf-8"),
                ("x-content-type-options", "nosniff"),
                ("retry-after", str(self.retry_after)),
            ]
        )
        return Response(429, headers, b"Too many requests, please try again later.\n")


class RequestTicket(Ticket):
    """A ticket, and what is told of its request."""

    __slots__ = ("info", "kind", "timer", "user")

    def __init__(self, flow: Flow, work: Work, info: RequestInfo, user: User) -> None:
        super().__init__(flow, work)
        self.info = info
        self.user = user
        self.kind = "readOnly" if info.verb in READING else "mutating"
        self.timer: asyncio.TimerHandle | None = None


class Filter(ABC):
    """What both filters do. `seconds`: --request-timeout."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._seconds = seconds
        self.executing = Watermark(clock.monotonic)
        self.queued = Watermark(clock.monotonic)
        """By kind of request."""

    @abstractmethod
    def flow(self, user: User, info: RequestInfo) -> Flow | None:
        """Whose request it is; None for what is not limited."""

    def work(self, flow: Flow, info: RequestInfo, query: Query) -> Work:
        """What a request takes that is no get."""
        return ONE

    def retry_after(self, flow: Flow) -> int:
        """One of a flow was refused: when its client should come again, in seconds."""
        return 1

    async def passed(
        self, flow: Flow, info: RequestInfo, query: Query, user: User, run: Coroutine[Any, Any, Response]
    ) -> Response:
        """The answer of `run`. Raises Rejected, GatewayTimeout, BadRequest, and what it raises."""
        verb, tally, queues = info.verb, flow.tally, flow.queues
        seconds = self._seconds
        work = ONE
        if query or verb != "get":
            try:
                seconds = allowed_seconds(query, seconds) if verb != "watch" else seconds
                work = self.work(flow, info, query) if verb != "get" else ONE
            except BaseException:
                run.close()
                raise
        if work is not ONE or not queues.open:
            return await self._with_seats(RequestTicket(flow, work, info, user), seconds, run)
        tally.quick += 1
        began = self._monotonic()
        try:
            waited = run.send(None)
        except StopIteration as done:
            response: Response = done.value
            if type(response.body) is bytes:
                tally.answered(self._monotonic() - began)
                return response
            ticket = self._begun(RequestTicket(flow, ONE, info, user))
            self._hold(ticket, response, seconds)
            return response
        except Exception:
            tally.answered(self._monotonic() - began)
            raise
        ticket = self._begun(RequestTicket(flow, ONE, info, user))
        return await self._answered(ticket, seconds, _rest(run, waited))

    async def _with_seats(self, ticket: RequestTicket, seconds: float, run: Coroutine[Any, Any, Response]) -> Response:
        try:
            began = self._monotonic()
            await self._entered(ticket, min(seconds / 4, _LONGEST_WAIT))
            seconds -= self._monotonic() - began
        except BaseException:
            run.close()
            raise
        return await self._answered(ticket, seconds, run)

    async def _answered(self, ticket: RequestTicket, seconds: float, run: Awaitable[Response]) -> Response:
        began = self._monotonic()
        try:
            async with asyncio.timeout(seconds if ticket.info.verb != "watch" else None):
                response = await run
        except BaseException as error:
            self.finish(ticket)
            if isinstance(error, TimeoutError):
                raise GatewayTimeout(LATE, details={"kind": ticket.info.resource}) from None
            raise
        self._hold(ticket, response, seconds - (self._monotonic() - began))
        return response

    # --- seats

    async def _entered(self, ticket: RequestTicket, patience: float) -> None:
        """Waits for seats. Raises Rejected."""
        queues, tally = ticket.flow.queues, ticket.flow.tally
        tally.seats.add(ticket.seats)
        reason = queues.offer(ticket)
        if reason:
            tally.given_up.add(0.0)
            raise self._refused(ticket, reason)
        if ticket.queue is not None:
            tally.lengths.add(len(ticket.queue.waiting) + (ticket.state is State.EXECUTING))
        if ticket.state is State.WAITING:
            await self._granted(ticket, patience)
        tally.dispatched += 1
        if not queues.exempt:
            tally.waited.add(ticket.began - ticket.arrival)
        self.executing.add(ticket.kind, 1)

    async def _granted(self, ticket: RequestTicket, patience: float) -> None:
        future = asyncio.get_running_loop().create_future()
        ticket.granted = partial(_grant, future)
        self.queued.add(ticket.kind, 1)
        try:
            async with asyncio.timeout(patience):
                await future
        except BaseException as error:
            if ticket.state is State.EXECUTING:
                if isinstance(error, TimeoutError):
                    return  # it came at the last moment
                self.executing.add(ticket.kind, 1)
                self.finish(ticket)
                raise
            reason = TIME_OUT if isinstance(error, TimeoutError) else CANCELLED
            ticket.flow.queues.leave(ticket, reason)
            ticket.flow.tally.given_up.add(self._monotonic() - ticket.arrival)
            if reason == TIME_OUT:
                raise self._refused(ticket, reason) from None
            ticket.flow.tally.refused(reason)
            raise
        finally:
            self.queued.add(ticket.kind, -1)

    def _refused(self, ticket: RequestTicket, reason: str) -> Rejected:
        ticket.flow.tally.refused(reason)
        return Rejected(self.retry_after(ticket.flow))

    def _begun(self, ticket: RequestTicket) -> RequestTicket:
        """One that has begun, where there was room, holds its seat from now on."""
        ticket.flow.queues.begin(ticket)
        self.executing.add(ticket.kind, 1)
        return ticket

    def _hold(self, ticket: RequestTicket, response: Response, seconds: float) -> None:
        """Until the whole answer is out, where it is made while it goes out; `seconds` more at most."""
        body = response.body.prelude if isinstance(response.body, Watcher) else response.body
        if not isinstance(body, Bulk):
            self.finish(ticket)
            return
        body.at_end(lambda _: self.finish(ticket))
        ticket.timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self.finish, ticket)

    def finish(self, ticket: RequestTicket) -> None:
        """Gives its seats back; may be called again."""
        if ticket.state is not State.EXECUTING:
            return
        if ticket.timer is not None:
            ticket.timer.cancel()
        tally, seconds = ticket.flow.tally, self._monotonic() - ticket.began
        if ticket.info.verb == "watch":
            tally.watched.add(seconds)
        else:
            tally.answered(seconds)
        self.executing.add(ticket.kind, -1)
        queues = ticket.flow.queues
        queues.finish(ticket)
        if ticket.linger > 0:
            asyncio.get_running_loop().call_later(ticket.linger, queues.release, ticket)


def allowed_seconds(query: Query, most: float) -> float:
    """How long a request may take: what it asks for, where that is less. Raises BadRequest."""
    texts = query.get("timeout")
    if not texts or not texts[0]:
        return most
    try:
        seconds = seconds_of(texts[0])
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from None
    return min(seconds, most) if seconds > 0 else most


def _grant(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@types.coroutine
def _rest(work: Coroutine[Any, Any, Response], waited: Any) -> Generator[Any, Any, Response]:
    """A coroutine that has run up to its first await, from there on."""
    try:
        while True:
            try:
                sent = yield waited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # noqa: BLE001  # whatever is thrown in is for the coroutine to judge
                waited = work.throw(error)
            else:
                waited = work.send(sent)
    except StopIteration as done:
        answer: Response = done.value
        return answer


class MaxInFlight(Filter):
    """--enable-priority-and-fairness=false: two limits, for reads and for writes; 0 is none. Nobody waits.

    Whoever may do everything is served in any case (group system:masters).
    """

    def __init__(self, clock: Clock, seconds: float, reading: int, mutating: int) -> None:
        super().__init__(clock, seconds)
        self._reading, self._mutating = self._limited(reading), self._limited(mutating)
        self._unlimited = self._limited(0)

    def flow(self, user: User, info: RequestInfo) -> Flow | None:
        if info.long_running:
            return None
        flow = self._reading if info.verb in READING else self._mutating
        return flow if flow.queues.open or MASTERS not in user.groups else self._unlimited

    def _limited(self, seats: int) -> Flow:
        queues = QueueSet(self._monotonic, exempt=not seats)
        queues.configure(None, seats)
        return Flow(queues, Tally("", ""))
