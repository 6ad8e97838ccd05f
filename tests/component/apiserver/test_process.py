"""kube-apiserver as a process: TLS, a handed-over socket, SIGTERM, and kill -9 under load."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import orjson
import pytest
from tests.etcd_servers import etcd, needs_etcd

from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, read_body
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from pybernetes.wire.tls import Identity, client_context

MAPS = "/api/v1/namespaces/default/configmaps"


class Cluster:
    """One server's files; start() runs it on a socket that the test holds."""

    def __init__(self, folder) -> None:
        self.folder = folder
        authority = new_authority("test", time.time())
        (folder / "ca.crt").write_bytes(authority.pem)
        self.identity = {
            "server": Leaf("kube-apiserver", hosts=("127.0.0.1",), usages=("server auth",)),
            "admin": Leaf("admin", groups=("system:masters",)),
        }
        for name, leaf in self.identity.items():
            certificate, key = issue(authority, leaf, time.time())
            (folder / f"{name}.crt").write_bytes(certificate)
            (folder / f"{name}.key").write_bytes(key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(str(folder / "door.sock"))
        self.door.listen()
        threading.Thread(target=self._hand_over, daemon=True).start()
        identity = Identity(folder / "admin.crt", folder / "admin.key")
        self.tls = client_context(ca=folder / "ca.crt", identity=identity)

    def listen(self) -> None:
        """On another port from now on."""
        self.socket.close()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def start(self, *more: str) -> subprocess.Popen:
        flags = ["--tls-cert-file", "server.crt", "--tls-private-key-file", "server.key", "--client-ca-file", "ca.crt"]
        flags += ["--storage-path", "store.db", "--advertise-address", "127.0.0.1", "--secure-port", "0"]
        flags += ["--inherit-sockets-from", "door.sock"]
        script = "import sys; from pybernetes.cmd.kube_apiserver import main; main(sys.argv[1:])"
        return subprocess.Popen([sys.executable, "-c", script, *flags, *more], cwd=self.folder, stderr=subprocess.PIPE)

    def _hand_over(self) -> None:
        """Gives the socket to each server that asks, until close()."""
        with suppress(OSError):
            while True:
                taken, _ = self.door.accept()
                with taken:
                    socket.send_fds(taken, [b"1"], [self.socket.fileno()])

    def close(self) -> None:
        self.socket.close()
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()

    def client(self) -> HttpClient:
        return HttpClient(f"https://127.0.0.1:{self.port}", ssl=self.tls)


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


async def ask(client, method, target, body=None, *, raw=False):
    sent = orjson.dumps(body) if body is not None else b""
    response = await client(Request(method, target, Headers([("content-type", "application/json")]), sent))
    answer = await read_body(response)
    return response.status, answer if raw else orjson.loads(answer)


async def ready(client):
    await becomes(client, "/readyz", 200)


async def becomes(client, page, status):
    async with asyncio.timeout(20):
        while (await ask(client, "GET", page, raw=True))[0] != status:
            pass


async def write(client, worker, noted):
    """Makes ConfigMaps until the server is gone; `noted` is told of each that was acknowledged."""
    for number in range(100_000):
        name = f"m-{worker}-{number}"
        try:
            status, _ = await ask(client, "POST", MAPS, {"metadata": {"name": name}})
        except OSError:
            return
        assert status == 201
        noted(name)


async def test_what_was_acknowledged_survives_kill_9(cluster):
    process = cluster.start()
    client = cluster.client()
    acknowledged = []
    try:
        await ready(client)

        def noted(name):
            acknowledged.append(name)
            if len(acknowledged) == 200:
                process.send_signal(signal.SIGKILL)

        await asyncio.gather(*(write(client, worker, noted) for worker in range(8)))
    finally:
        process.kill()
        process.communicate()
        await client.aclose()
    assert len(acknowledged) >= 200
    process = cluster.start()
    client = cluster.client()
    try:
        await ready(client)
        _, listed = await ask(client, "GET", MAPS)
        assert set(acknowledged) <= {item["metadata"]["name"] for item in listed["items"]}
        watch = await client(Request("GET", f"{MAPS}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}"))
        process.send_signal(signal.SIGTERM)
        assert await read_body(watch) == b""
        _, log = process.communicate(timeout=10)
        assert (process.returncode, b"Traceback" in log) == (0, False)
    finally:
        process.kill()
        process.communicate()
        await client.aclose()


async def test_a_server_that_is_told_to_stop_fails_readyz_and_answers_what_it_has_begun(cluster):
    process = cluster.start("--shutdown-delay-duration", "700ms")
    client = cluster.client()
    acknowledged = []
    try:
        await ready(client)

        watch = await client(Request("GET", f"{MAPS}?watch=1"))
        writers = [asyncio.create_task(write(client, worker, acknowledged.append)) for worker in range(8)]
        process.send_signal(signal.SIGTERM)
        cluster.listen()  # elsewhere: here a client would connect to a socket that nobody accepts from
        async with asyncio.timeout(10):
            while True:
                response = await client(Request("GET", "/readyz"))
                text = await read_body(response)
                if response.status != 200:
                    break
        assert (response.status, b"[-]shutdown failed: reason withheld" in text) == (500, True)
        assert (await ask(client, "GET", MAPS))[0] == 200
        await read_body(watch)  # ends as a body ends, or this raises
        await asyncio.gather(*writers)
        _, log = process.communicate(timeout=10)
        assert (process.returncode, b"Traceback" in log) == (0, False)
    finally:
        process.kill()
        process.communicate()
        await client.aclose()
    process = cluster.start()
    client = cluster.client()
    try:
        await ready(client)
        _, listed = await ask(client, "GET", MAPS)
        assert {item["metadata"]["name"] for item in listed["items"]} == set(acknowledged)  # no write went unanswered
    finally:
        process.kill()
        process.communicate()
        await client.aclose()


@needs_etcd
async def test_a_server_on_etcd_tells_when_etcd_is_away_and_goes_on_when_it_is_back(cluster):
    with etcd() as servers:
        files = servers.files()
        flags = [f"--etcd-{name}={files[name]}" for name in ("cafile", "certfile", "keyfile")]
        flags += ["--storage-backend=etcd3", f"--etcd-servers={servers.members[0].url}", "--etcd-prefix=/mine"]
        process = cluster.start(*flags)
        client = cluster.client()
        try:
            await ready(client)
            assert (await ask(client, "POST", MAPS, {"metadata": {"name": "a"}}))[0] == 201
            servers.members[0].kill()
            await becomes(client, "/readyz/etcd-readiness", 500)
            assert (await ask(client, "GET", "/healthz/etcd", raw=True))[0] == 500
            assert (await ask(client, "GET", "/healthz/ping", raw=True))[0] == 200
            servers.members[0].start()
            await ready(client)
            assert (await ask(client, "GET", f"{MAPS}/a"))[0] == 200
            keys = await asyncio.to_thread(servers.ctl, "get", "--prefix", "--keys-only", "/")
            assert "/mine/configmaps/default/a" in keys.split()
            assert not [key for key in keys.split() if not key.startswith("/mine/")]
        finally:
            process.terminate()
            _, log = process.communicate(timeout=20)
            await client.aclose()
        assert (process.returncode, b"Traceback" in log) == (0, False), log.decode()


@needs_etcd
def test_an_etcd_that_refuses_the_certificate_is_one_clear_line(cluster):
    with etcd() as servers:
        files = servers.files()
        flags = [
            "--storage-backend=etcd3",
            f"--etcd-servers={servers.members[0].url}",
            f"--etcd-cafile={files['cafile']}",
        ]
        process = cluster.start(*flags)
        _, log = process.communicate(timeout=40)
        assert process.returncode == 1
        assert b"Traceback" not in log
        assert b"--etcd-certfile and --etcd-keyfile must be a client certificate" in log
