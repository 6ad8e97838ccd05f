"""Pages: the paths that are no resource: health, version, metrics. discovery.py, openapi.py and oidc.py have theirs."""

import platform
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import orjson

from pybernetes.api import facts
from pybernetes.apiserver.metrics import Metrics
from pybernetes.apiserver.options import Query
from pybernetes.wire.http import Headers, Request, Response

Page: TypeAlias = Callable[[Request, Query], Awaitable[Response]]
"""Answers one path."""
Check: TypeAlias = Callable[[], str]
"""Empty when well, else what is wrong."""

_JSON = "application/json"
_PLAIN = "text/plain; charset=utf-8"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


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
        return Response(200, Headers.lowered([("content-type", _EXPOSITION)]), self._metrics.text().encode())


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
    name = path.strip("/")

    async def page(request: Request, query: Query) -> Response:
        asked = request.path.removeprefix(path).strip("/")
        if asked:
            if asked not in checks:
                return plain("404 page not found\n", 404)
            fault = checks[asked]()
            return plain(f"internal server error: {fault}\n", 500) if fault else plain("ok")
        excluded = set(query.get("exclude", ()))
        lines, failed = [], False
        for check, look in checks.items():
            if check in excluded:
                lines.append(f"[+]{check} excluded: ok")
                continue
            fault = look()
            failed = failed or bool(fault)
            lines.append(f"[-]{check} failed: reason withheld" if fault else f"[+]{check} ok")
        strange = sorted(excluded.difference(checks))
        if strange:
            listed = ", ".join(f'"{name}"' for name in strange)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
        if failed:
            return plain("\n".join([*lines, f"{name} check failed", ""]), 500)
        if "verbose" in query:
            return plain("\n".join([*lines, f"{name} check passed", ""]))
        return plain("ok")

    return page


def plain(text: str, status: int = 200) -> Response:
    """A page of text."""
    headers = Headers.lowered([("content-type", _PLAIN), ("x-content-type-options", "nosniff")])
    return Response(status, headers, text.encode())


def json_page(value: object, media_type: str = _JSON) -> Response:
    """A page of JSON."""
    return Response(200, Headers.lowered([("content-type", media_type)]), orjson.dumps(value))
