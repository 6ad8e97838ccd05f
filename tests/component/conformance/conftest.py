"""A real API server on the memory store for the conformance behaviours, and the generic cycle that many of them share."""

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
from pybernetes.wire.pki.keys import new_rsa_key

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
_KEY = new_rsa_key()


class Events:
    """The events of a watch, one by one."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._waiting: list[Any] = []

    async def next(self) -> tuple[str, Any]:
        """(type, object) of the next event."""
        while not self._waiting:
            self._waiting = [orjson.loads(line) for line in (await anext(self._stream)).splitlines()]
        event = self._waiting.pop(0)
        return event["type"], event["object"]

    async def until(self, kind: str) -> Any:
        """The object of the next event of that type; those before it are skipped."""
        while True:
            found, obj = await self.next()
            if found == kind:
                return obj


class Api:
    """Speaks to the server's pipeline as a cluster administrator; answers as (code, object)."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    async def send(self, method: str, target: str, body: Any = None, *, user: User = ADMIN, **headers: str) -> Response:
        """The whole response; headers are named with underscores."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if body is not None and "content_type" not in headers:
            named.append(("content-type", MERGE if method == "PATCH" else "application/json"))
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return await direct(self.server.handler, user)(Request(method, target, Headers(named), raw))

    async def __call__(self, method: str, target: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        response = await self.send(method, target, body, **more)
        raw = await read_body(response)
        return response.status, orjson.loads(raw) if raw[:1] in b"{[" else raw

    async def ok(self, method: str, target: str, body: Any = None, **more: Any) -> Any:
        """The object of a request that must succeed."""
        code, answer = await self(method, target, body, **more)
        assert code in (200, 201), (code, answer)
        return answer

    async def watch(self, target: str, **more: Any) -> Events:
        """A watch: `target` must ask for one."""
        response = await self.send("GET", target, **more)
        assert response.status == 200, response.body
        assert not isinstance(response.body, bytes)
        return Events(response.body)

    async def cycle(self, resources: str, obj: dict[str, Any], *, status: dict[str, Any] | None = None) -> None:
        """The generic cycle of "should support ... API operations" on a collection path (within its namespace, if any).

        Discovery, create, get, list by label, watch, patch, update, status where `status` is a value for it, delete,
        deletecollection.
        """
        version, plural = _split(resources)
        found = await self.ok("GET", version)
        names = {row["name"]: row for row in found["resources"]}
        assert plural in names, sorted(names)
        labels = {"test": "cycle"}
        given = {**obj, "metadata": {**obj["metadata"], "labels": {**obj["metadata"].get("labels", {}), **labels}}}
        made = await self.ok("POST", resources, given)
        name = made["metadata"]["name"]
        one = f"{resources}/{name}"
        got = await self.ok("GET", one)
        assert got == made, "get answers what create did"
        listed = await self.ok("GET", f"{resources}?labelSelector=test%3Dcycle")
        assert [item["metadata"]["name"] for item in listed["items"]] == [name]
        if names[plural]["namespaced"]:
            everywhere = await self.ok("GET", f"{version}/{plural}?labelSelector=test%3Dcycle")
            assert name in [item["metadata"]["name"] for item in everywhere["items"]]
        start = listed["metadata"]["resourceVersion"]
        seen = await self.watch(f"{resources}?watch=1&labelSelector=test%3Dcycle&resourceVersion={start}")
        patched = await self.ok("PATCH", one, {"metadata": {"annotations": {"patched": "true"}}})
        assert patched["metadata"]["annotations"]["patched"] == "true"
        assert (await seen.until("MODIFIED"))["metadata"]["annotations"]["patched"] == "true"
        patched["metadata"]["annotations"]["updated"] = "true"
        updated = await self.ok("PUT", one, patched)
        assert (
            updated["metadata"]["annotations"] | {"updated": "true", "patched": "true"}
            == updated["metadata"]["annotations"]
        )
        assert (await seen.until("MODIFIED"))["metadata"]["annotations"]["updated"] == "true"
        if status is not None:
            await self._status(one, status)
        await self.ok("DELETE", one)
        assert (await seen.until("DELETED"))["metadata"]["name"] == name
        assert (await self("GET", one))[0] == 404
        await self.ok("POST", resources, given)
        await self.ok("DELETE", f"{resources}?labelSelector=test%3Dcycle")
        assert (await self.ok("GET", f"{resources}?labelSelector=test%3Dcycle"))["items"] == []

    async def _status(self, one: str, status: dict[str, Any]) -> None:
        assert (await self.ok("GET", f"{one}/status"))["metadata"]
        patched = await self.ok("PATCH", f"{one}/status", {"status": status})
        assert patched["status"] | status == patched["status"]
        patched["metadata"].setdefault("annotations", {})["status"] = "updated"
        updated = await self.ok("PUT", f"{one}/status", patched)
        assert updated["metadata"]["annotations"]["status"] == "updated"
        assert updated["status"] == patched["status"]


def _split(resources: str) -> tuple[str, str]:
    """`/apis/apps/v1/namespaces/n/deployments` to (`/apis/apps/v1`, `deployments`)."""
    path, _, plural = resources.rpartition("/")
    return path.partition("/namespaces/")[0], plural


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    server = ApiServer(Config(signing_key=_KEY), MemoryStore(), SystemClock(seed=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        made = Api(server)
        await made.ok("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        yield made
        running.cancel()
