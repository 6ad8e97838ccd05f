"""TLS bootstrap: from a bootstrap kubeconfig to the node's own; rotation times; the files that are left."""

import asyncio
import base64
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import cast

import orjson
import pytest

from pybernetes.aio.simulation import EPOCH
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.kubelet import bootstrap, metrics
from pybernetes.kubelet.bootstrap import BootstrapError, Wanted
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.pki.certificates import (
    Leaf,
    certificate_pem,
    issue,
    new_authority,
    parse_certificate,
    parse_request,
    sign,
)
from pybernetes.wire.server import HttpServer

AUTHORITY = new_authority("ca", EPOCH)
WANTED = Wanted(bootstrap.SERVING_SIGNER, "n1", ("n1", "192.0.2.1"))


class At:
    """A clock that stands still and never waits."""

    def now(self) -> float:
        return EPOCH

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Signer:
    """An API server with one request, which is decided on at the second look."""

    def __init__(self, refuse: str = "") -> None:
        self.refuse = refuse
        self.stored: dict[str, object] = {}
        self.looks = 0

    async def __call__(self, request: Request) -> Response:
        if request.method == "POST":
            self.stored = orjson.loads(request.body)
            self.stored["metadata"] = {"name": "csr-1"}
        else:
            self.looks += 1
            if self.looks == 2:
                self.stored["status"] = self._decided()
        return Response(200, Headers(), orjson.dumps(self.stored))

    def _decided(self) -> dict[str, object]:
        if self.refuse:
            return {"conditions": [{"type": "Denied", "status": "True", "message": self.refuse}]}
        spec = self.stored["spec"]
        assert isinstance(spec, dict)
        wanted = parse_request(base64.b64decode(spec["request"]))
        leaf = Leaf(wanted.user.name, wanted.user.groups, (*wanted.dns_names, *wanted.ip_addresses), ("server auth",))
        pem = certificate_pem(sign(AUTHORITY, leaf, wanted.key, EPOCH))
        return {"certificate": base64.b64encode(pem).decode()}


async def test_a_certificate_is_obtained_and_linked(tmp_path: Path) -> None:
    signer = Signer()
    current = await bootstrap.obtain(Client(signer, clock=At()), WANTED, tmp_path)
    assert current == tmp_path / "kubelet-server-current.pem"
    assert current.readlink() == Path("kubelet-server-2026-01-01-00-00-00.pem")
    assert current.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" in current.read_bytes()
    spec = signer.stored["spec"]
    assert isinstance(spec, dict)
    assert spec["usages"] == ["digital signature", "server auth"]
    assert bootstrap.usable(current, EPOCH)


async def test_a_denied_request_says_why(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="csr-1 was denied: not you"):
        await bootstrap.obtain(Client(Signer("not you"), clock=At()), WANTED, tmp_path)


def test_rotation_is_due_at_four_fifths_of_the_life() -> None:
    pem, _ = issue(AUTHORITY, Leaf("x", lifetime=timedelta(hours=10)), EPOCH)
    certificate = parse_certificate(pem)
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    assert bootstrap.life_of(pem) == bootstrap.Life(pytest.approx(begin + 0.8 * (end - begin)), end)


def test_a_broken_or_ended_pair_is_not_usable(tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    assert not bootstrap.usable(file, EPOCH)
    file.write_text("no certificate")
    assert not bootstrap.usable(file, EPOCH)
    pem, key = issue(AUTHORITY, Leaf("x", lifetime=timedelta(hours=1)), EPOCH)
    file.write_bytes(pem + key)
    assert bootstrap.usable(file, EPOCH)
    assert not bootstrap.usable(file, EPOCH + 3700)


async def test_a_usable_kubeconfig_is_left_alone(tmp_path: Path) -> None:
    pem, key = issue(AUTHORITY, Leaf("system:node:n1"), EPOCH)
    pair = bootstrap.store(tmp_path, "kubelet-client", pem + key, EPOCH)
    path = tmp_path / "kubelet.conf"
    bootstrap.write_kubeconfig(path, kubeconfig.Cluster(server="https://192.0.2.9:6443"), pair)
    before = path.read_text()
    await bootstrap.ensure_kubeconfig(path, None, WANTED, tmp_path, At())
    assert path.read_text() == before
    _, user = kubeconfig.resolve(kubeconfig.load(path), kubeconfig.Overrides())
    assert user.client_certificate == str(pair)


async def test_without_any_credentials_the_user_is_told_to_join(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="kubeadm join"):
        await bootstrap.ensure_kubeconfig(tmp_path / "a", tmp_path / "missing", WANTED, tmp_path, At())


async def test_without_a_signer_the_kubelet_signs_for_itself(tmp_path: Path) -> None:
    serving = bootstrap.ServingCertificate(None, WANTED, tmp_path, At())
    task = asyncio.create_task(serving.run(lambda: None))
    await serving.ready.wait()
    task.cancel()
    assert bootstrap.usable(serving.file, EPOCH)


class Moving(At):
    """Time passes as it is slept."""

    def __init__(self) -> None:
        self.time = EPOCH

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


class Rotating(Signer):
    """Signs each request at once, for an hour from the clock's time; or refuses all."""

    def __init__(self, clock: Moving) -> None:
        super().__init__()
        self.clock = clock
        self.times: list[float] = []
        self.away = False

    async def __call__(self, request: Request) -> Response:
        if self.away:
            raise ConnectionError("away")
        self.looks = 1
        if request.method == "POST":
            self.times.append(self.clock.now())
        return await super().__call__(request)

    def _decided(self) -> dict[str, object]:
        spec = self.stored["spec"]
        assert isinstance(spec, dict)
        wanted = parse_request(base64.b64decode(spec["request"]))
        leaf = Leaf(wanted.user.name, wanted.user.groups, lifetime=timedelta(hours=1))
        pem = certificate_pem(sign(AUTHORITY, leaf, wanted.key, self.clock.now()))
        return {"certificate": base64.b64encode(pem).decode()}


class Reloads:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def reload(self) -> None:
        self.count += 1


def rotating(folder: Path) -> tuple[Moving, Rotating, Reloads, bootstrap.ClientRotation]:
    clock = Moving()
    signer, reloads = Rotating(clock), Reloads()
    pem, key = issue(AUTHORITY, Leaf("system:node:n1", lifetime=timedelta(hours=1)), EPOCH)
    pair = bootstrap.store(folder, "kubelet-client", pem + key, EPOCH)
    path = folder / "kubelet.conf"
    bootstrap.write_kubeconfig(path, kubeconfig.Cluster(server="https://192.0.2.9:6443"), pair)
    wanted = Wanted(bootstrap.CLIENT_SIGNER, "n1")
    connection = cast(bootstrap.NodeConnection, reloads)
    client = Client(signer, clock=clock)
    return clock, signer, reloads, bootstrap.ClientRotation(path, connection, client, wanted, folder)


async def test_the_client_certificate_is_replaced_each_time_it_is_due(tmp_path: Path) -> None:
    clock, signer, reloads, rotation = rotating(tmp_path)
    task = asyncio.create_task(rotation.run())
    while clock.now() < EPOCH + 4 * 3600:
        await asyncio.sleep(0)
    task.cancel()
    assert reloads.count == len(signer.times) == 5
    lives = [after - before for before, after in pairwise(signer.times)]
    assert all(2700 < life < 3000 for life in lives)
    current = (tmp_path / "kubelet-client-current.pem").read_bytes()
    assert bootstrap.life_of(current).end > clock.now()


async def test_a_certificate_that_cannot_be_renewed_ends_the_kubelet_only_when_it_is_long_over(tmp_path: Path) -> None:
    clock, signer, reloads, rotation = rotating(tmp_path)
    signer.away = True
    with pytest.raises(BootstrapError, match="has ended and could not be renewed"):
        await rotation.run()
    assert EPOCH + 3600 + 300 < clock.now() < EPOCH + 3600 + 400
    assert reloads.count == 0


class Late(Rotating):
    """Is there two seconds after the start."""

    async def __call__(self, request: Request) -> Response:
        self.away = self.clock.now() < EPOCH + 2
        return await super().__call__(request)


async def test_a_serving_certificate_is_there_soon_after_the_api_server_is(tmp_path: Path) -> None:
    clock = Moving()
    signer = Late(clock)
    serving = bootstrap.ServingCertificate(Client(signer, clock=clock), WANTED, tmp_path, clock)
    task = asyncio.create_task(serving.run(lambda: None))
    await serving.ready.wait()
    task.cancel()
    assert signer.times[0] <= EPOCH + 4


async def test_a_serving_certificate_that_was_lost_is_made_anew(tmp_path: Path) -> None:
    clock = Moving()
    serving = bootstrap.ServingCertificate(None, WANTED, tmp_path, clock)
    renewed: list[float] = []
    task = asyncio.create_task(serving.run(lambda: renewed.append(clock.now())))
    await serving.ready.wait()
    serving.file.unlink()
    while not renewed:
        await asyncio.sleep(0)
    task.cancel()
    assert bootstrap.usable(serving.file, clock.now())


async def test_requests_to_the_api_server_are_counted_by_their_outcome(tmp_path: Path) -> None:
    async def handler(request: Request) -> Response:
        return Response(404 if request.path == "/none" else 200)

    server = HttpServer(handler)
    await server.start()
    host = f"127.0.0.1:{server.port}"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_bytes(orjson.dumps(config))
    connection = bootstrap.NodeConnection(tmp_path / "kubeconfig")
    for path in ("/", "/none"):
        await connection(Request("GET", path))
    await connection.aclose()
    with pytest.raises(ConnectionError):
        await connection(Request("GET", "/"))
    await server.stop()
    found = metrics.REST_REQUESTS.values
    assert {code: found[code, host, "GET"] for code in ("200", "404", "<error>")} == {"200": 1, "404": 1, "<error>": 1}
