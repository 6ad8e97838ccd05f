"""Flags and the configuration file of the kubelet."""

import sys
from pathlib import Path

import pytest

from pybernetes.cmd import _kubelet as kubelet
from pybernetes.cmd import kubelet as entry
from pybernetes.cmd._daemon import StartError
from pybernetes.kubelet.configuration_file import ConfigurationError, load

FILE = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {x509: {clientCAFile: /pki/ca.crt}}
clusterDNS: [10.96.0.10]
clusterDomain: example.local
maxPods: 20
serverTLSBootstrap: true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return path


def parsed(*words: str) -> tuple[object, object]:
    options = kubelet.parser().parse_args(words)
    config = kubelet.configuration_of(options)
    return kubelet.settings_of(options, config), config


def test_the_file_is_read_and_flags_outrank_it(file: Path) -> None:
    settings, config = parsed(
        "--config", str(file), "--max-pods", "30", "--hostname-override", "Node-1", "--node-ip", "192.0.2.1"
    )
    assert settings.node_name == "node-1"
    assert settings.config.max_pods == 30
    assert settings.config.cluster_dns == ("10.96.0.10",)
    assert settings.config.cluster_domain == "example.local"
    assert config.server_tls_bootstrap
    assert config.authentication.x509.client_ca_file == "/pki/ca.crt"


@pytest.mark.parametrize(
    ("text", "why"),
    [("kind: Pod\napiVersion: v1", "is not a KubeletConfiguration"), ("a: [", "is not YAML"),
     (FILE.replace("20", "many"), "maxPods: cannot unmarshal string")],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        load(path)
    with pytest.raises(StartError):
        kubelet.configuration_of(kubelet.parser().parse_args(["--config", str(path)]))


def test_taints_and_labels() -> None:
    (taint,) = kubelet.taints_of("node-role.kubernetes.io/control-plane=:NoSchedule")
    assert (taint.key, taint.value, taint.effect) == ("node-role.kubernetes.io/control-plane", "", "NoSchedule")
    assert kubelet.labels_of("a=b,c=") == {"a": "b", "c": ""}
    with pytest.raises(StartError, match="--register-with-taints"):
        kubelet.taints_of("x")
    with pytest.raises(StartError, match="--node-ip"):
        kubelet.node_ips("not an address")


def test_another_cgroup_driver_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(FILE + "cgroupDriver: systemd\n")
    with pytest.raises(StartError, match="set it to cgroupfs"):
        parsed("--config", str(path), "--node-ip", "192.0.2.1")


@pytest.mark.parametrize(
    ("flags", "alone"), [((), True), (("--kubeconfig=x",), False), (("--bootstrap-kubeconfig=x",), False)]
)
def test_without_a_kubeconfig_a_kubelet_is_standalone(flags: tuple[str, ...], alone: bool) -> None:
    options = kubelet.parser().parse_args([*flags, "--node-ip=192.0.2.1"])
    assert kubelet.settings_of(options, kubelet.configuration_of(options)).standalone is alone


def test_without_the_extra_node_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pybernetes.cmd._kubelet", raising=False)
    monkeypatch.delattr("pybernetes.cmd._kubelet", raising=False)
    monkeypatch.setitem(sys.modules, "pybernetes.kubelet.cri.events", None)
    with pytest.raises(SystemExit, match=r"pip install 'pybernetes\[node\]'"):
        entry.main([])
