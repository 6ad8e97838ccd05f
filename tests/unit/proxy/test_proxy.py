"""The proxy computes what changed and gives it to its backend, once."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.node.world import watch_event

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.objects import Key
from pybernetes.client.rest import Client
from pybernetes.proxy.backend import BackendError
from pybernetes.proxy.proxy import Proxy
from pybernetes.rules.services import DataplanePort
from pybernetes.wire.http import Headers, Request, Response


class World:
    """An API server of two resources; change() tells the watches."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[str, dict[str, Any]] = {"services": {}, "endpointslices": {}}
        self._watches: dict[str, asyncio.Queue[bytes]] = {}

    async def __call__(self, request: Request) -> Response:
        plural = request.target.partition("?")[0].rsplit("/", 1)[1]
        if "watch=" in request.target:
            self._watches[plural] = asyncio.Queue()
            return Response(200, body=self._events(plural))
        items = list(self.objects[plural].values())
        body = {"metadata": {"resourceVersion": str(self.revision)}, "items": items}
        return Response(200, Headers(), json.dumps(body).encode())

    async def _events(self, plural: str):
        while True:
            yield await self._watches[plural].get()

    def change(self, plural: str, obj: dict[str, Any] | None, gone: str = "") -> None:
        self.revision += 1
        if obj is None:
            event = watch_event("DELETED", self.objects[plural].pop(gone), str(self.revision))
        else:
            obj["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": str(self.revision)}
            kind = "MODIFIED" if obj["metadata"]["name"] in self.objects[plural] else "ADDED"
            self.objects[plural][obj["metadata"]["name"]] = obj
            event = watch_event(kind, obj, str(self.revision))
        if plural in self._watches:
            self._watches[plural].put_nowait(event)


class FakeBackend:
    def __init__(self) -> None:
        self.calls: list[tuple[bool, Mapping[Key, Sequence[DataplanePort]]]] = []
        self.failures = 0
        self.closed = False

    async def sync(self, services: Mapping[Key, Sequence[DataplanePort]], *, full: bool) -> None:
        self.calls.append((full, services))
        if self.failures:
            self.failures -= 1
            raise BackendError("the node says no")

    async def close(self) -> None:
        self.closed = True


def svc(name: str, address: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "protocol": "TCP"}]},
    }


def piece(owner: str, *addresses: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{owner}-x", "labels": {"kubernetes.io/service-name": owner}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
        "ports": [{"port": 8080, "name": "", "protocol": "TCP"}],
    }


def _simulate(script: Callable[[World, FakeBackend], Any]) -> None:
    async def main() -> None:
        world, backend = World(), FakeBackend()
        world.change("services", svc("a", "10.96.0.1"))
        world.change("services", svc("b", "10.96.0.2"))
        world.change("endpointslices", piece("a", "10.244.0.2"))
        clock = SimulatedClock(asyncio.get_running_loop())
        task = asyncio.create_task(Proxy(Client(world, clock=clock), "node", backend).run())
        await asyncio.sleep(5)
        await script(world, backend)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert backend.closed

    run_simulated(main())


def _endpoints(ports: Sequence[DataplanePort]) -> list[str]:
    return [e.ip for p in ports for e in p.endpoints]


def test_the_first_sync_is_the_whole_table() -> None:
    async def script(world: World, backend: FakeBackend) -> None:
        (call,) = backend.calls
        assert call[0] is True
        assert {k.name: _endpoints(p) for k, p in call[1].items()} == {"a": ["10.244.0.2"], "b": []}

    _simulate(script)


def test_a_slice_changes_its_service_alone() -> None:
    async def script(world: World, backend: FakeBackend) -> None:
        world.change("endpointslices", piece("b", "10.244.0.3", "10.244.0.4"))
        await asyncio.sleep(1)
        full, services = backend.calls[-1]
        assert len(backend.calls) == 2
        assert full is False
        assert {k.name: _endpoints(p) for k, p in services.items()} == {"b": ["10.244.0.3", "10.244.0.4"]}

    _simulate(script)


def test_a_deleted_service_is_taken_away() -> None:
    async def script(world: World, backend: FakeBackend) -> None:
        world.change("services", None, gone="a")
        await asyncio.sleep(1)
        assert backend.calls[-1] == (False, {Key("default", "a"): ()})

    _simulate(script)


def test_a_refusal_is_followed_by_a_whole_table() -> None:
    async def script(world: World, backend: FakeBackend) -> None:
        backend.failures = 2
        world.change("services", svc("c", "10.96.0.3"))
        await asyncio.sleep(10)
        assert [full for full, _ in backend.calls] == [True, False, True, True]
        assert {k.name for k in backend.calls[-1][1]} == {"a", "b", "c"}

    _simulate(script)


def test_what_the_dataplane_does_not_read_is_not_programmed() -> None:
    async def script(world: World, backend: FakeBackend) -> None:
        changed = svc("a", "10.96.0.1")
        changed["metadata"]["annotations"] = {"x": "y"}
        world.change("services", changed)
        await asyncio.sleep(1)
        assert len(backend.calls) == 1

    _simulate(script)
