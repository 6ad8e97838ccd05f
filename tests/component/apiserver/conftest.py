"""A real API server on the memory store, in this process: `api` speaks to its pipeline as a cluster administrator."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.api.objects import User
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.transport import direct
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import Headers, Request, Response, read_body
from pybernetes.wire.pki.keys import new_key

ADMIN = User("admin", groups=("system:masters",))


class Api:
    """Requests in JSON; answers as (code, object)."""

    def __init__(self, server: ApiServer, store: MemoryStore) -> None:
        self.server = server
        self.store = store

    async def send(
        self, method: str, target: str, body: Any = None, *, user: User | None = ADMIN, **headers: str
    ) -> Response:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        request = Request(method, target, Headers(named), raw)
        handler = self.server.handler if user is None else direct(self.server.handler, user)
        return await handler(request)

    async def __call__(self, method: str, target: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        response = await self.send(method, target, body, **more)
        raw = await read_body(response)
        return response.status, orjson.loads(raw) if raw.startswith(b"{") else raw

    async def watch(self, target: str, **more: Any) -> "Events":
        response = await self.send("GET", target, **more)
        assert response.status == 200, response.body
        assert not isinstance(response.body, bytes)
        return Events(response.body)


class Events:
    """The events of a watch, one by one."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.stream = stream
        self.waiting: list[Any] = []

    async def next(self) -> tuple[str, Any]:
        while not self.waiting:
            self.waiting = [orjson.loads(line) for line in (await anext(self.stream)).splitlines()]
        event = self.waiting.pop(0)
        return event["type"], event["object"]

    async def names(self, count: int) -> list[str]:
        return [f"{kind} {obj['metadata'].get('name', '')}" for kind, obj in [await self.next() for _ in range(count)]]

    async def close(self) -> None:
        await self.stream.aclose()  # type: ignore[attr-defined]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    store = MemoryStore()
    server = ApiServer(Config(signing_key=new_key(), bootstrap_tokens=True), store, SystemClock(seed=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        made = Api(server, store)
        # In a whole cluster a controller makes this account; Pods are refused without it.
        await made("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        yield made
        running.cancel()


def config_map(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **more}, "data": {"a": "1"}}


@pytest.fixture
def make_api() -> Any:
    """Api of a server that the test has made itself."""

    def make(server: ApiServer) -> Api:
        return Api(server, MemoryStore())

    return make
