"""Health pages: /healthz and its like, made of named checks. All components answer them alike."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from pybernetes.wire.http import Headers, Request, Response

Check: TypeAlias = Callable[[], str]
"""Empty when well, else what is wrong."""

_PLAIN = "text/plain; charset=utf-8"


def plain(text: str, status: int = 200) -> Response:
    """A page of text."""
    headers = Headers.lowered([("content-type", _PLAIN), ("x-content-type-options", "nosniff")])
    return Response(status, headers, text.encode())


def health(path: str, checks: Mapping[str, Check], request: Request) -> Response:
    """Answers `path` (all checks; ?verbose, ?exclude=name) and `path`/name (one of them)."""
    name = path.strip("/")
    asked, query = request.path.removeprefix(path).strip("/"), request.query()
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
