"""Figures: what /metrics says of the filter, under upstream's names (apiserver_flowcontrol_*, requests in flight)."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from pybernetes.apiserver.flowcontrol.filter import Filter
from pybernetes.apiserver.flowcontrol.levels import Level, Levels
from pybernetes.apiserver.flowcontrol.priority_and_fairness import PriorityAndFairness
from pybernetes.apiserver.flowcontrol.queues import State, Ticket
from pybernetes.apiserver.flowcontrol.tally import Tally
from pybernetes.apiserver.metrics import Gauge
from pybernetes.wire.metrics import Histogram, head, labelled

_NAME = "apiserver_flowcontrol_"
_BY = ("priority_level", "flow_schema")

Values = Mapping[tuple[str, ...], float]


def in_flight(filter: Filter) -> list[Gauge]:
    """Of either filter."""

    def executing() -> Values:
        filter.executing.add("readOnly", 1)  # whoever asks is answered now, though he holds no seat
        found = filter.executing.read()
        filter.executing.add("readOnly", -1)
        return {(kind,): count for kind, count in found.items()}

    most = "Maximal number of {} requests in this apiserver per request kind in last second."
    return [
        Gauge(
            "apiserver_current_inflight_requests", f"[STABLE] {most.format('executing')}", ("request_kind",), executing
        ),
        Gauge(
            "apiserver_current_inqueue_requests",
            f"[ALPHA] {most.format('queued')}",
            ("request_kind",),
            lambda: {(kind,): count for kind, count in filter.queued.read().items()},
        ),
    ]


def gauges(filter: PriorityAndFairness) -> list[Gauge]:
    """Counts and gauges of levels and schemas."""

    def counted(value: Callable[[Tally], float]) -> Callable[[], Values]:
        return lambda: {key: value(tally) for key, tally in filter.tallies.items()}

    def now(state: State, value: Callable[[Ticket], int]) -> Callable[[], Values]:
        def read() -> Values:
            found: dict[tuple[str, ...], float] = dict.fromkeys(filter.tallies, 0)
            for level in filter.levels.by_name.values():
                queues = level.queues
                waiting = (ticket for queue in queues.backlog for ticket in queue.waiting)
                for ticket in queues.running if state is State.EXECUTING else waiting:
                    tally = ticket.flow.tally
                    found[tally.level, tally.schema] += value(ticket)
            return found

        return read

    def levels(value: Callable[[Level], float]) -> Callable[[], Values]:
        return lambda: {(name,): value(level) for name, level in filter.levels.by_name.items()}

    def refused() -> Values:
        return {(*key, reason): count for key, one in filter.tallies.items() for reason, count in one.rejected.items()}

    seats, one = (lambda ticket: ticket.seats), (lambda ticket: 1)
    by_schema: Iterable[tuple[str, str, str, Callable[[], Values], str]] = (
        ("dispatched_requests_total", "BETA", "Number of requests executed by API Priority and Fairness subsystem",
         counted(lambda tally: tally.quick + tally.dispatched), "counter"),
        ("current_inqueue_requests", "BETA", "Number of requests currently pending in queues", now(State.WAITING, one), "gauge"),
        ("current_inqueue_seats", "ALPHA", "Number of seats currently pending in queues", now(State.WAITING, seats), "gauge"),
        ("current_executing_requests", "BETA", "Number of requests in execution (of a WATCH: its initial stage)",
         now(State.EXECUTING, one), "gauge"),
        ("current_executing_seats", "BETA", "Number of seats occupied by requests in execution",
         now(State.EXECUTING, seats), "gauge"),
        ("request_dispatch_no_accommodation_total", "ALPHA", "Number of dispatches that found too few seats",
         counted(lambda tally: tally.unaccommodated), "counter"),
    )  # fmt: skip
    by_level: Iterable[tuple[str, str, str, Callable[[Level], float]]] = (
        ("nominal_limit_seats", "BETA", "Nominal number of execution seats", lambda level: level.limits.nominal),
        ("lower_limit_seats", "ALPHA", "Configured lower bound on number of seats", lambda level: level.limits.lower),
        ("upper_limit_seats", "ALPHA", "Configured upper bound on number of seats", lambda level: level.limits.upper),
        ("current_limit_seats", "ALPHA", "Current derived number of seats", lambda level: level.queues.limit),
        ("demand_seats_high_watermark", "ALPHA", "High watermark, over last adjustment period, of seats wanted",
         lambda level: level.observed.highest),
        ("demand_seats_average", "ALPHA", "Time-weighted average of seats wanted", lambda level: level.observed.average),
        ("demand_seats_stdev", "ALPHA", "Standard deviation of seats wanted", lambda level: level.observed.deviation),
        ("demand_seats_smoothed", "ALPHA", "Smoothed seat demands", lambda level: level.smoothed),
        ("target_seats", "ALPHA", "Seat allocation targets", lambda level: level.target),
        ("current_r", "ALPHA", "R(time of last change)", lambda level: level.queues.r),
        ("dispatch_r", "ALPHA", "R(time of last dispatch)", lambda level: level.queues.dispatch_r),
        ("latest_s", "ALPHA", "S(most recently dispatched request)", lambda level: level.queues.latest_s),
    )  # fmt: skip
    rejected = "[BETA] Number of requests rejected by API Priority and Fairness subsystem"
    fraction = "[ALPHA] Fair fraction of server's concurrency to allocate to each priority level that can use it"
    return [
        Gauge(f"{_NAME}rejected_requests_total", rejected, (*_BY, "reason"), refused, "counter"),
        *(Gauge(f"{_NAME}{name}", f"[{level}] {text}", _BY, read, kind) for name, level, text, read, kind in by_schema),
        *(Gauge(f"{_NAME}{name}", f"[{how}] {text}", _BY[:1], levels(value)) for name, how, text, value in by_level),
        Gauge(f"{_NAME}seat_fair_frac", fraction, (), lambda: {(): filter.levels.fraction}),
    ]


def histograms(filter: PriorityAndFairness) -> Iterator[str]:
    """Distributions of levels and schemas."""
    families: Iterable[tuple[str, str, str, Callable[[Tally], Mapping[str, Histogram]]]] = (
        ("request_wait_duration_seconds", "[BETA] Length of time a request spent waiting in its queue", "execute",
         lambda tally: {"true": _waited(tally, filter.levels), "false": tally.given_up}),
        ("request_execution_seconds", "[ALPHA] Duration of request execution (of a WATCH: its initial stage)", "type",
         lambda tally: {"regular": tally.ran, "watch": tally.watched}),
        ("request_queue_length_after_enqueue", "[ALPHA] Length of queue as seen by each request after it is enqueued", "",
         lambda tally: {"": tally.lengths}),
        ("work_estimated_seats", "[ALPHA] Number of estimated seats of requests", "", lambda tally: {"": _seats(tally)}),
        ("watch_count_samples", "[ALPHA] Count of watchers for mutating requests", "", lambda tally: {"": tally.watchers}),
    )  # fmt: skip
    for name, about, label, found in families:
        yield from head(_NAME + name, about, "histogram")
        for tally in filter.tallies.values():
            for value, histogram in found(tally).items():
                if any(histogram.counts):
                    names, values = (
                        ((*_BY, label), (tally.level, tally.schema, value))
                        if label
                        else (_BY, (tally.level, tally.schema))
                    )
                    yield from histogram.lines(_NAME + name, labelled(names, values))


def _waited(tally: Tally, levels: Levels) -> Histogram:
    """With those who found a seat free; whoever is exempt needs none."""
    level = levels.by_name.get(tally.level)
    return tally.waited if level is not None and level.queues.exempt else _more(tally.waited, tally.quick, 0.0)


def _seats(tally: Tally) -> Histogram:
    """With those of one seat that found it free."""
    return _more(tally.seats, tally.quick, 1.0)


def _more(histogram: Histogram, count: int, value: float) -> Histogram:
    found = Histogram(histogram.bounds)
    found.counts = [histogram.counts[0] + count, *histogram.counts[1:]]
    found.sum = histogram.sum + count * value
    return found
