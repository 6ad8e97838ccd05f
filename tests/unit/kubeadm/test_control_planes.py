"""A second control plane: what it takes from the first, what it makes itself, and clusters that cannot have one."""

import base64
import json
import re
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from msgspec.structs import replace
from tests.unit.kubeadm.plane import ANYWAY, TOKEN, ControlPlane, config_of, join_of, sign

from pybernetes.kubeadm import checks, commands, shared_certs
from pybernetes.kubeadm.commands import NewToken
from pybernetes.kubeadm.config import (
    ExternalEtcd,
    InitConfig,
    JoinConfig,
    JoinControlPlane,
    Networking,
    Node,
    Paths,
    check_join,
)
from pybernetes.kubeadm.configfile import joining_config
from pybernetes.kubeadm.errors import InvalidConfigError, KubeadmError
from pybernetes.kubeadm.phases.init.upload_config import cluster_configuration
from pybernetes.wire.pki import certificates

ETCD = ExternalEtcd(
    ("https://10.0.0.5:2379",), "/etc/kubernetes/pki/etcd/ca.crt", "/srv/etcd/client.crt", "/srv/etcd/client.key"
)
SECRETS = "/api/v1/namespaces/kube-system/secrets"
SHARED = ("ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key", "sa.pub")


class Second(ControlPlane):
    """Of the machine that joins: it shares the objects of the first."""

    def __init__(self, spoken: Any, first: ControlPlane) -> None:
        super().__init__(spoken, first.api)
        self.node = "m2"

    async def start(self) -> None:
        if (
            self.spoken.paths.at("/etc/kubernetes/bootstrap-kubelet.conf").exists()
            and not self.spoken.paths.at("/etc/kubernetes/kubelet.conf").exists()
        ):
            self.spoken.write("/etc/kubernetes/kubelet.conf", "the kubelet's own")
            await super().start()


def with_etcd(plane: ControlPlane, **changes: Any) -> InitConfig:
    ports = {name: (("secure-port", str(plane.port)),) for name in ("kube-controller-manager", "kube-scheduler")}
    config = config_of(plane, control_plane_endpoint=f"127.0.0.1:{plane.port}", etcd=ETCD, extra_args=ports)
    return replace(config, **changes)


@pytest_asyncio.fixture
async def first(plane: ControlPlane, spoken: Any) -> ControlPlane:
    """Made with etcd and --upload-certs."""
    for path in (ETCD.ca_file, ETCD.cert_file, ETCD.key_file):
        spoken.write(path, f"of etcd: {path}")
    await commands.init(with_etcd(plane, upload_certs=True), spoken.machine)
    spoken.clock.hook = None
    sign(plane)
    return plane


@pytest_asyncio.fixture
async def second(first: ControlPlane, spoken: Any, tmp_path: Path) -> AsyncIterator[Second]:
    """A machine beside it, on which nothing is yet."""
    machine = type(spoken)(tmp_path / "second")
    machine.paths.at("/etc/pybernetes/services").mkdir(parents=True)
    second = Second(machine, first)
    machine.clock.hook = second.start
    # its controller-manager and scheduler say how they are on its API server's port, as those of the first do
    kept = first.api.objects["/api/v1/namespaces/kube-system/configmaps/kubeadm-config"]["data"]
    kept["ClusterConfiguration"] = kept["ClusterConfiguration"].replace(str(first.port) + "'", str(second.port) + "'")
    yield second
    await second.stop()


def key_of(spoken: Any) -> str:
    found = re.search(r"Using certificate key:\n([0-9a-f]{64})", spoken.text)
    assert found is not None
    return found[1]


def joining(second: Second, first: ControlPlane, spoken: Any, key: str) -> JoinConfig:
    plane = JoinControlPlane(bind_port=second.port, certificate_key=key)
    return join_of(first, spoken, node=Node(name="m2", address="127.0.0.1"), control_plane=plane)


async def test_it_has_the_shared_files_and_serves_with_its_own(
    first: ControlPlane, second: Second, spoken: Any
) -> None:
    await commands.join(joining(second, first, spoken, key_of(spoken)), second.spoken.machine)
    here, there = second.spoken.paths, spoken.paths
    for path in [f"/etc/kubernetes/pki/{name}" for name in SHARED] + [ETCD.ca_file, ETCD.cert_file, ETCD.key_file]:
        assert here.at(path).read_bytes() == there.at(path).read_bytes()
        assert stat.S_IMODE(here.at(path).stat().st_mode) == (0o600 if path.endswith(".key") else 0o644)
    served = [paths.at("/etc/kubernetes/pki/apiserver.crt").read_bytes() for paths in (here, there)]
    assert served[0] != served[1]
    assert "m2" in str(certificates.parse_certificate(served[0]).extensions)
    for name, port in (("admin", first.port), ("controller-manager", second.port), ("scheduler", second.port)):
        conf = yaml.safe_load(here.at(f"/etc/kubernetes/{name}.conf").read_text())
        assert conf["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{port}"
    assert not here.at("/etc/kubernetes/super-admin.conf").exists()
    manifest = yaml.safe_load(here.at("/etc/kubernetes/manifests/kube-apiserver.yaml").read_text())
    command = manifest["spec"]["containers"][0]["command"]
    assert "--etcd-servers=https://10.0.0.5:2379" in command
    assert f"--secure-port={second.port}" in command
    assert first.api.objects["/api/v1/nodes/m2"]["spec"]["taints"] == [
        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    ]
    assert "a new control plane instance was created" in second.spoken.text


async def test_what_is_uploaded_is_sealed_readable_to_tokens_and_goes_in_two_hours(
    first: ControlPlane, spoken: Any
) -> None:
    secret = first.api.objects[f"{SECRETS}/kubeadm-certs"]
    ca = spoken.paths.at("/etc/kubernetes/pki/ca.key").read_bytes()
    assert all(ca not in base64.b64decode(value) for value in secret["data"].values())
    (owner,) = secret["metadata"]["ownerReferences"]
    lease = first.api.objects[f"{SECRETS}/{owner['name']}"]
    data = {name: base64.b64decode(value).decode() for name, value in lease["data"].items()}
    assert data["description"] == "Proxy for managing TTL for the kubeadm-certs secret"
    assert not [name for name in data if name.startswith("usage-")]
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles"
    assert first.api.objects[f"{roles}/kubeadm:kubeadm-certs"]["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["kubeadm-certs"], "verbs": ["get"]}
    ]
    assert f"--control-plane --certificate-key {key_of(spoken)}\n" in spoken.text
    # again, alone and without a file: the cluster knows its etcd, and the Secret has a new owner
    await commands.init_phase("upload-certs", config_of(first, upload_certs=True), spoken.machine)
    secret = first.api.objects[f"{SECRETS}/kubeadm-certs"]
    assert "external-etcd.key" in secret["data"]
    assert secret["metadata"]["ownerReferences"][0]["name"] != owner["name"]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("0" * 64, "error decoding secret data with provided key"),
        ("", "/etc/kubernetes/pki/ca.crt: the file does not exist"),
    ],
)
async def test_without_the_right_key_nothing_is_written(
    first: ControlPlane, second: Second, spoken: Any, key: str, text: str
) -> None:
    with pytest.raises(KubeadmError, match=text):
        await commands.join(joining(second, first, spoken, key), second.spoken.machine)
    assert not second.spoken.paths.at("/etc/kubernetes").exists()


async def test_files_that_were_copied_do_as_well(first: ControlPlane, second: Second, spoken: Any) -> None:
    for path in shared_certs.files(ETCD).values():
        second.spoken.write(path, spoken.paths.at(path).read_text())
    await commands.join(joining(second, first, spoken, ""), second.spoken.machine)
    assert "a new control plane instance was created" in second.spoken.text


async def test_a_secret_that_has_gone_is_said_with_the_mend(first: ControlPlane, second: Second, spoken: Any) -> None:
    del first.api.objects[f"{SECRETS}/kubeadm-certs"]
    with pytest.raises(KubeadmError, match="kubeadm init phase upload-certs --upload-certs"):
        await commands.join(joining(second, first, spoken, key_of(spoken)), second.spoken.machine)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"control_plane_endpoint": ""}, "doesn't have a stable controlPlaneEndpoint"),
        ({"etcd": None}, "keeps its state in a file of its one control plane"),
    ],
)
async def test_clusters_that_can_have_only_one_say_why(
    plane: ControlPlane, spoken: Any, tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    await commands.init(with_etcd(plane, **changes), spoken.machine)
    assert "--control-plane" not in spoken.text, "init offers no command that would be refused"
    spoken.clock.hook = None
    sign(plane)
    machine = type(spoken)(tmp_path / "second")
    config = join_of(plane, spoken, control_plane=JoinControlPlane())
    with pytest.raises(KubeadmError, match=text) as caught:
        await commands.join(config, machine.machine)
    assert "One or more conditions for hosting a new control plane instance is not satisfied." in str(caught.value)
    assert "reset" not in str(caught.value), "nothing was changed"


async def test_its_join_command_can_be_had_later(first: ControlPlane, spoken: Any) -> None:
    admin = spoken.paths.at("/etc/kubernetes/admin.conf")
    new = NewToken(replace(TOKEN, id="fedcba"), 3600.0, print_join_command=True, certificate_key="ab" * 32)
    await commands.create_token(new, admin, spoken.machine)
    assert spoken.said[-1].endswith(f" --control-plane --certificate-key {'ab' * 32}")


def test_the_configuration_that_is_kept_is_that_of_the_cluster() -> None:
    config = InitConfig(
        node=Node(name="m1", address="10.0.0.1"),
        networking=Networking(pod_cidr="10.1.0.0/16", service_cidr="10.2.0.0/16", dns_domain="x.y"),
        token=TOKEN,
        control_plane_endpoint="api.example.com",
        cert_extra_sans=("other.example.com",),
        extra_args={"kube-apiserver": (("v", "4"),)},
        etcd=ETCD,
    )
    join = JoinConfig(
        node=Node(name="m2", address="10.0.0.2"),
        endpoint="api.example.com:6443",
        token=TOKEN,
        control_plane=JoinControlPlane(bind_port=7443),
    )
    kept = joining_config(join, yaml.safe_dump(cluster_configuration(config)))
    assert cluster_configuration(kept) == cluster_configuration(config)
    assert (kept.node, kept.bind_port, kept.local_endpoint) == (join.node, 7443, "https://10.0.0.2:7443")


@pytest.mark.parametrize(
    ("key", "port", "text"),
    [
        ("zz", 6443, "certificate key decoding error"),
        ("ab", 6443, "invalid certificate key size 1, the key must be an AES key of size 32"),
        ("", 0, 'controlPlane.localAPIEndpoint.bindPort: Invalid value: "0"'),
    ],
)
def test_faulty_configurations_are_refused(key: str, port: int, text: str) -> None:
    plane = JoinControlPlane(bind_port=port, certificate_key=key)
    node = Node(name="m2", address="10.0.0.2")
    config = JoinConfig(node=node, endpoint="a:1", token=TOKEN, control_plane=plane, checks=ANYWAY)
    with pytest.raises(InvalidConfigError, match=text):
        check_join(config, unsafe=True)


@pytest.fixture
def version() -> Iterator[tuple[str, dict[str, str]]]:
    """What answers as etcd's /version does."""
    said = {"etcdserver": "3.5.0"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/version" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", said
        server.shutdown()
        thread.join()


def test_etcd_is_asked_before_anything_is_made(version: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    url, said = version

    def errors(**changes: Any) -> list[str]:
        etcd = ExternalEtcd((url,))
        found = checks.etcd_checks(Paths(tmp_path), replace(etcd, **changes))
        return [error for check in found for error in check.look().errors]

    assert errors() == []
    said["etcdserver"] = "3.3.27"
    assert "only supports external etcd version >= 3.4.0. Current version: 3.3.27" in errors()[0]
    (fault,) = errors(endpoints=("http://127.0.0.1:1",))
    assert fault.startswith("http://127.0.0.1:1/version: [Errno 111] Connection refused")
    (fault,) = errors(cert_file="/no.crt", key_file="/no.crt", ca_file="")[:1]
    assert fault.startswith("/no.crt doesn't exist")
