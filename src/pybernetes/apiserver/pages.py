"""Pages: the paths that are no resource: health, version, metrics. discovery.py, openapi.py and oidc.py have theirs."""

import platform
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import orjson

from pybernetes.api import facts
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
    """The table and `/`, which lists it."""
    paths = sorted(path for path in table if not path.endswith("/*"))

    async def page(request: Request, query: Query) -> Response:
        return json_page({"paths": paths})

    return {**table, "/": page}


def version() -> dict[str, str]:
    """version.Info of this server."""
    major, minor = facts.RELEASE.split(".")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{facts.RELEASE}.0",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation().lower() + platform.python_version(),
        "platform": f"linux/{machine}",
    }


def _health(path: str, checks: Mapping[str, Check]) -> Page:
    async def page(request: Request, query: Query) -> Response:
        return health(path, checks, request)

    return page


def json_page(value: object, media_type: str = _JSON) -> Response:
    """A page of JSON."""
    return Response(200, Headers.lowered([("content-type", media_type)]), orjson.dumps(value))
