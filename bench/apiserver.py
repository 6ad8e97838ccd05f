"""What a request costs the API server: every verb on Pods of 6 KB, in JSON and protobuf, over TLS, on the SQLite store.

Sixteen connections of a user whom RBAC judges, among the roles of a cluster with several teams; all that is on by
default is on. Custom resources as well, whose schema is their own.

The figure is CPU time of the server's process a request. The floor of a read is that of a handler which answers the
same bytes on the same HTTP server; the floor of a write is that of raw SQLite which commits the same bytes, as many
rows at once as there are connections.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import uvloop

from bench import Benchmark, Row
from pybernetes.aio.clock import SystemClock
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.cmd._daemon import collect_rarely
from pybernetes.store import factory
from pybernetes.wire.client import HttpClient
from pybernetes.wire.codecs import protobuf
from pybernetes.wire.http import Handler, Headers, Request, Response, read_body
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, client_context, server_context

PODS = "/api/v1/namespaces/default/pods"
ROUNDS = 1000
LISTED = 500
WIDTH = 16
"""Connections, each with one request at a time."""
NAMESPACES = 30
"""Others than the one that is measured; each has roles and bindings of its own."""
LISTS = 20
JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_POD = "io.k8s.api.core.v1.Pod"


class Ask(NamedTuple):
    """One request."""

    method: str
    target: str
    body: bytes = b""
    media: str = JSON
    accept: str = JSON


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
        self.user = self._issue(folder, authority, "user", Leaf("ann", groups=("developers", "team-3", "on-call")))

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
    async def stream(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            await asyncio.sleep(0)  # a write each, as events come
            yield body

    async def silence() -> AsyncIterator[bytes]:
        await asyncio.get_running_loop().create_future()
        yield b""

    async def handler(request: Request) -> Response:
        headers = Headers.lowered([("content-type", JSON)])
        if "idle" in request.query():
            return Response(200, headers, silence())
        chunks = request.query().get("chunks")
        return Response(200, headers, stream(int(chunks[0])) if chunks else body)

    yield handler


async def _serve(pipe: Connection, files: Files, kind: str, argument: Any) -> None:
    """Answers `cpu` with the process's CPU seconds until told to stop."""
    made = _trivial(argument) if kind == "trivial" else _api(*argument)
    async with made as handler:
        gc.collect()
        collect_rarely()
        http = HttpServer(handler, ssl=server_context(files.server, client_ca=files.ca))
        await http.start()
        pipe.send(http.port)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv) == "cpu":
            pipe.send(time.process_time())
        await http.stop()


def _process(pipe: Connection, files: Files, kind: str, argument: Any) -> None:
    uvloop.run(_serve(pipe, files, kind, argument))


class Server:
    """One server process under measurement."""

    def __init__(self, files: Files, kind: str, argument: Any, user: Identity | None = None) -> None:
        """`client` speaks for the user, `admin` for the administrator, whom nothing is refused; they are one by default."""
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_process, args=(theirs, files, kind, argument))
        self._process.start()
        self.url = f"https://127.0.0.1:{self._pipe.recv()}"
        self.admin = HttpClient(self.url, ssl=client_context(ca=files.ca, identity=files.client))
        self.client = HttpClient(self.url, ssl=client_context(ca=files.ca, identity=user or files.client))

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def cpu(self) -> float:
        """CPU seconds so far."""
        self._pipe.send("cpu")
        return float(self._pipe.recv())

    async def close(self) -> None:
        await self.admin.aclose()
        await self.client.aclose()
        self._pipe.send("stop")
        self._process.join(10)

    async def ask(self, ask: Ask, client: HttpClient | None = None) -> bytes:
        """The answer to `client`, or to another. Raises RuntimeError for a refusal."""
        headers = Headers([("content-type", ask.media), ("accept", ask.accept)])
        response = await (client or self.client)(Request(ask.method, ask.target, headers, ask.body))
        answer = await read_body(response)
        if response.status >= 300:
            raise RuntimeError(f"{ask.method} {ask.target}: {response.status} {answer[:200]!r}")
        return answer

    async def measure(self, requests: Sequence[Ask], width: int = WIDTH) -> float:
        """The server's CPU microseconds a request; the first of each connection is not counted."""
        await asyncio.gather(*(self.ask(ask) for ask in requests[:width]))
        started = self.cpu()
        waiting = iter(requests[width:])

        async def worker() -> None:
            for ask in waiting:
                await self.ask(ask)

        await asyncio.gather(*(worker() for _ in range(width)))
        return (self.cpu() - started) / (len(requests) - width) * 1e6


def _whole(name: str) -> dict[str, Any]:
    return {"kind": "Pod", "apiVersion": "v1", **pod(name)}


def _noted(number: int, **more: Any) -> bytes:
    return orjson.dumps({**more, "metadata": {**more.get("metadata", {}), "annotations": {"n": str(number)}}})


def _applied(name: str, number: int) -> bytes:
    wanted = _whole(name)
    wanted["metadata"]["annotations"] = {"n": str(number)}
    return orjson.dumps(wanted)


async def _updates(api: Server, form: str) -> list[Ask]:
    """PUTs of what is there with another annotation."""
    found = []
    for number in range(LISTED):
        name = f"json-{number}"
        current = orjson.loads(await api.ask(Ask("GET", f"{PODS}/{name}")))
        current["metadata"].pop("resourceVersion")
        current["metadata"]["annotations"] = {"put": f"{form} {number}"}
        body = orjson.dumps(current) if form == JSON else protobuf.encode_object(current, _POD)
        found.append(Ask("PUT", f"{PODS}/{name}", body, form, form))
    return found


def _rules(*resources: str) -> list[dict[str, Any]]:
    verbs = ["get", "list", "watch", "create", "update", "patch", "delete"]
    return [{"apiGroups": ["", "apps"], "resources": list(resources), "verbs": verbs}]


def _binding(kind: str, role: str, group: str) -> bytes:
    subject = {"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": kind, "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    return orjson.dumps({"metadata": {"name": f"{role}-{group}"}, "roleRef": reference, "subjects": [subject]})


async def _roles(api: Server) -> None:
    """What RBAC has to do in a cluster of several teams: the user's rights come from the last binding of many."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"

    async def make(place: str, body: bytes) -> None:
        await api.ask(Ask("POST", place, body), api.admin)

    for number in range(NAMESPACES):
        role = orjson.dumps({"metadata": {"name": f"reader-{number}"}, "rules": _rules(f"things{number}", "nodes")})
        await make(f"{rbac}/clusterroles", role)
        await make(f"{rbac}/clusterrolebindings", _binding("ClusterRole", f"reader-{number}", f"team-{number}"))
        await make("/api/v1/namespaces", orjson.dumps({"metadata": {"name": f"ns-{number}"}}))
    for namespace in ("default", *(f"ns-{number}" for number in range(NAMESPACES))):
        for number, resources in enumerate((["secrets"], ["configmaps", "services"], ["deployments"], ["pods"])):
            place, name = f"{rbac}/namespaces/{namespace}", f"r{number}"
            role = orjson.dumps({"metadata": {"name": name}, "rules": _rules(*resources)})
            await make(f"{place}/roles", role)
            await make(f"{place}/rolebindings", _binding("Role", name, "developers"))
    await make(f"{rbac}/clusterroles", orjson.dumps({"metadata": {"name": "widgets"}, "rules": _widgets()}))
    await make(f"{rbac}/clusterrolebindings", _binding("ClusterRole", "widgets", "developers"))


def _widgets() -> list[dict[str, Any]]:
    return [{"apiGroups": ["bench.example.com"], "resources": ["widgets"], "verbs": ["*"]}]


async def _figures(api: Server) -> tuple[dict[str, float], bytes, bytes]:
    """Microseconds by kind of work, and the answers of a get and of a list."""
    account = orjson.dumps({"metadata": {"name": "default"}})
    await api.ask(Ask("POST", "/api/v1/namespaces/default/serviceaccounts", account), api.admin)
    await _roles(api)
    found: dict[str, float] = {}
    for form, short in ((JSON, "json"), (PROTOBUF, "protobuf")):
        bodies = [_whole(f"{short}-{n}") for n in range(LISTED)]
        encoded = [orjson.dumps(b) if form == JSON else protobuf.encode_object(b, _POD) for b in bodies]
        found[f"create {short}"] = await api.measure([Ask("POST", PODS, body, form, form) for body in encoded])
        found[f"get {short}"] = await api.measure([Ask("GET", f"{PODS}/json-1", accept=form)] * ROUNDS)
        found[f"update {short}"] = await api.measure(await _updates(api, form))
        if short == "json":
            found["list 500 json"] = await api.measure([Ask("GET", PODS)] * LISTS, 1)
            many = await api.ask(Ask("GET", PODS))
            found["list 500 protobuf"] = await api.measure([Ask("GET", PODS, accept=PROTOBUF)] * LISTS, 1)
    places = [f"{PODS}/json-{n}" for n in range(LISTED)]
    for name, media in (("merge patch", MERGE), ("strategic patch", STRATEGIC)):
        asks = [
            Ask("PATCH", place, _noted(n, metadata={"labels": {"by": name[:5]}}), media)
            for n, place in enumerate(places)
        ]
        found[name] = await api.measure(asks)
    asks = [
        Ask("PATCH", f"{place}?fieldManager=bench&force=true", _applied(f"json-{n}", n), APPLY)
        for n, place in enumerate(places)
    ]
    found["apply, first"] = await api.measure(asks)
    found["apply, again"] = await api.measure(asks)
    return found, await api.ask(Ask("GET", f"{PODS}/json-1")), many


def _definition() -> bytes:
    """A custom resource as an operator has it: a schema three levels deep, with defaults and limits."""
    text = {"type": "string", "maxLength": 1000}
    setting = {"type": "object", "required": ["name"], "properties": {"name": text, "value": text}}
    listed = {
        "type": "array",
        "items": setting,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    size = {"type": "integer", "minimum": 0, "default": 1}
    spec = {"type": "object", "properties": {"size": size, "image": text, "settings": listed}}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "kind": "Widget"}
    wanted = {"group": "bench.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return orjson.dumps({"metadata": {"name": "widgets.bench.example.com"}, "spec": wanted})


async def _custom(api: Server) -> dict[str, float]:
    await api.ask(Ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition()), api.admin)
    place = "/apis/bench.example.com/v1/namespaces/default/widgets"
    for _ in range(100):
        with contextlib.suppress(RuntimeError):
            await api.ask(Ask("GET", place))
            break
        await asyncio.sleep(0.05)
    settings = [{"name": f"SETTING_{n}", "value": "some value that says something " * 3} for n in range(30)]
    head = {"apiVersion": "bench.example.com/v1", "kind": "Widget", "spec": {"image": "app:1", "settings": settings}}
    bodies = [orjson.dumps({**head, "metadata": {"name": f"w-{n}"}}) for n in range(LISTED)]
    return {
        "create custom": await api.measure([Ask("POST", place, body) for body in bodies]),
        "get custom": await api.measure([Ask("GET", f"{place}/w-1")] * ROUNDS),
    }


def _raw_commits(path: Path, value: bytes) -> float:
    """CPU microseconds a row of raw SQLite: a write-ahead log as durable as the store's, a commit for all connections."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE kv (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB) STRICT")
    began = time.process_time()
    for start in range(0, ROUNDS, WIDTH):
        connection.execute("BEGIN")
        rows = [(f"/registry/pods/default/{start + n}", value) for n in range(WIDTH)]
        connection.executemany("INSERT INTO kv (key, value) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    spent = time.process_time() - began
    connection.close()
    return spent / ROUNDS * 1e6


async def _rows() -> Sequence[Row]:
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name))
        trivial: dict[str, float] = {}
        api = Server(files, "api", ("sqlite", Path(name)), files.user)
        figures, one, many = await _figures(api)
        figures |= await _custom(api)
        await api.close()
        for what, body, rounds, width in (("get", one, ROUNDS, WIDTH), ("list", many, LISTS, 1)):
            floor = Server(files, "trivial", body)
            trivial[what] = await floor.measure([Ask("GET", "/x")] * rounds, width)
            if what == "get":
                sent = orjson.dumps(_whole("x"))
                trivial["POST"] = await floor.measure([Ask("POST", "/x", sent)] * ROUNDS)
            await floor.close()
        commit = _raw_commits(Path(name) / "raw.db", one)
    rows = [Row(what, figure, trivial.get(what.partition(" ")[0], commit)) for what, figure in figures.items()]
    return [*rows, Row("raw SQLite and trivial POST", commit + trivial["POST"], commit)]


def run() -> Sequence[Row]:
    """A row a kind of work."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark(
    "apiserver",
    "CPU of requests over TLS; floors: a handler that answers the same bytes (reads), raw SQLite (writes)",
    run,
)
