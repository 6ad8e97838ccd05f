"""Requests as Go's typed clients make them: objects go and come as protobuf, patches are JSON."""

from functools import cache
from typing import Any

import orjson

from pybernetes.api import facts, schema
from pybernetes.api.objects import GroupVersionKind
from pybernetes.wire.codecs import protobuf
from pybernetes.wire.codecs.messages import MAGIC

PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPT = f"{PROTOBUF},application/json"
_OTHERS = {
    "scale": GroupVersionKind("autoscaling", "v1", "Scale"),
    "eviction": GroupVersionKind("policy", "v1", "Eviction"),
    "token": GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest"),
}
"""What a subresource takes that is not the object itself."""


def encoded(method: str, target: str, body: Any) -> bytes:
    """The body of a request to that target; what is null in it is not said, as a typed client has no other way."""
    kind = GroupVersionKind("", "v1", "DeleteOptions") if method == "DELETE" else _kind_at(target.partition("?")[0])
    version = f"{kind.group}/{kind.version}" if kind.group else kind.version
    said = {**_said(body), "kind": kind.kind, "apiVersion": version}
    return protobuf.encode_object(said, schema.type_name(kind))


def decoded(raw: bytes) -> Any:
    """What the server answered, in either encoding."""
    if raw.startswith(MAGIC):
        return protobuf.decode_object(raw)
    return orjson.loads(raw) if raw.startswith(b"{") else raw


@cache
def _kind_at(path: str) -> GroupVersionKind:
    """`/apis/GROUP/VERSION/[namespaces/NAMESPACE/]PLURAL[/NAME[/SUBRESOURCE]]`, or `/api/VERSION/...`."""
    root, *rest = path.strip("/").split("/")
    group = "" if root == "api" else rest.pop(0)
    version = rest.pop(0)
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    if len(rest) == 3 and rest[2] in _OTHERS:
        return _OTHERS[rest[2]]
    where = (group, version, rest[0])
    kind = next(known.kind for known in facts.resources() if (known.group, known.version, known.plural) == where)
    return GroupVersionKind(group, version, kind)


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _said(inner) for name, inner in value.items() if inner is not None}
    return [_said(inner) for inner in value] if isinstance(value, list) else value
