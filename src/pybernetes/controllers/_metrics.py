"""What the controllers of one process count, each under upstream's names; runtime.py shows it as one text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pybernetes.client.workqueue import QueueMetrics, WorkQueue
from pybernetes.wire.metrics import Family, head, labelled, series

S = TypeVar("S")


class Metrics:
    """Of one manager: sets of families, each made when its controller first counts something."""

    def __init__(self) -> None:
        self._sets: dict[type[Any], Any] = {}
        self._queues: dict[str, QueueMetrics] = {}

    def queue(self, name: str) -> QueueMetrics:
        """What the queues of that name count; several controllers may share a name, as upstream's do."""
        return self._queues.setdefault(name, QueueMetrics())

    def of(self, kind: type[S]) -> S:
        """The manager's one instance of a class whose fields are families."""
        if kind not in self._sets:
            self._sets[kind] = kind()
        found: S = self._sets[kind]
        return found

    def families(self) -> Iterator[Family]:
        """All that is counted so far."""
        for one in self._sets.values():
            yield from (field for field in vars(one).values() if isinstance(field, Family))


_QUEUE = {
    "adds_total": ("counter", "Total number of adds handled by workqueue"),
    "depth": ("gauge", "Current depth of workqueue"),
    "longest_running_processor_seconds": (
        "gauge", "How many seconds has the longest running processor for workqueue been running."),
    "queue_duration_seconds": ("histogram", "How long in seconds an item stays in workqueue before being requested."),
    "retries_total": ("counter", "Total number of retries handled by workqueue"),
    "unfinished_work_seconds": (
        "gauge", "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large"
        " values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this"
        " increases."),
    "work_duration_seconds": ("histogram", "How long in seconds processing an item from workqueue takes."),
}  # fmt: skip


def queue_lines(queues: Mapping[str, Sequence[WorkQueue[Any]]]) -> Iterator[str]:
    """workqueue_*, by the queues' names."""
    for family, (kind, about) in _QUEUE.items():
        name = f"workqueue_{family}"
        yield from head(name, f"[ALPHA] {about}", kind)
        for queue, members in queues.items():
            label, counted = labelled(("name",), (queue,)), members[0].metrics
            if family == "queue_duration_seconds":
                yield from counted.waited.lines(name, label)
            elif family == "work_duration_seconds":
                yield from counted.worked.lines(name, label)
            else:
                yield series(name, label, _value(family, members))


def _value(family: str, members: Sequence[WorkQueue[Any]]) -> float:
    counted = members[0].metrics
    match family:
        case "adds_total":
            return counted.adds
        case "retries_total":
            return counted.retries
        case "depth":
            return sum(len(queue) for queue in members)
        case "unfinished_work_seconds":
            return sum(sum(queue.unfinished()) for queue in members)
        case _:
            return max((max(queue.unfinished(), default=0.0) for queue in members), default=0.0)
