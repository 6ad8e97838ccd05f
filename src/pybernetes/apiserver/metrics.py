"""Metrics: what /metrics says, in Prometheus' text format and under upstream's names. pipeline.py counts every request."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from pybernetes.apiserver.requestinfo import RequestInfo

_BUCKETS: tuple[float, ...] = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    15.0,
    20.0,
)
_BUCKETS += (30.0, 45.0, 60.0)
_VERBS = {"update": "PUT", "create": "POST", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE"}
_READS = {"get": "GET", "list": "LIST", "watch": "WATCH"}

Labels = tuple[str, str, str, str, str, str]


class _Histogram:
    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.sum = 0.0


class Gauge(Struct, frozen=True):
    """A metric that is looked up when it is asked for: label values to value."""

    name: str
    help: str
    label: str
    read: Callable[[], Mapping[str, float]]


class Metrics:
    """apiserver_request_total, apiserver_request_duration_seconds, and gauges of others."""

    def __init__(self) -> None:
        self.gauges: list[Gauge] = []
        self._total: dict[tuple[Labels, int], int] = {}
        self._seconds: dict[Labels, _Histogram] = {}

    def observe(self, info: RequestInfo, method: str, code: int, seconds: float) -> None:
        """One answered request; a watch counts when it begins."""
        if info.is_resource:
            verb = _VERBS.get(info.verb) or _READS.get(info.verb, "other")
            scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
            labels = (verb, info.group, info.version, info.resource, info.subresource, scope)
        elif code == 404:
            labels = (method if method in ("GET", "POST") else "other", "", "", "", "", "")
        else:
            labels = ("GET" if method == "GET" else "other", "", "", "", info.path, "")
        if code == 404 and info.is_resource and not info.name:
            labels = (labels[0], "", "", "", "", "")  # a path that is not served: its words are the client's
        key = (labels, code)
        self._total[key] = self._total.get(key, 0) + 1
        if info.verb == "watch":
            return
        histogram = self._seconds.get(labels)
        if histogram is None:
            histogram = self._seconds[labels] = _Histogram()
        histogram.counts[bisect_left(_BUCKETS, seconds)] += 1
        histogram.sum += seconds

    def text(self) -> str:
        """The exposition."""
        lines = [*self._lines(), *(line for gauge in self.gauges for line in _gauge(gauge))]
        return "\n".join(lines) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, API resource and code."
        yield "# TYPE apiserver_request_total counter"
        for (labels, code), count in self._total.items():
            yield f'apiserver_request_total{{{_shown(labels)},code="{code}",dry_run=""}} {count}'
        yield "# HELP apiserver_request_duration_seconds [STABLE] Response latency distribution in seconds."
        yield "# TYPE apiserver_request_duration_seconds histogram"
        for labels, histogram in self._seconds.items():
            shown, so_far = _shown(labels), 0
            for bound, count in zip((*_BUCKETS, "+Inf"), histogram.counts, strict=True):
                so_far += count
                yield f'apiserver_request_duration_seconds_bucket{{{shown},le="{bound}"}} {so_far}'
            yield f"apiserver_request_duration_seconds_sum{{{shown}}} {histogram.sum}"
            yield f"apiserver_request_duration_seconds_count{{{shown}}} {so_far}"


def _gauge(gauge: Gauge) -> Iterator[str]:
    yield f"# HELP {gauge.name} {gauge.help}"
    yield f"# TYPE {gauge.name} gauge"
    for value, number in gauge.read().items():
        labels = f'{{{gauge.label}="{_escaped(value)}"}}' if gauge.label else ""
        yield f"{gauge.name}{labels} {number:g}"


def _shown(labels: Labels) -> str:
    names = ("verb", "group", "version", "resource", "subresource", "scope")
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, labels, strict=True))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
