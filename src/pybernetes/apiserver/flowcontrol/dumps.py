"""Dumps: /debug/api_priority_and_fairness/...: levels, queues and requests as they are now, in upstream's tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from pybernetes.aio.clock import Clock, rfc3339_nano
from pybernetes.apiserver.flowcontrol.filter import RequestTicket
from pybernetes.apiserver.flowcontrol.levels import Level, Levels
from pybernetes.apiserver.flowcontrol.priority_and_fairness import PriorityAndFairness
from pybernetes.apiserver.flowcontrol.queues import State
from pybernetes.apiserver.options import Query
from pybernetes.apiserver.pages import Page
from pybernetes.rules.durations import text_of
from pybernetes.wire.healthz import plain
from pybernetes.wire.http import Request, Response

_PATH = "/debug/api_priority_and_fairness/"
_LEVELS = (
    *("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests"),
    *("DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests"),
)
_QUEUES = (
    *("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR"),
    *("InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum"),
)
_REQUESTS = (
    *("PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime"),
    *("InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime"),
)
_DETAILS = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")
_NOT_YET = "0001-01-01T00:00:00Z"
_NARROWEST = 8

Row = Sequence[object]


def table(filter: PriorityAndFairness, clock: Clock) -> dict[str, Page]:
    """Path to page."""

    def page(rows: Callable[[Query], Iterable[Row]]) -> Page:
        async def answer(request: Request, query: Query) -> Response:
            return plain(aligned(rows(query)))

        return answer

    def requests(query: Query) -> Iterator[Row]:
        return _requests(filter.levels, clock, details=bool(query.get("includeRequestDetails", [""])[0]))

    return {
        f"{_PATH}dump_priority_levels": page(lambda _: _levels(filter)),
        f"{_PATH}dump_queues": page(lambda _: _queues(filter.levels)),
        f"{_PATH}dump_requests": page(requests),
    }


def aligned(rows: Iterable[Row]) -> str:
    """Lines whose columns begin at the same places, with commas between them."""
    texts = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(_NARROWEST, *(len(cell) + 2 for cell in column)) for column in zip(*texts, strict=True)]
    lines = []
    for row in texts:
        cells = [f"{cell},".ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join([*cells, row[-1]]))
    return "\n".join([*lines, ""])


def _shown(cell: object) -> str:
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _sorted(levels: Levels) -> list[Level]:
    return sorted(levels.by_name.values(), key=lambda level: level.name)


def _levels(filter: PriorityAndFairness) -> Iterator[Row]:
    dispatched: dict[str, int] = {}
    for tally in filter.tallies.values():
        dispatched[tally.level] = dispatched.get(tally.level, 0) + tally.quick + tally.dispatched
    yield _LEVELS
    for level in _sorted(filter.levels):
        queues, name = level.queues, level.name
        counts = (queues.waiting, queues.executing, dispatched.get(name, 0))
        refused = (queues.rejected, queues.timed_out, queues.cancelled)
        yield (name, len(queues.backlog), queues.idle, level.quiescing, *counts, *refused)


def _queues(levels: Levels) -> Iterator[Row]:
    yield _QUEUES
    for level in _sorted(levels):
        for queue in level.queues.queues:
            initial = sum(ticket.work.initial for ticket in queue.waiting)
            in_use = (len(queue.waiting), queue.executing, queue.seats_in_use, _seat_seconds(queue.next_r))
            waiting = (initial, queue.seats_waiting, _seat_seconds(queue.work_waiting))
            yield (level.name, queue.index, *in_use, *waiting)


def _requests(levels: Levels, clock: Clock, *, details: bool) -> Iterator[Row]:
    yield (*_REQUESTS, *(_DETAILS if details else ()))
    for level in _sorted(levels):
        for ticket in level.queues.running:
            yield _request(level.name, ticket, -1, clock, details)
        for queue in level.queues.backlog:
            for place, ticket in enumerate(queue.waiting):
                yield _request(level.name, ticket, place, clock, details)


def _request(level: str, ticket: object, place: int, clock: Clock, details: bool) -> Row:
    assert isinstance(ticket, RequestTicket)
    flow, work, info = ticket.flow, ticket.work, ticket.info
    began = clock.now() - clock.monotonic()

    def shown(at: float) -> str:
        return rfc3339_nano(began + at)

    row = (
        *(level, flow.tally.schema, ticket.queue.index if ticket.queue is not None else -1, place, flow.distinguisher),
        *(shown(ticket.arrival), work.initial, work.final, text_of(ticket.linger)),
        _NOT_YET if ticket.state is State.WAITING else shown(ticket.began),
    )
    if not details:
        return row
    version = f"{info.group}/{info.version}" if info.group else info.version
    return (
        *row,
        *(ticket.user.name, info.verb, info.path, info.namespace, info.name, version, info.resource, info.subresource),
    )


def _seat_seconds(value: float) -> str:
    return f"{value:.8f}ss"
