"""What turning on the pod network writes."""

import json
from pathlib import Path

import yaml

from pybernetes.network.install import CNI_CONFIG_TEXT, install


def test_programs_and_manifest_are_written_once(tmp_path: Path) -> None:
    written = install(tmp_path)
    assert [str(p.relative_to(tmp_path)) for p in written] == [
        "opt/cni/bin/pybernetes",
        "opt/cni/bin/loopback",
        "etc/kubernetes/manifests/pod-network.yaml",
    ]
    assert (tmp_path / "opt/cni/bin/loopback").stat().st_mode & 0o777 == 0o755
    assert install(tmp_path) == []
    pod = yaml.safe_load(written[2].read_text())
    assert pod["spec"]["hostNetwork"] is True
    assert pod["spec"]["containers"][0]["command"] == [
        "pybernetes", "network", "agent", "--kubeconfig=/etc/kubernetes/kubelet.conf", "--node-name=$(NODE_NAME)",
    ]  # fmt: skip


def test_the_configuration_is_left_to_the_agent(tmp_path: Path) -> None:
    install(tmp_path)
    assert not (tmp_path / "etc/cni").exists()
    assert json.loads(CNI_CONFIG_TEXT)["plugins"] == [{"type": "pybernetes", "capabilities": {"portMappings": True}}]
