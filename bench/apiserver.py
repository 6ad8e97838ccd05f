"""What a request costs the API server: get, create, patch and list of Pods of 5 KB, over TLS, on the SQLite store.

The figure is CPU time of the server's process a request; the floor is that of a handler which answers the same bytes
on the same HTTP server.
"""

import asyncio
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench import Benchmark, Row
from pybernetes.aio.clock import SystemClock
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.store import factory
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Handler, Headers, Request, Response, read_body
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, client_context, server_context

PODS = "/api/v1/namespaces/default/pods"
ROUNDS = 1000
CREATED = 1000
LISTS = 20
_JSON = [("content-type", "application/json")]


def pod(name: str) -> dict[str, Any]:
    """A Pod of about 6 KB once it is stored: what a real one weighs."""
    env = [{"name": f"SETTING_{n}", "value": "some value that says something " * 3} for n in range(30)]
    container = {
        "name": "main",
        "image": "registry.example.com/team/app:1.2.3",
        "env": env,
        "ports": [{"containerPort": 80}],
    }
    labels = {"app": name, "tier": "backend"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}}


class Files:
    """A certificate authority and the files of both ends."""

    def __init__(self, folder: Path) -> None:
        authority = new_authority("bench", time.time())
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(authority.pem)
        hosts = ("127.0.0.1",)
        self.server = self._issue(folder, authority, "server", Leaf("server", hosts=hosts, usages=("server auth",)))
        self.client = self._issue(folder, authority, "client", Leaf("admin", groups=("system:masters",)))

    def _issue(self, folder: Path, authority: Any, name: str, leaf: Leaf) -> Identity:
        certificate, key = issue(authority, leaf, time.time())
        identity = Identity(folder / f"{name}.crt", folder / f"{name}.key")
        identity.certificate.write_bytes(certificate)
        identity.key.write_bytes(key)
        return identity


@contextlib.asynccontextmanager
async def _api(store_name: str, folder: Path) -> AsyncIterator[Handler]:
    store = await factory(store_name).open(str(folder / "store.db"))
    server = ApiServer(Config(), store, SystemClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        yield server.handler
        running.cancel()
    await store.close()


@contextlib.asynccontextmanager
async def _trivial(body: bytes) -> AsyncIterator[Handler]:
    async def handler(request: Request) -> Response:
        return Response(200, Headers.lowered(list(_JSON)), body)

    yield handler


async def _serve(pipe: Connection, files: Files, kind: str, argument: Any) -> None:
    """Answers `cpu` with the process's CPU seconds until told to stop."""
    made = _trivial(argument) if kind == "trivial" else _api(*argument)
    async with made as handler:
        http = HttpServer(handler, ssl=server_context(files.server, client_ca=files.ca))
        await http.start()
        pipe.send(http.port)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv) == "cpu":
            usage = os.times()
            pipe.send(usage.user + usage.system)
        await http.stop()


def _process(pipe: Connection, files: Files, kind: str, argument: Any) -> None:
    uvloop.run(_serve(pipe, files, kind, argument))


class Server:
    """One server process under measurement."""

    def __init__(self, files: Files, kind: str, argument: Any) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_process, args=(theirs, files, kind, argument))
        self._process.start()
        tls = client_context(ca=files.ca, identity=files.client)
        self.client = HttpClient(f"https://127.0.0.1:{self._pipe.recv()}", ssl=tls)

    def cpu(self) -> float:
        """CPU seconds so far."""
        self._pipe.send("cpu")
        return float(self._pipe.recv())

    async def close(self) -> None:
        await self.client.aclose()
        self._pipe.send("stop")
        self._process.join(10)

    async def ask(self, method: str, target: str, body: Any = None) -> bytes:
        raw = orjson.dumps(body) if body is not None else b""
        response = await self.client(Request(method, target, Headers(_JSON), raw))
        answer = await read_body(response)
        if response.status >= 300:
            raise RuntimeError(f"{method} {target}: {response.status} {answer[:200]!r}")
        return answer


async def measure(server: Server, requests: list[tuple[str, str, Any]], width: int = 8) -> float:
    """The server's CPU microseconds a request."""
    await server.ask(*requests.pop())
    started = server.cpu()
    waiting = iter(requests)

    async def worker() -> None:
        for method, target, body in waiting:
            await server.ask(method, target, body)

    await asyncio.gather(*(worker() for _ in range(width)))
    return (server.cpu() - started) / len(requests) * 1e6


async def _rows() -> Sequence[Row]:
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name))
        api = Server(files, "api", ("sqlite", Path(name)))
        account = "/api/v1/namespaces/default/serviceaccounts"
        await api.ask("POST", account, {"metadata": {"name": "default"}})
        created = await measure(api, [("POST", PODS, pod(f"pod-{n}")) for n in range(CREATED + 1)])
        one = await api.ask("GET", f"{PODS}/pod-1")
        got = await measure(api, [("GET", f"{PODS}/pod-1", None) for _ in range(ROUNDS)])
        listed = await measure(api, [("GET", PODS, None) for _ in range(LISTS)], 1)
        many = await api.ask("GET", PODS)
        patched = await _patched(api, [(f"pod-{n}", n) for n in range(CREATED)])
        await api.close()
        trivial = Server(files, "trivial", one)
        floor = await measure(trivial, [("GET", "/x", None) for _ in range(ROUNDS)])
        floor_write = await measure(trivial, [("POST", "/x", pod("x")) for _ in range(ROUNDS)])
        await trivial.close()
        bulk = Server(files, "trivial", many)
        floor_list = await measure(bulk, [("GET", "/x", None) for _ in range(LISTS)], 1)
        await bulk.close()
    return (
        Row("get", got, floor),
        Row("create, durable", created, floor_write),
        Row("patch, durable", patched, floor_write),
        Row("list, a pod", listed / CREATED, floor_list / CREATED),
    )


async def _patched(api: Server, changes: list[tuple[str, int]]) -> float:
    headers = Headers([("content-type", "application/merge-patch+json")])
    started = api.cpu()
    for name, number in changes:
        body = orjson.dumps({"metadata": {"annotations": {"n": str(number)}}})
        await read_body(await api.client(Request("PATCH", f"{PODS}/{name}", headers, body)))
    return (api.cpu() - started) / len(changes) * 1e6


def run() -> Sequence[Row]:
    """A row a kind of work."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark("apiserver", "CPU of requests over TLS; floor: a handler that answers the same bytes", run)
