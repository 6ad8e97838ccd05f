"""A scripted server: answers requests in the order of the script and keeps what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from pybernetes.wire.http import Headers, Request, Response


class Script:
    """A Transport. Each step answers one request: a dict (200), (code, dict), an exception, or a list of watch events.

    A list of events ends the watch after its last; `...` as the last element keeps the watch open for ever.
    """

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if not self.steps:
            await asyncio.Event().wait()
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, list):
            return Response(200, body=_events(step))
        code, body, headers = step if isinstance(step, tuple) else (200, step, {})
        return Response(code, Headers(headers.items()), orjson.dumps(body))

    def asked(self) -> list[str]:
        return [f"{r.method} {r.target}" for r in self.requests]


async def _events(events: Sequence[Any]) -> AsyncIterator[bytes]:
    for event in events:
        if event is ...:
            await asyncio.Event().wait()
        line = orjson.dumps(event) + b"\n"
        # In two halves, as a socket may cut it.
        yield line[: len(line) // 2]
        yield line[len(line) // 2 :]


def pod(name: str, revision: int, **more: Any) -> Mapping[str, Any]:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(revision)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": []}, **more}


def pods(revision: int, *items: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(revision)}, "items": list(items)}


def event(kind: str, obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": kind, "object": obj}


def bookmark(revision: int) -> Mapping[str, Any]:
    return {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": str(revision)}}}


def status(code: int, reason: str, message: str = "no") -> Mapping[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
