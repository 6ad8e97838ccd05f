"""Calls as the audit has them, made without a server."""

from typing import Any

import orjson

from pybernetes.api.objects import User
from pybernetes.testing.traffic import Call
from pybernetes.wire.http import Headers, Peer, Request

METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


def request(
    method: str, target: str, body: Any = None, *, user: str = "alice", agent: str = "test/1", **headers: str
) -> Request:
    """As it comes from a client; headers are named with underscores."""
    named = [("user-agent", agent), *((name.replace("_", "-"), value) for name, value in headers.items())]
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    return Request(method, target, Headers(named), raw, Peer(user=User(user)))


def call(method: str, target: str, body: Any = None, *, code: int = 200, **more: str) -> Call:
    """A call that was answered."""
    made = Call(request(method, target, body, **more), 1_767_225_600.0)
    made.code = made.done = code
    return made
