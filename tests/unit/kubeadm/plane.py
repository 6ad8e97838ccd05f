"""A control plane that comes up with what kubeadm has written, as if a kubelet had started it."""

import socket
from typing import Any

from msgspec.structs import replace

from pybernetes.controllers.bootstrap_signer import signature
from pybernetes.kubeadm.config import Checks, InitConfig, JoinConfig, Networking, Node
from pybernetes.kubeadm.tokens import Token
from pybernetes.wire.pki import certificates
from pybernetes.wire.pki.certificates import public_key_hash
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls

TOKEN = Token("abcdef", "0123456789abcdef")
ANYWAY = Checks(ignored=frozenset({"all"}))


class ControlPlane:
    """Starts the API server with the certificates that init wrote, as a supervisor would; on the clock's first wait."""

    def __init__(self, spoken: Any, api: Any) -> None:
        self.spoken, self.api = spoken, api
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.port = int(self.sock.getsockname()[1])
        self.server: HttpServer | None = None
        self.node = "m1"

    async def start(self) -> None:
        manifest = self.spoken.paths.at("/etc/kubernetes/manifests/kube-apiserver.yaml")
        if self.server is not None or not manifest.exists():
            return
        pki = self.spoken.paths.at("/etc/kubernetes/pki")
        identity = Identity(pki / "apiserver.crt", pki / "apiserver.key")
        self.server = HttpServer(self.api, ssl=ServerTls(identity, client_ca=pki / "ca.crt").context)
        await self.server.start(sockets=[self.sock])
        self.api.objects[f"/api/v1/nodes/{self.node}"] = {"metadata": {"name": self.node}, "spec": {}}

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop()
        self.sock.close()


def config_of(plane: ControlPlane, **changes: Any) -> InitConfig:
    config = InitConfig(
        node=Node(name="m1", address="127.0.0.1"),
        networking=Networking(pod_cidr="10.244.0.0/16"),
        token=TOKEN,
        bind_port=plane.port,
        checks=ANYWAY,
        extra_args={
            name: (("secure-port", str(plane.port)),) for name in ("kube-controller-manager", "kube-scheduler")
        },
    )
    return replace(config, **changes)


def join_of(plane: ControlPlane, spoken: Any, **changes: Any) -> JoinConfig:
    ca = certificates.parse_certificate(spoken.paths.at("/etc/kubernetes/pki/ca.crt").read_bytes())
    config = JoinConfig(
        node=Node(name="w1", address="127.0.0.1"),
        endpoint=f"127.0.0.1:{plane.port}",
        token=TOKEN,
        ca_hashes=(public_key_hash(ca),),
        checks=ANYWAY,
    )
    return replace(config, **changes)


def sign(plane: ControlPlane) -> None:
    """What the bootstrap signer does."""
    data = plane.api.objects["/api/v1/namespaces/kube-public/configmaps/cluster-info"]["data"]
    data["jws-kubeconfig-abcdef"] = signature(data["kubeconfig"], TOKEN.id, TOKEN.secret)
