"""Unit files and static Pod manifests become services."""

import os
from pathlib import Path

import pytest

from pybernetes.localcluster.services import ServiceFiles, static_pod_service, unit_text
from pybernetes.localcluster.spec import Unit

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  hostNetwork: true
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.37.0
    command: [kube-apiserver, --secure-port=6443]
    args: [--v=2]
    env: [{name: TZ, value: UTC}]
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("services", "manifests"):
        (tmp_path / name).mkdir()
    return tmp_path / "services", tmp_path / "manifests"


def _files(folders: tuple[Path, Path]) -> ServiceFiles:
    return ServiceFiles(str(folders[0]), str(folders[1]))


def test_a_static_pod_runs_its_first_containers_command(folders) -> None:
    (folders[1] / "kube-apiserver.yaml").write_text(MANIFEST)
    service = _files(folders).scan()["kube-apiserver"]
    assert service.command == ("kube-apiserver", "--secure-port=6443", "--v=2")
    assert service.env == {"TZ": "UTC"}


def test_a_half_written_manifest_keeps_what_ran(folders) -> None:
    file = folders[1] / "kube-apiserver.yaml"
    file.write_text(MANIFEST)
    files = _files(folders)
    before = files.scan()
    file.write_text(MANIFEST[:70] + "{")
    assert files.scan() == before
    file.unlink()
    assert files.scan() == {}


def test_a_rewritten_manifest_is_another_service(folders) -> None:
    file = folders[1] / "a.yaml"
    file.write_text(MANIFEST)
    files = _files(folders)
    before = files.scan()["kube-apiserver"]
    os.utime(file, ns=(1, 1))
    assert files.scan()["kube-apiserver"] != before


def test_a_unit_waits_for_its_condition_and_reads_its_flags(folders, tmp_path: Path) -> None:
    config, flags = tmp_path / "config.yaml", tmp_path / "kubeadm-flags.env"
    unit = Unit(command=("kubelet", "--config=x"), condition_path=str(config), flags_file=str(flags))
    (folders[0] / "kubelet.json").write_text(unit_text(unit))
    files = _files(folders)
    assert files.scan() == {}
    flags.write_text('KUBELET_KUBEADM_ARGS="--node-ip=172.30.0.11 --v=2"\n')
    config.write_text("kind: KubeletConfiguration\n")
    service = files.scan()["kubelet"]
    assert service.command == ("kubelet", "--config=x", "--node-ip=172.30.0.11", "--v=2")
    os.utime(config, ns=(1, 1))
    assert files.scan()["kubelet"] != service


def test_a_broken_unit_is_no_service(folders) -> None:
    (folders[0] / "x.json").write_text('{"comand": 1}')
    (folders[1] / ".hidden.yaml").write_text(MANIFEST)
    assert _files(folders).scan() == {}


@pytest.mark.parametrize("pod", [None, [], {"spec": {}}, {"metadata": {"name": "x"}, "spec": {"containers": [{}]}}])
def test_what_is_not_a_pod_with_a_command_is_refused(pod) -> None:
    with pytest.raises(ValueError):
        static_pod_service(pod)
