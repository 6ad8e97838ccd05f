"""Static Pods have upstream's form and flags, and decode as Pods."""

import stat
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pybernetes.api.types.core_v1 import Pod
from pybernetes.assembly.podrules import ManifestRules
from pybernetes.kubeadm import manifests
from pybernetes.kubeadm.config import ExternalEtcd, HostPathMount, InitConfig, Networking, Node
from pybernetes.kubeadm.tokens import Token
from pybernetes.kubelet.manifests import Reader
from pybernetes.localcluster.image import full_reference
from pybernetes.localcluster.system_image import NAMES
from pybernetes.network import install

CONFIG = InitConfig(
    node=Node(name="m1", address="10.0.0.1"),
    networking=Networking(pod_cidr="10.244.0.0/16"),
    token=Token("abcdef", "0123456789abcdef"),
)


def flags(pod: dict[str, Any]) -> dict[str, str]:
    _, *words = pod["spec"]["containers"][0]["command"]
    return dict(word.removeprefix("--").split("=", 1) for word in words)


def test_every_manifest_is_a_pod() -> None:
    pods = [*manifests.control_plane(CONFIG).values(), manifests.kube_proxy("m1", CONFIG.networking, "v1.37.0")]
    for pod in pods:
        read = msgspec.convert(pod, Pod)
        assert read.spec is not None
        assert read.spec.hostNetwork
        assert read.spec.containers[0].name == pod["metadata"]["name"]


def test_api_server_is_secure_and_keeps_its_store_on_disk() -> None:
    given = flags(manifests.control_plane(CONFIG)["kube-apiserver"])
    assert given["authorization-mode"] == "Node,RBAC"
    assert given["enable-admission-plugins"] == "NodeRestriction"
    assert given["storage-backend"] == "sqlite"
    assert given["storage-path"] == "/var/lib/pybernetes/apiserver/store.db"
    assert given["advertise-address"] == "10.0.0.1"
    assert given["secure-port"] == "6443"


def test_api_server_on_an_etcd_of_others_gets_its_servers_and_the_folders_of_its_certificates() -> None:
    etcd = ExternalEtcd(
        ("https://10.0.0.5:2379", "https://10.0.0.6:2379"),
        "/etc/etcd/ca.crt",
        "/etc/kubernetes/pki/etcd/client.crt",
        "/etc/kubernetes/pki/etcd/client.key",
    )
    pod = manifests.control_plane(msgspec.structs.replace(CONFIG, etcd=etcd))["kube-apiserver"]
    given = flags(pod)
    assert {name: value for name, value in given.items() if name.startswith(("etcd-", "storage-"))} == {
        "storage-backend": "etcd3",
        "etcd-servers": "https://10.0.0.5:2379,https://10.0.0.6:2379",
        "etcd-cafile": "/etc/etcd/ca.crt",
        "etcd-certfile": "/etc/kubernetes/pki/etcd/client.crt",
        "etcd-keyfile": "/etc/kubernetes/pki/etcd/client.key",
    }
    assert [volume["hostPath"]["path"] for volume in pod["spec"]["volumes"]] == ["/etc/kubernetes/pki", "/etc/etcd"]
    assert all(mount["readOnly"] for mount in pod["spec"]["containers"][0]["volumeMounts"])


def test_node_ranges_are_given_out_only_when_there_is_a_pod_range() -> None:
    given = flags(manifests.control_plane(CONFIG)["kube-controller-manager"])
    assert (given["allocate-node-cidrs"], given["cluster-cidr"]) == ("true", "10.244.0.0/16")
    without = msgspec.structs.replace(CONFIG, networking=Networking())
    assert "cluster-cidr" not in flags(manifests.control_plane(without)["kube-controller-manager"])


def test_flags_of_the_user_stand_in_the_place_of_kubeadms() -> None:
    extra = {
        "kube-apiserver": (
            ("v", "4"),
            ("authorization-mode", "RBAC"),
            ("runtime-config", "a=1"),
            ("runtime-config", "b=1"),
        )
    }
    pods = manifests.control_plane(msgspec.structs.replace(CONFIG, extra_args=extra))
    words = pods["kube-apiserver"]["spec"]["containers"][0]["command"]
    assert [w for w in words if "authorization-mode" in w] == ["--authorization-mode=RBAC"]
    assert [w for w in words if "runtime-config" in w] == ["--runtime-config=a=1", "--runtime-config=b=1"]
    assert "--v=4" in words
    assert words[1:] == sorted(words[1:])
    assert flags(pods["kube-scheduler"]) == flags(manifests.control_plane(CONFIG)["kube-scheduler"])


def test_manifests_are_written_for_root_alone(spoken: Any) -> None:
    pod = manifests.kube_proxy("m1", Networking(), "v1.37.0")
    path = spoken.paths.at(manifests.write(spoken.paths, pod))
    assert yaml.safe_load(path.read_text()) == pod
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_volumes_of_the_user_come_after_kubeadms() -> None:
    volume = HostPathMount("listen", "/run/x", "/run/y", True, "Directory")
    pods = manifests.control_plane(msgspec.structs.replace(CONFIG, extra_volumes={"kube-apiserver": (volume,)}))
    spec = pods["kube-apiserver"]["spec"]
    assert spec["volumes"][-1] == {"name": "listen", "hostPath": {"path": "/run/x", "type": "Directory"}}
    mounts = spec["containers"][0]["volumeMounts"]
    assert mounts[-1] == {"name": "listen", "mountPath": "/run/y", "readOnly": True}
    assert len(mounts) == len(spec["volumes"]) == 3
    assert pods["kube-scheduler"] == manifests.control_plane(CONFIG)["kube-scheduler"]


def test_every_manifest_is_one_that_the_kubelet_takes() -> None:
    """Its own reader, with the API server's defaults and validation."""
    reader = Reader("m1", ManifestRules(), lambda: "2026-01-01T00:00:00Z")
    network = install.manifest().encode()
    pods = [*manifests.control_plane(CONFIG).values(), manifests.kube_proxy("m1", CONFIG.networking, "v1.37.0")]
    for data in (network, *(yaml.safe_dump(pod).encode() for pod in pods)):
        pod = reader.file(Path("/etc/kubernetes/manifests/x.yaml"), data)
        assert pod.spec.priority == 2000001000
        assert pod.spec.containers[0].imagePullPolicy == "IfNotPresent"


def test_the_image_has_every_name_that_the_manifests_use() -> None:
    pods = [*manifests.control_plane(CONFIG).values(), manifests.kube_proxy("m1", CONFIG.networking, CONFIG.version)]
    used = {pod["spec"]["containers"][0]["image"] for pod in pods}
    assert {*used, full_reference(install.IMAGE)} == set(NAMES)
