"""Metrics: what /metrics says, in Prometheus' text format and under upstream's names. pipeline.py counts every request."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from pybernetes.apiserver.options import Query
from pybernetes.apiserver.requestinfo import CONNECTED, RequestInfo
from pybernetes.wire.http import Request, Response
from pybernetes.wire.metrics import Histogram, head, labelled, series

_SECONDS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0),
    *(20.0, 30.0, 45.0, 60.0),
)
_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
_VERBS = {
    **{"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH"},
    **{"delete": "DELETE", "deletecollection": "DELETECOLLECTION"},
}
_READING, _STREAMS = {"LIST", "GET"}, {"WATCH", "CONNECT"}

Labels = tuple[str, str, str, str, str, str]


class _Counted:
    """Answers that differ in nothing that is told of them; histograms are shared by those that differ in code or dry run."""

    __slots__ = ("seconds", "sizes", "total")

    def __init__(self, seconds: Histogram | None, sizes: Histogram | None) -> None:
        self.total = 0
        self.seconds = seconds
        self.sizes = sizes


class Gauge(Struct, frozen=True):
    """A metric that is looked up when it is asked for: label values to value."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[], Mapping[tuple[str, ...], float]]
    kind: str = "gauge"


class Metrics:
    """apiserver_request_total, apiserver_request_duration_seconds, response sizes, and gauges of others."""

    def __init__(self) -> None:
        self.gauges: list[Gauge] = []
        self.lines: list[Callable[[], Iterator[str]]] = []
        """Families of others that are no gauges."""
        self._counted: dict[tuple[Labels, int, str], _Counted] = {}
        self._seconds: dict[Labels, Histogram] = {}
        self._sizes: dict[Labels, Histogram] = {}

    def observe(
        self,
        info: RequestInfo,
        request: Request,
        query: Query,
        response: Response,
        seconds: float,
        size: int | None = None,
    ) -> None:
        """One answered request; a stream counts when it begins. `size`: bytes of a body that went out in slices."""
        labels = _labels(info, request, response.status)
        key = (labels, response.status, "All" if query and query.get("dryRun") else "")
        counted = self._counted.get(key) or self._counter(key)
        counted.total += 1
        if counted.seconds is not None:
            counted.seconds.add(seconds)
        if counted.sizes is not None:
            if type(response.body) is bytes:
                size = len(response.body)
            if size is not None:
                counted.sizes.add(size)

    def _counter(self, key: tuple[Labels, int, str]) -> _Counted:
        labels = key[0]
        seconds = sizes = None
        if labels[0] not in _STREAMS:
            seconds = self._seconds.setdefault(labels, Histogram(_SECONDS))
        if labels[0] in _READING:
            sizes = self._sizes.setdefault(labels, Histogram(_BYTES))
        found = self._counted[key] = _Counted(seconds, sizes)
        return found

    def text(self) -> str:
        """The exposition."""
        lines = [*self._lines(), *(line for gauge in self.gauges for line in _gauge(gauge))]
        lines += [line for family in self.lines for line in family()]
        return "\n".join(lines) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# HELP apiserver_request_total [STABLE] Answered requests by verb, resource, code and dry run."
        yield "# TYPE apiserver_request_total counter"
        for (labels, code, dry_run), counted in self._counted.items():
            yield f'apiserver_request_total{{{_shown(labels)},code="{code}",dry_run="{dry_run}"}} {counted.total}'
        yield from _histograms("apiserver_request_duration_seconds", "Seconds to an answer.", self._seconds)
        yield from _histograms("apiserver_response_sizes", "Bytes of answers to reads.", self._sizes)


def _labels(info: RequestInfo, request: Request, code: int) -> Labels:
    if not info.is_resource:
        method = request.method if request.method in ("GET", "POST") else "other"
        return (method, "", "", "", "" if code == 404 else info.path, "")
    verb = "CONNECT" if info.subresource in CONNECTED else _VERBS.get(info.verb, "other")
    if verb == "PATCH" and request.headers.get("content-type").startswith("application/apply-patch"):
        verb = "APPLY"
    if code == 404 and not info.name:
        return (verb, "", "", "", "", "")  # a path that is not served: its words are the client's
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    return (verb, info.group, info.version, info.resource, info.subresource, scope)


def _histograms(name: str, text: str, found: Mapping[Labels, Histogram]) -> Iterator[str]:
    yield from head(name, f"[STABLE] {text}", "histogram")
    for labels, histogram in found.items():
        yield from histogram.lines(name, _shown(labels))


def _gauge(gauge: Gauge) -> Iterator[str]:
    yield from head(gauge.name, gauge.help, gauge.kind)
    for values, found in gauge.read().items():
        yield series(gauge.name, labelled(gauge.labels, values), found)


def _shown(labels: Labels) -> str:
    return labelled(("verb", "group", "version", "resource", "subresource", "scope"), labels)
