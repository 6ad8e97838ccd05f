"""A real API server on the memory store, in this process, and what speaks to its pipeline as a cluster administrator."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from pybernetes.api.objects import User
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.transport import direct
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Store
from pybernetes.testing import Cluster
from pybernetes.wire.http import Headers, Request, Response, read_body
from pybernetes.wire.pki.keys import new_rsa_key

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
_ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
_KEY = new_rsa_key()


class Events:
    """The events of a watch, one by one."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.stream = stream
        self._waiting: list[Any] = []

    async def next(self) -> tuple[str, Any]:
        """(type, object) of the next event."""
        while not self._waiting:
            self._waiting = [orjson.loads(line) for line in (await anext(self.stream)).splitlines()]
        event = self._waiting.pop(0)
        return event["type"], event["object"]

    async def until(self, kind: str) -> Any:
        """The object of the next event of that type; those before it are skipped."""
        while True:
            found, obj = await self.next()
            if found == kind:
                return obj

    async def names(self, count: int) -> list[str]:
        """Types and names of the next events."""
        return [f"{kind} {obj['metadata'].get('name', '')}" for kind, obj in [await self.next() for _ in range(count)]]

    async def close(self) -> None:
        """The client goes away."""
        await self.stream.aclose()  # type: ignore[attr-defined]  # a generator


class Api:
    """Requests in JSON; answers as (code, object)."""

    patch = MERGE
    """What a PATCH is that does not say."""

    def __init__(self, server: ApiServer, store: Store | None = None, cluster: Cluster | None = None) -> None:
        self.server = server
        self.store = store or MemoryStore()
        self.handler = server.handler if cluster is None else cluster.running.plane.handler
        """What answers: of a cluster, behind its faults and audit."""

    async def send(
        self, method: str, target: str, body: Any = None, *, user: User | None = ADMIN, **headers: str
    ) -> Response:
        """The whole response; headers are named with underscores. Without a user the server finds out who asks."""
        handler = self.handler if user is None else direct(self.handler, user)
        return await handler(self.request(method, target, body, **headers))

    def request(self, method: str, target: str, body: Any = None, **headers: str) -> Request:
        """What is sent."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if body is not None and "content_type" not in headers:
            named.append(("content-type", self.patch if method == "PATCH" else "application/json"))
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return Request(method, target, Headers(named), raw)

    async def __call__(self, method: str, target: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        response = await self.send(method, target, body, **more)
        raw = await read_body(response)
        return response.status, orjson.loads(raw) if raw.startswith(b"{") else raw

    async def ok(self, method: str, target: str, body: Any = None, **more: Any) -> Any:
        """The object of a request that must succeed."""
        code, answer = await self(method, target, body, **more)
        assert code in (200, 201), (code, answer)
        return answer

    async def made(self, path: str, body: Any, **more: Any) -> Any:
        """A POST that must succeed."""
        code, answer = await self("POST", path, body, **more)
        assert code == 201, answer
        return answer

    async def faults(self, method: str, path: str, body: Any, **more: Any) -> list[str]:
        """The causes of a 422, as `field: message`."""
        code, answer = await self(method, path, body, **more)
        assert code == 422, (code, answer)
        return [f"{cause['field']}: {cause['message']}" for cause in answer["details"]["causes"]]

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> str:
        """The message of a 403."""
        code, answer = await self(method, path, body, **more)
        assert code == 403, answer
        return str(answer["message"])

    async def warnings(self, method: str, path: str, body: Any = None, **more: Any) -> list[str]:
        """What the Warning headers of a write say that must succeed."""
        response = await self.send(method, path, body, **more)
        assert response.status in (200, 201), await read_body(response)
        return [orjson.loads(text.removeprefix("299 - ")) for text in response.headers.all("warning")]

    async def table(self, path: str) -> list[dict[str, Any]]:
        """Rows as column to cell."""
        answer = await self.ok("GET", path, accept=TABLE)
        names = [column["name"] for column in answer["columnDefinitions"]]
        return [dict(zip(names, row["cells"], strict=True)) for row in answer["rows"]]

    async def watch(self, target: str, **more: Any) -> Events:
        """A watch: `target` must ask for one."""
        response = await self.send("GET", target, **more)
        assert response.status == 200, response.body
        assert not isinstance(response.body, bytes)
        return Events(response.body)

    async def until(self, asked: Callable[[], Awaitable[Any]]) -> Any:
        """What `asked` answers once that is anything; every turn of the loop is a try."""
        for _ in range(2000):
            found = await asked()
            if found:
                return found
            await asyncio.sleep(0)
        raise AssertionError("it did not come")


@asynccontextmanager
async def serving(
    speaker: Callable[[ApiServer, Store, Cluster], Any] = Api,
    *,
    store: Store | None = None,
    account: bool = True,
    seed: int = 1,
    **config: Any,
) -> AsyncIterator[Any]:
    """An API server alone with this configuration, on a store of its own or on this one, and who speaks to it.

    In a whole cluster a controller makes the account `default`; Pods are refused without it.
    """
    store = store or MemoryStore()
    api = Config(**{"signing_key": _KEY, **config})
    async with Cluster(
        nodes=0, controllers=(), scheduler=False, serve=False, seed=seed, store=store, api=api,
        authorization=api.authorization_modes,
    ) as cluster:  # fmt: skip
        made = speaker(cluster.running.plane.api, store, cluster)
        if account:
            await made("POST", _ACCOUNTS, {"metadata": {"name": "default"}})
        yield made
