"""A machine in a folder, a clock that never waits, and an API server that keeps what it is given."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.unit.kubeadm.plane import ControlPlane, config_of, sign

from pybernetes.api.objects import Object
from pybernetes.kubeadm import commands
from pybernetes.kubeadm.commands import Machine
from pybernetes.kubeadm.config import Paths
from pybernetes.wire.http import Headers, Request, Response


class HookClock:
    """Real time plus what was slept; each sleep only runs `hook`."""

    def __init__(self) -> None:
        import time

        self._begin = time.time()
        self.slept = 0.0
        self.random = random.Random(0)
        self.hook: Callable[[], Awaitable[None]] | None = None

    def now(self) -> float:
        return self._begin + self.slept

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        if self.hook is not None:
            await self.hook()
        await asyncio.sleep(0)


class FakeApi:
    """Objects by path: POST, GET, PUT, PATCH (merge of maps) and DELETE; enough for what kubeadm asks."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {
            "/api/v1/namespaces/kube-system": {},
            "/api/v1/namespaces/kube-public": {},
        }
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        path, body = request.path, orjson.loads(request.body) if request.body else {}
        if path in ("/readyz", "/livez", "/healthz"):
            return Response(200, body=b"ok")
        if path.endswith("/selfsubjectaccessreviews"):
            return self._answer(201, {**body, "status": {"allowed": True}})
        if request.method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return self._refusal(409, "AlreadyExists", path)
            self.objects[path] = body
            body["metadata"].setdefault("uid", f"uid-{len(self.objects)}")
            return self._answer(201, body)
        if path.endswith("/secrets"):
            found = [obj for key, obj in self.objects.items() if key.startswith(f"{path}/")]
            return self._answer(200, {"items": found})
        if path not in self.objects:
            return self._refusal(404, "NotFound", path)
        if request.method == "PUT":
            self.objects[path] = body
        elif request.method == "PATCH":
            for name, value in body.items():
                self.objects[path].setdefault(name, {}).update(value)
        elif request.method == "DELETE":
            return self._answer(200, self.objects.pop(path))
        return self._answer(200, self.objects[path])

    @staticmethod
    def _answer(code: int, body: Object) -> Response:
        return Response(code, Headers([("content-type", "application/json")]), orjson.dumps(body))

    def _refusal(self, code: int, reason: str, text: str) -> Response:
        status = {"kind": "Status", "status": "Failure", "reason": reason, "message": f"{text}: {reason}", "code": code}
        return self._answer(code, status)


class Spoken:
    """A Machine in a folder that remembers what was said."""

    def __init__(self, root: Path) -> None:
        self.clock = HookClock()
        self.said: list[str] = []
        self.warned: list[str] = []
        self.paths = Paths(root)
        self.machine = Machine(self.paths, self.clock, self.said.append, self.warned.append)

    def write(self, path: str, text: str) -> None:
        file = self.paths.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @property
    def text(self) -> str:
        return "\n".join(self.said)


@pytest.fixture
def spoken(tmp_path: Path) -> Spoken:
    """A machine in a folder."""
    return Spoken(tmp_path / "root")


@pytest.fixture
def fake_api() -> FakeApi:
    """An API server without rules."""
    return FakeApi()


@pytest_asyncio.fixture
async def plane(spoken: Any, fake_api: Any) -> AsyncIterator[ControlPlane]:
    """Comes up on `spoken` as soon as there is a manifest."""
    plane = ControlPlane(spoken, fake_api)
    spoken.clock.hook = plane.start
    yield plane
    await plane.stop()


@pytest_asyncio.fixture
async def cluster(plane: ControlPlane, spoken: Any) -> ControlPlane:
    """One that `kubeadm init` has made; its cluster-info is signed."""
    await commands.init(config_of(plane), spoken.machine)
    spoken.clock.hook = None
    sign(plane)
    return plane
