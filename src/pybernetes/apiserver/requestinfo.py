"""RequestInfo: what a method and a path ask for, before anything is looked up. pipeline.py judges it, then routes by it.

The shape of paths is upstream's: /api/v1/..., /apis/<group>/<version>/..., the old /watch/ prefix, subresources.
"""

from functools import lru_cache
from urllib.parse import unquote

from msgspec import Struct

from pybernetes.api.errors import BadRequest
from pybernetes.wire.http import Request

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = {"status", "finalize"}
CONNECTED = frozenset({"attach", "exec", "portforward", "proxy"})
"""Subresources that are a way to somewhere else (verb `connect`)."""
_LONG = 300
"""A path that is longer is not remembered."""


class RequestInfo(Struct, frozen=True):
    """A parsed request line. Only `path` and `verb` mean something where `is_resource` is false."""

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    rest: str = ""
    """What follows the subresource (`proxy/a/b`), without the leading slash."""

    @property
    def long_running(self) -> bool:
        """Streams that no request timeout ends."""
        return self.verb == "watch" or self.subresource in CONNECTED or self.subresource == "log"


def parse_request(request: Request, query: dict[str, list[str]]) -> RequestInfo:
    """The RequestInfo of a request. Raises BadRequest for a path that names half a watch."""
    path = request.raw_path
    return (_remembered if len(path) < _LONG else _parsed)(request.method, path, is_true(query.get("watch")))


def _parsed(method: str, raw: str, watched: bool) -> RequestInfo:
    path, verb = raw, method.lower()
    parts = raw.strip("/").split("/")
    if "%" in raw:
        path, parts = unquote(raw), [unquote(part) for part in parts]
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(verb, path)
    verb = _VERBS.get(method, verb)
    watching = rest[0] == "watch"
    if watching:
        if len(rest) < 2:
            raise BadRequest(f"unable to determine kind and namespace from url {path}")
        verb, rest = "watch", rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    if not name and verb == "get":
        verb = "watch" if watched else "list"
    if not name and verb == "delete":
        verb = "deletecollection"
    subresource = rest[2] if len(rest) > 2 else ""
    return RequestInfo(verb, path, True, group, version, namespace, rest[0], subresource, name, "/".join(rest[3:]))


_remembered = lru_cache(maxsize=4096)(_parsed)
"""A client asks for the same again: what it polls, renews or lists."""


def is_true(values: list[str] | None) -> bool:
    """A boolean query parameter as upstream reads it: present and neither `0` nor `false`."""
    return bool(values and values[0].lower() not in ("0", "false"))
