"""A kubelet's certificates are replaced under load: over TLS, with the real API server, and no request fails."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace
from tests.component.api import serving

from pybernetes.api.objects import User
from pybernetes.api.types import certificates_v1, core_v1
from pybernetes.apiserver.server import ApiServer
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.kubelet import bootstrap
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.pki.certificates import (
    BACKDATE,
    Authority,
    Leaf,
    certificate_pem,
    issue,
    new_authority,
    parse_request,
    sign,
)
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
NODE = "n1"
# A certificate is due at 80 % of its life, which begins BACKDATE before it is signed: these are due after a second or two.
SHORT = BACKDATE / 4 + timedelta(seconds=2)
ROTATIONS = 2


class Site:
    """An authority, the API server on TLS that asks for client certificates, and a signer of short ones."""

    def __init__(self, folder: Path, api: ApiServer) -> None:
        self.folder = folder
        self.clock = api.clock
        self.authority: Authority = new_authority("kubernetes", self.clock.now())
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(self.authority.pem)
        self.api = api
        self.admin = Client(direct(self.api.handler, ADMIN), clock=self.clock)
        self.tls = ServerTls(
            self.pair("api", Leaf("api", hosts=("127.0.0.1",), usages=("server auth",))), client_ca=self.ca
        )
        self.server = HttpServer(self.api.handler, ssl=self.tls.context)

    def pair(self, name: str, leaf: Leaf) -> Identity:
        certificate, key = issue(self.authority, leaf, self.clock.now())
        file = self.folder / f"{name}.pem"
        file.write_bytes(certificate + key)
        return Identity(file, file)

    def cluster(self, port: int) -> kubeconfig.Cluster:
        return kubeconfig.Cluster(server=f"https://127.0.0.1:{port}", certificate_authority=str(self.ca))

    async def sign(self) -> None:
        """Approves and signs every request, for a short time."""
        requests = self.admin.of(certificates_v1.CertificateSigningRequest)
        while True:
            for csr in (await requests.list()).items:
                if not csr.status.certificate:
                    await self._sign(csr)
            await self.clock.sleep(0.02)

    async def _sign(self, csr: certificates_v1.CertificateSigningRequest) -> None:
        requests = self.admin.of(certificates_v1.CertificateSigningRequest)
        approved = certificates_v1.CertificateSigningRequestCondition(type="Approved", status="True", reason="Test")
        status = replace(csr.status, conditions=(approved,))
        csr = await requests.patch(csr, replace(csr, status=status), subresource="approval")
        wanted = parse_request(base64.b64decode(csr.spec.request))
        usage = "server auth" if csr.spec.signerName == bootstrap.SERVING_SIGNER else "client auth"
        hosts = (*wanted.dns_names, *wanted.ip_addresses)
        leaf = Leaf(wanted.user.name, wanted.user.groups, hosts, (usage,), lifetime=SHORT)
        pem = certificate_pem(sign(self.authority, leaf, wanted.key, self.clock.now()))
        status = replace(csr.status, certificate=base64.b64encode(pem).decode())
        await requests.patch(csr, replace(csr, status=status), subresource="status")


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with serving(account=False, disable_admission=("ServiceAccount",)) as api:
        made = Site(folder, api.server)
        signing = asyncio.create_task(made.sign())
        await made.server.start("127.0.0.1", 0)
        try:
            yield made
        finally:
            signing.cancel()
            await asyncio.gather(signing, return_exceptions=True)
            await made.server.stop()


async def test_the_client_certificate_is_replaced_while_requests_go_on(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        leaf = Leaf(f"system:node:{NODE}", ("system:nodes",), lifetime=SHORT)
        path = tmp_path / "kubelet.conf"
        bootstrap.write_kubeconfig(path, made.cluster(made.server.port), made.pair("first", leaf).certificate)
        connection = bootstrap.NodeConnection(path)
        client = Client(connection, clock=made.clock, user_agent="kubelet")
        wanted = bootstrap.Wanted(bootstrap.CLIENT_SIGNER, NODE)
        rotation = bootstrap.ClientRotation(path, connection, client, wanted, tmp_path / "pki")
        (tmp_path / "pki").mkdir()
        running = asyncio.create_task(rotation.run())
        requests, pairs = 0, set()
        try:
            while len(pairs) < ROTATIONS:  # the loop is the load: each request must succeed
                await client.of(core_v1.Service).list()
                requests += 1
                _, user = kubeconfig.resolve(kubeconfig.load(path), kubeconfig.Overrides())
                if "pki" in user.client_certificate:
                    pairs.add(Path(user.client_certificate).read_bytes())
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await connection.aclose()
        assert requests > ROTATIONS
        assert all(bootstrap.life_of(pair).end > made.clock.now() for pair in pairs)


async def test_the_serving_certificate_is_replaced_while_new_connections_come(tmp_path: Path) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, Headers(), b"ok")

    async with site(tmp_path) as made:
        node = User(f"system:node:{NODE}", groups=("system:nodes", "system:authenticated"))
        client = Client(direct(made.api.handler, node), clock=made.clock)
        wanted = bootstrap.Wanted(bootstrap.SERVING_SIGNER, NODE, (NODE, "127.0.0.1"))
        folder = tmp_path / "pki"
        folder.mkdir()
        serving = bootstrap.ServingCertificate(client, wanted, folder, made.clock)
        tls: list[ServerTls] = []
        running = asyncio.create_task(serving.run(lambda: [one.reload() for one in tls]))
        await serving.ready.wait()
        tls.append(ServerTls(Identity(serving.file, serving.file), client_ca=made.ca))
        server = HttpServer(answer, ssl=tls[0].context)
        await server.start("127.0.0.1", 0)
        config = kubeconfig.new("c", made.cluster(server.port), "u", kubeconfig.User())
        requests, pairs = 0, set()
        try:
            while len(pairs) <= ROTATIONS:
                connection = kubeconfig.transport_of(config)
                assert (await connection(Request("GET", "/healthz", Headers()))).status == 200
                await connection.aclose()
                requests += 1
                pairs.add(serving.file.read_bytes())
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await server.stop()
        assert requests > ROTATIONS
