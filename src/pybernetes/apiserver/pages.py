"""Pages: the paths that are no resource: health, version, metrics. discovery.py, openapi.py and oidc.py have theirs."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import orjson

from pybernetes.api.version import emulated, info
from pybernetes.apiserver.metrics import Metrics
from pybernetes.apiserver.options import Query
from pybernetes.wire.healthz import Check, health
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.metrics import MEDIA_TYPE

Page: TypeAlias = Callable[[Request, Query], Awaitable[Response]]
"""Answers one path."""

_JSON = "application/json"


class Pages:
    """Health by named checks, version and metrics.

    `live` are the checks of /livez and /healthz; /readyz has those of `ready` besides.
    """

    def __init__(self, metrics: Metrics, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        self._metrics = metrics
        self._health = {"/livez": live, "/healthz": live, "/readyz": {**live, **ready}}

    def table(self) -> dict[str, Page]:
        """Path to page; `/*` at the end is everything below."""
        table: dict[str, Page] = {"/version": self._version, "/metrics": self._exposition}
        for path, checks in self._health.items():
            table[path] = table[path + "/*"] = _health(path, checks)
        return table

    async def _version(self, request: Request, query: Query) -> Response:
        return json_page(version())

    async def _exposition(self, request: Request, query: Query) -> Response:
        return Response(200, Headers.lowered([("content-type", MEDIA_TYPE)]), self._metrics.text().encode())


def with_index(table: Mapping[str, Page]) -> dict[str, Page]:
    """The table and `/`, which lists it; not what is there for debugging."""
    paths = sorted(path for path in table if not path.endswith("/*") and not path.startswith("/debug/"))

    async def page(request: Request, query: Query) -> Response:
        return json_page({"paths": paths})

    return {**table, "/": page}


def version() -> dict[str, str]:
    """version.Info of this server."""
    return emulated(info())


def _health(path: str, checks: Mapping[str, Check]) -> Page:
    async def page(request: Request, query: Query) -> Response:
        return health(path, checks, request)

    return page


def json_page(value: object, media_type: str = _JSON) -> Response:
    """A page of JSON."""
    return Response(200, Headers.lowered([("content-type", media_type)]), orjson.dumps(value))
