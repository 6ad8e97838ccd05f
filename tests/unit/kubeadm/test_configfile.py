"""kubeadm's configuration file: what it says counts like flags, what it says wrongly is refused."""

from pathlib import Path

import pytest

from pybernetes.kubeadm.config import ExternalEtcd, HostPathMount
from pybernetes.kubeadm.configfile import init_values, join_values
from pybernetes.kubeadm.errors import InvalidConfigError

INIT = """
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: abcdef.0123456789abcdef
  ttl: 1h0m0s
localAPIEndpoint: {advertiseAddress: 10.0.0.1, bindPort: 7443}
nodeRegistration: {name: m1, criSocket: "unix:///run/x.sock", ignorePreflightErrors: [Swap]}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.37.0
controlPlaneEndpoint: api.example.com:6443
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/16, dnsDomain: example.local}
apiServer: {certSANs: [api.example.com], extraArgs: [{name: v, value: "4"}, {name: v, value: "5"}],
  extraVolumes: [{name: l, hostPath: /run/l, mountPath: /l, readOnly: true, pathType: Directory}]}
controllerManager: {extraArgs: {node-monitor-grace-period: 20s}}
etcd: {external: {endpoints: ["https://10.0.0.5:2379"], caFile: /e/ca.crt, certFile: /e/c.crt, keyFile: /e/c.key}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 50
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "kubeadm.yaml"
    path.write_text(text)
    return path


def test_init_file_gives_the_values_of_flags(tmp_path: Path) -> None:
    assert init_values(written(tmp_path, INIT)) == {
        "apiserver_advertise_address": "10.0.0.1",
        "apiserver_bind_port": 7443,
        "apiserver_cert_extra_sans": ["api.example.com"],
        "control_plane_endpoint": "api.example.com:6443",
        "pod_network_cidr": "10.244.0.0/16",
        "service_cidr": "10.96.0.0/16",
        "service_dns_domain": "example.local",
        "token": "abcdef.0123456789abcdef",
        "token_ttl": "1h0m0s",
        "node_name": "m1",
        "cri_socket": "unix:///run/x.sock",
        "ignore_preflight_errors": ["Swap"],
        "etcd": ExternalEtcd(("https://10.0.0.5:2379",), "/e/ca.crt", "/e/c.crt", "/e/c.key"),
        "extra_args": {
            "kube-apiserver": (("v", "4"), ("v", "5")),
            "kube-controller-manager": (("node-monitor-grace-period", "20s"),),
            "kube-scheduler": (),
        },
        "extra_volumes": {
            "kube-apiserver": (HostPathMount("l", "/run/l", "/l", True, "Directory"),),
            "kube-controller-manager": (),
            "kube-scheduler": (),
        },
        "kubelet_configuration": {"maxPods": 50},
    }


def test_join_file_gives_the_values_of_flags(tmp_path: Path) -> None:
    text = """
apiVersion: kubeadm.k8s.io/v1beta3
kind: JoinConfiguration
discovery:
  bootstrapToken: {apiServerEndpoint: "10.0.0.1:6443", token: t, unsafeSkipCAVerification: true}
skipPhases: [addon-kube-proxy]
"""
    assert join_values(written(tmp_path, text)) == {
        "endpoint": "10.0.0.1:6443",
        "token": "t",
        "discovery_token_unsafe_skip_ca_verification": True,
        "skip_phases": ["addon-kube-proxy"],
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [", "error in"),
        ("a: 1", "mandatory"),
        ("apiVersion: kubeadm.k8s.io/v1alpha1\nkind: InitConfiguration", "unsupported API version"),
        ("apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nbindPort: 1", "unknown field `bindPort`"),
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {bindPort: x}",
            r"Expected `int \| null`, got `str` - at `\$.localAPIEndpoint.bindPort`",
        ),
        ("apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n---\n" * 2, "specified twice"),
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd: {local: {dataDir: /x}}",
            r"unknown field `local` - at `\$.etcd`",
        ),
    ],
)
def test_faulty_files_are_refused_with_the_place(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InvalidConfigError, match=fault):
        init_values(written(tmp_path, text))


def test_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="unable to read config"):
        init_values(tmp_path / "none.yaml")
