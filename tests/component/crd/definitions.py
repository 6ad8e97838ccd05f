"""Definitions to give to an API server, and what speaks to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from pybernetes.api.objects import User
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.transport import direct
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import Headers, Request, Response, read_body

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"
Obj = dict[str, Any]


class Events:
    """The events of a watch, one by one."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._waiting: list[Any] = []

    async def next(self) -> tuple[str, Any]:
        while not self._waiting:
            self._waiting = [orjson.loads(line) for line in (await anext(self._stream)).splitlines()]
        event = self._waiting.pop(0)
        return event["type"], event["object"]


class Api:
    """Speaks to the pipeline as an administrator; answers as (code, object)."""

    def __init__(self, server: ApiServer, store: MemoryStore) -> None:
        self.server = server
        self.store = store

    async def send(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if body is not None and "content_type" not in headers:
            named.append(("content-type", MERGE if method == "PATCH" else "application/json"))
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return await direct(self.server.handler, ADMIN)(Request(method, target, Headers(named), raw))

    async def __call__(self, method: str, target: str, body: Any = None, **more: str) -> tuple[int, Any]:
        response = await self.send(method, target, body, **more)
        raw = await read_body(response)
        return response.status, orjson.loads(raw) if raw[:1] in b"{[" else raw

    async def ok(self, method: str, target: str, body: Any = None, **more: str) -> Any:
        """The object of a request that must succeed."""
        code, answer = await self(method, target, body, **more)
        assert code in (200, 201), (code, answer)
        return answer

    async def faults(self, method: str, target: str, body: Any, **more: str) -> list[str]:
        """The causes of a 422, as `field: message`."""
        code, answer = await self(method, target, body, **more)
        assert code == 422, (code, answer)
        return [f"{cause['field']}: {cause['message']}" for cause in answer["details"]["causes"]]

    async def watch(self, target: str) -> Events:
        response = await self.send("GET", target)
        assert not isinstance(response.body, bytes), response.body
        return Events(response.body)

    async def until(self, asked: Callable[[], Awaitable[Any]]) -> Any:
        """What `asked` answers once that is anything; every turn of the loop is a try."""
        for _ in range(2000):
            found = await asked()
            if found:
                return found
            await asyncio.sleep(0)
        raise AssertionError("it did not come")

    async def define(self, crd: Obj) -> Obj:
        """A definition, once it is established."""
        await self.ok("POST", CRDS, crd)
        return await self.established(crd["metadata"]["name"])

    async def established(self, name: str) -> Obj:
        async def asked() -> Any:
            crd = await self.ok("GET", f"{CRDS}/{name}")
            return crd if is_true(crd, "Established") else None

        found: Obj = await self.until(asked)
        return found

    async def change(self, name: str, change: Callable[[Obj], None]) -> Obj:
        """Changes the spec of a definition and waits until it is served so."""
        crd = await self.ok("GET", f"{CRDS}/{name}")
        change(crd["spec"])
        before = self.server.catalog.changes
        crd = await self.ok("PUT", f"{CRDS}/{name}", crd)

        async def asked() -> bool:
            return self.server.catalog.changes > before

        await self.until(asked)
        return crd


def is_true(crd: Obj, kind: str) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def crd_of(properties: Obj | None = None, *, scope: str = "Namespaced", root: Obj | None = None, **version: Any) -> Obj:
    """`widgets.example.com` with these properties in one version."""
    schema = {"type": "object", "properties": properties or {}, **(root or {})}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": scope,
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }


WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def widget(name: str = "one", **fields: Any) -> Obj:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, **fields}
