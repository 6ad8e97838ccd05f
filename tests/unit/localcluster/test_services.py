"""Unit files become services."""

import os
from pathlib import Path

import pytest

from pybernetes.localcluster.services import ServiceFiles, unit_text
from pybernetes.localcluster.spec import Unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "services").mkdir()
    return tmp_path / "services"


def test_a_half_written_unit_keeps_what_ran(folder: Path) -> None:
    file = folder / "x.json"
    file.write_text(unit_text(Unit(command=("x",))))
    files = ServiceFiles(str(folder))
    before = files.scan()
    file.write_text('{"command": [')
    assert files.scan() == before
    file.unlink()
    assert files.scan() == {}


def test_a_unit_waits_for_its_condition_and_reads_its_flags(folder: Path, tmp_path: Path) -> None:
    config, flags = tmp_path / "config.yaml", tmp_path / "kubeadm-flags.env"
    unit = Unit(command=("kubelet", "--config=x"), condition_path=str(config), flags_file=str(flags))
    (folder / "kubelet.json").write_text(unit_text(unit))
    files = ServiceFiles(str(folder))
    assert files.scan() == {}
    flags.write_text('KUBELET_KUBEADM_ARGS="--node-ip=172.30.0.11 --v=2"\n')
    config.write_text("kind: KubeletConfiguration\n")
    service = files.scan()["kubelet"]
    assert service.command == ("kubelet", "--config=x", "--node-ip=172.30.0.11", "--v=2")
    os.utime(config, ns=(1, 1))
    assert files.scan()["kubelet"] != service


def test_a_broken_unit_is_no_service(folder: Path) -> None:
    (folder / "x.json").write_text('{"comand": 1}')
    (folder / ".hidden.json").write_text(unit_text(Unit(command=("x",))))
    assert ServiceFiles(str(folder)).scan() == {}
