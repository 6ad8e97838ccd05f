"""A real API server on the memory store, and `api(verb, path, body)` that speaks to it as an administrator."""

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
from pybernetes.wire.http import Headers, Request, read_body
from pybernetes.wire.pki.keys import new_rsa_key

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
_KEY = new_rsa_key()
_PATCH = "application/strategic-merge-patch+json"


class Api:
    """Answers as (code, object)."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    async def __call__(
        self, method: str, path: str, body: Any = None, *, user: User = ADMIN, accept: str = "application/json"
    ) -> tuple[int, Any]:
        kind = _PATCH if method == "PATCH" else "application/json"
        headers = Headers([("content-type", kind), ("accept", accept)])
        request = Request(method, path, headers, orjson.dumps(body) if body is not None else b"")
        response = await direct(self.server.handler, user)(request)
        return response.status, orjson.loads(await read_body(response))

    async def made(self, path: str, body: Any, **more: Any) -> Any:
        """A POST that must succeed."""
        code, answer = await self("POST", path, body, **more)
        assert code == 201, answer
        return answer

    async def faults(self, method: str, path: str, body: Any, **more: Any) -> list[str]:
        """The causes of a 422, as `field: message`."""
        code, answer = await self(method, path, body, **more)
        assert code == 422, answer
        return [f"{cause['field']}: {cause['message']}" for cause in answer["details"]["causes"]]

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> str:
        """The message of a 403."""
        code, answer = await self(method, path, body, **more)
        assert code == 403, answer
        return str(answer["message"])

    async def warnings(self, method: str, path: str, body: Any, *, user: User = ADMIN) -> list[str]:
        """What the Warning headers of a write say that must succeed."""
        headers = Headers([("content-type", _PATCH if method == "PATCH" else "application/json")])
        response = await direct(self.server.handler, user)(Request(method, path, headers, orjson.dumps(body)))
        assert response.status in (200, 201), await read_body(response)
        texts = response.headers.all("warning")
        return [orjson.loads(text.removeprefix("299 - ")) for text in texts]

    async def table(self, path: str) -> list[dict[str, Any]]:
        """Rows as column to cell."""
        code, answer = await self("GET", path, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
        assert code == 200, answer
        names = [column["name"] for column in answer["columnDefinitions"]]
        return [dict(zip(names, row["cells"], strict=True)) for row in answer["rows"]]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    server = ApiServer(Config(signing_key=_KEY), MemoryStore(), SystemClock(seed=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        made = Api(server)
        await made.made("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        yield made
        running.cancel()
