"""Soak of the API server: random requests against its pipeline, and kill -9 of a real kube-apiserver under writes.

`python -m tools.soak.api --rounds N [--seed S]`. A round sends some thousand requests, good and broken, to a server in
this process on virtual time: no answer is a 5xx, nothing is logged as a fault, what was written can be read, and the
watches have told exactly what the lists say. Then a kube-apiserver process on SQLite is killed while clients write:
every write it acknowledged must be there afterwards.
"""

import asyncio
import faulthandler
import logging
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key, User
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import Headers, Peer, Request, Response, read_body
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from tools.soak._definitions import DEFINITIONS, definitions
from tools.soak._faults import Faults
from tools.soak._oracles import Oracle, shown
from tools.soak._requests import Requests
from tools.soak._rounds import arguments, run_rounds, with_fixed_hashes

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
REQUESTS = 2000
WRITERS = 8
TOKEN = "soak-token"
START_SECONDS = 30.0
HANG_SECONDS = 60.0
"""After so long without an answer the stack is shown and the process ends."""


# -- random requests ------------------------------------------------------------------------------------------------


class Follower:
    """One resource: what a watch has told since the beginning."""

    def __init__(self, served: Served) -> None:
        known = served.facts
        self.path = f"/apis/{known.group}/{known.version}" if known.group else f"/api/{known.version}"
        self.path += f"/{known.plural}"
        self.objects: dict[tuple[str, str], Any] = {}
        self.revision = 0

    async def follow(self, server: ApiServer, revision: str) -> None:
        """Applies the watch's events until cancelled. Raises AssertionError when they are out of order."""
        query = f"?watch=true&resourceVersion={revision}&timeoutSeconds=100000"
        response = await send(server, Request("GET", self.path + query))
        assert response.status == 200, f"watch of {self.path}: {response.status}"
        assert not isinstance(response.body, bytes)
        rest = b""
        async for chunk in response.body:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._apply(orjson.loads(line))

    def _apply(self, event: Mapping[str, Any]) -> None:
        obj = event["object"]
        metadata = obj["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        revision = int(metadata["resourceVersion"])
        assert revision > self.revision, f"watch of {self.path}: {revision} after {self.revision}"
        self.revision = revision
        known = key in self.objects
        assert known == (event["type"] != "ADDED"), f"watch of {self.path}: {event['type']} {key}, known: {known}"
        if event["type"] == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = obj

    def check(self, listed: Mapping[str, Any]) -> None:
        """Raises AssertionError where the list says something else."""
        found = {(o["metadata"].get("namespace", ""), o["metadata"]["name"]): o["metadata"] for o in listed["items"]}
        told = {key: obj["metadata"] for key, obj in self.objects.items()}
        assert found == told, (
            f"list and watch of {self.path} differ in {sorted(found.items() ^ told.items())[:2]}"
            if (found.keys() != told.keys())
            else f"list and watch of {self.path} differ"
        )


async def send(server: ApiServer, request: Request) -> Response:
    """As the administrator."""
    return await server.handler(
        Request(request.method, request.target, request.headers, request.body, Peer(user=ADMIN))
    )


async def ask(server: ApiServer, target: str) -> tuple[int, Any]:
    """GET; code and answer."""
    response = await send(server, Request("GET", target, Headers([("accept", "application/json")])))
    return response.status, orjson.loads(await read_body(response))


async def storm(seed: int) -> dict[str, int]:
    """One server under random requests. Raises AssertionError."""
    clock = SimulatedClock(asyncio.get_running_loop(), seed)
    # No controller makes ServiceAccounts here: without this no Pod could be.
    server = ApiServer(Config(disable_admission=("ServiceAccount",)), MemoryStore(), clock)
    running = asyncio.create_task(server.run())
    await server.ready.wait()
    source = Requests(random.Random(seed), server.catalog)
    oracle = Oracle(server, partial(send, server))
    for definition in definitions(random.Random(seed)):
        body = orjson.dumps(definition)
        made = await send(server, Request("POST", DEFINITIONS, Headers([("content-type", "application/json")]), body))
        assert made.status == 201, made.body
    followers = [Follower(served) for served in server.catalog if "watch" in served.facts.verbs]
    tasks = []
    for follower in followers:
        _, listed = await ask(server, follower.path)
        follower.objects = {(o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in listed["items"]}
        tasks.append(asyncio.create_task(follower.follow(server, listed["metadata"]["resourceVersion"])))
    codes: dict[int, int] = {}
    try:
        await clock.sleep(1)
        for _ in range(REQUESTS):
            request = source.next()
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            try:
                response, answer = await oracle.ask(request)
            except Exception as error:
                raise AssertionError(f"{type(error).__name__}: {error}, after {shown(request)}") from error
            _learn(source, answer)
            codes[response.status // 100] = codes.get(response.status // 100, 0) + 1
            await clock.sleep(0.01)
        await clock.sleep(5)
        for follower, task in zip(followers, tasks, strict=True):
            if task.done() and task.exception() is None and "soak.example.com" in follower.path:
                continue  # its definition was changed or deleted
            assert not task.done(), f"watch of {follower.path} ended: {task.exception()}"
            _, listed = await ask(server, follower.path)
            follower.check(listed)
    finally:
        faulthandler.cancel_dump_traceback_later()
        for task in (*tasks, running):
            task.cancel()
        await asyncio.wait([*tasks, running])
    return {f"answers {hundred}xx": count for hundred, count in sorted(codes.items())}


def _learn(source: Requests, answer: Any) -> None:
    """What the server says is sent again: continue tokens to other lists, objects with changes."""
    if not isinstance(answer, dict):
        return
    metadata = answer.get("metadata")
    if isinstance(metadata, dict) and metadata.get("continue"):
        source.tokens = [*source.tokens[-20:], metadata["continue"]]
    if isinstance(metadata, dict) and metadata.get("uid"):
        source.bodies = [*source.bodies[-60:], answer]


def check_storm(seed: int) -> dict[str, int]:
    """Raises AssertionError, also for a fault that was logged."""
    faults = Faults()
    logging.getLogger("pybernetes").addHandler(faults)
    try:
        figures = run_simulated(storm(seed))
    finally:
        logging.getLogger("pybernetes").removeHandler(faults)
    assert not faults.found, f"{len(faults.found)} faults were logged, the first: {faults.found[0]}"
    return figures


# -- kill -9 --------------------------------------------------------------------------------------------------------


class Machine:
    """A kube-apiserver process that can be killed, and what it has acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        authority = new_authority("soak", time.time())
        certificate, key = issue(
            authority, Leaf("kube-apiserver", hosts=("127.0.0.1",), usages=("server auth",)), time.time()
        )
        (folder / "tls.crt").write_bytes(certificate)
        (folder / "tls.key").write_bytes(key)
        (folder / "tokens").write_text(f'{TOKEN},soak,1,"system:masters"\n')
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        data = kubeconfig.encoded(authority.pem)
        cluster = kubeconfig.Cluster(server=f"https://127.0.0.1:{self.port}", certificate_authority_data=data)
        self.config = kubeconfig.new("soak", cluster, "soak", kubeconfig.User(token=TOKEN))
        self.acknowledged: dict[str, str | None] = {}
        """Name of a ConfigMap -> the last value acknowledged; None: deleted."""
        self.uncertain: dict[str, set[str | None]] = {}
        """What the last request that got no answer may have made of it."""
        self.count = 0

    def start(self) -> "subprocess.Popen[bytes]":
        """The process; it may not answer yet."""
        command = [str(Path(sys.executable).with_name("kube-apiserver")), f"--secure-port={self.port}"]
        command += [f"--tls-cert-file={self.folder}/tls.crt", f"--tls-private-key-file={self.folder}/tls.key"]
        command += [f"--storage-path={self.folder}/store.db", f"--token-auth-file={self.folder}/tokens"]
        command += ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    async def round(self, seconds: float, rng: random.Random) -> None:
        """Start, check what the last round left, write for a while, kill."""
        process = self.start()
        transport = kubeconfig.transport_of(self.config)
        client = Client(transport, clock=self.clock)
        try:
            await self._until_ready(client, process)
            await self._check(client)
            writers = [asyncio.create_task(self._write(client, number, rng.random())) for number in range(WRITERS)]
            await asyncio.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*writers)
        finally:
            process.kill()
            process.wait()
            await transport.aclose()

    async def _until_ready(self, client: Client, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                await client.send("GET", "/readyz")
                return
            except (OSError, ApiError) as error:
                refusal = error
            await asyncio.sleep(0.05)
            said = (self.folder / "log").read_bytes()[-2000:].decode(errors="replace")
            assert process.poll() is None, f"kube-apiserver ended: {said}"
            assert time.monotonic() < deadline, f"kube-apiserver does not answer: {refusal}\n{said}"

    async def _write(self, client: Client, number: int, seed: float) -> None:
        """Creates, changes and deletes ConfigMaps of its own until the server is gone."""
        maps = client.of(core_v1.ConfigMap)
        rng = random.Random(seed)
        with suppress(OSError):
            while True:
                name = f"map-{number}-{rng.randrange(20)}"
                value: str | None = f"{rng.random()}" + "x" * rng.choice((0, 2000))
                there = self.acknowledged.get(name)
                if there is not None and rng.random() < 0.2:
                    value = None
                self.uncertain[name] = {there, value}
                if value is None:
                    await maps.delete(Key("default", name))
                elif there is None:
                    metadata = meta_v1.ObjectMeta(name=name, namespace="default")
                    await maps.create(core_v1.ConfigMap(metadata=metadata, data={"v": value}))
                else:
                    await maps.patch_raw(Key("default", name), {"data": {"v": value}})
                self.acknowledged[name] = value
                del self.uncertain[name]
                self.count += 1

    async def _check(self, client: Client) -> None:
        found = {o.metadata.name: o.data["v"] for o in (await client.of(core_v1.ConfigMap).list("default")).items
                 if o.metadata.name.startswith("map-")}  # fmt: skip
        for name in {*found, *self.acknowledged, *self.uncertain}:
            value = found.get(name)
            allowed = self.uncertain.get(name, {self.acknowledged.get(name)})
            assert value in allowed, f"{name} is {value!r:.40}, acknowledged was {self.acknowledged.get(name)!r:.40}"
        self.acknowledged = dict(found)
        self.uncertain = {}


async def kill_rounds(seed: int, rounds: int) -> dict[str, int]:
    """Kills one server again and again, on one store. Raises AssertionError."""
    rng = random.Random(seed)
    with TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        for _ in range(rounds):
            await machine.round(rng.uniform(0.2, 1.0), rng)
        await machine.round(0.0, rng)
        return {"kills": rounds, "writes acknowledged": machine.count}


def main() -> int:
    """Rounds of storms and kills; 1 at the first fault, with its seed."""
    parser = arguments(__doc__)
    parser.add_argument("--without-kills", action="store_true", help="random requests only")
    options = parser.parse_args()
    with_fixed_hashes()
    logging.getLogger().addHandler(logging.NullHandler())

    def play(seed: int) -> dict[str, int]:
        figures = check_storm(seed)
        return figures if options.without_kills else {**figures, **asyncio.run(kill_rounds(seed, 2))}

    return run_rounds("api", options, play, " --without-kills" if options.without_kills else "")


if __name__ == "__main__":
    sys.exit(main())
