"""Where a container finds its volumes, and what it may do with them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.pods import container

from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.specs.mounts import subpath, volume_mounts
from pybernetes.kubelet.subpaths import SubPath
from pybernetes.kubelet.volume import Mounted


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "v").mkdir()
    yield tmp_path
    mounts.unmount_below(tmp_path / "pod")


def mounted(folder: Path, wanted: core_v1.Container, *, read_only: bool = False) -> tuple[m.Mount, ...]:
    return volume_mounts(wanted, {"v": Mounted(folder / "v", read_only)}, {"A": "x", "E": ""}, folder / "pod")


def using(**fields: Any) -> core_v1.Container:
    return container(volumeMounts=(core_v1.VolumeMount(**{"name": "v", "mountPath": "/m", **fields}),))


def wanted(folder: Path, below: str) -> SubPath:
    return SubPath(folder / "v", below, folder / "pod/0")


def test_a_volume_is_mounted_as_the_container_says(folder: Path) -> None:
    host = str(folder / "v")
    assert mounted(folder, using()) == (m.Mount(host, "/m"),)
    assert mounted(folder, using(mountPath="m", readOnly=True)) == (m.Mount(host, "/m", True),)
    assert mounted(folder, using(mountPropagation="HostToContainer")) == (m.Mount(host, "/m", False, 1),)


def test_what_the_kubelet_writes_no_container_writes(folder: Path) -> None:
    assert mounted(folder, using(), read_only=True)[0].read_only


def test_only_privileged_containers_mount_back(folder: Path) -> None:
    back = using(mountPropagation="Bidirectional")
    with pytest.raises(ConfigError, match="available only to privileged containers"):
        mounted(folder, back)
    allowed = container(volumeMounts=back.volumeMounts, securityContext=core_v1.SecurityContext(privileged=True))
    assert mounted(folder, allowed)[0].propagation == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recursiveReadOnly": "Enabled", "readOnly": True}, "but it is not supported by the runtime"),
        ({"recursiveReadOnly": "IfPossible"}, "but it is not read-only"),
        (
            {"recursiveReadOnly": "Enabled", "readOnly": True, "mountPropagation": "HostToContainer"},
            'but it is not compatible with propagation "HostToContainer"',
        ),
    ],
)
def test_recursive_read_only_that_cannot_be_is_refused(folder: Path, fields: dict[str, Any], message: str) -> None:
    said = f'volume "v" requested recursive read-only mode, {message}'
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        mounted(folder, using(**fields))


def test_recursive_read_only_if_possible_is_plain_read_only_here(folder: Path) -> None:
    assert mounted(folder, using(recursiveReadOnly="IfPossible", readOnly=True))[0].read_only


def test_what_cannot_be_mounted_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match='cannot find volume "w" to mount into container "c"'):
        mounted(folder, using(name="w"))
    device = core_v1.VolumeDevice(name="v", devicePath="/dev/v")
    with pytest.raises(ConfigError, match='volume "v" is to be a block device of container "c": not supported here'):
        mounted(folder, container(volumeDevices=(device,)))


@pytest.mark.root
def test_a_sub_path_is_mounted_from_the_pods_own_place(folder: Path) -> None:
    (folder / "v/x").mkdir()
    (found,) = mounted(folder, using(subPathExpr="$(A)"))
    assert found.host_path == str(folder / "pod/volume-subpaths/v/c/0")
    with pytest.raises(ConfigError, match=r'missing value for "NONE"'):
        mounted(folder, using(subPathExpr="$(NONE)/x"))
    with pytest.raises(ConfigError, match="error SubPath `/x` must not be an absolute path"):
        mounted(folder, using(subPathExpr="$(E)/$(A)"))


@pytest.mark.root
def test_a_missing_sub_path_becomes_a_directory_like_its_volume(folder: Path) -> None:
    (folder / "v").chmod(0o775)
    subpath(wanted(folder, "a/b.conf"), "v", "c")
    made = [folder / "v/a/b.conf", folder / "v/a"]
    assert [f.stat().st_mode & 0o777 for f in made] == [0o775, 0o775]


@pytest.mark.root
def test_a_sub_path_may_be_a_file(folder: Path) -> None:
    (folder / "v/b.conf").write_text("")
    assert subpath(wanted(folder, "b.conf"), "v", "c").is_file()


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("/etc", "error SubPath `/etc` must not be an absolute path"),
        ("a/../../x", "unable to provision SubPath `a/../../x`: must not contain '..'"),
        ("out/x", 'failed to create subPath directory for volumeMount "v" of container "c"'),
        ("out", 'failed to prepare subPath for volumeMount "v" of container "c"'),
        ("file/x", 'failed to create subPath directory for volumeMount "v" of container "c"'),
    ],
)
def test_a_sub_path_stays_in_its_volume(folder: Path, below: str, message: str) -> None:
    (folder / "v/out").symlink_to("/")
    (folder / "v/file").write_text("")
    with pytest.raises(ConfigError, match=re.escape(message)):
        subpath(wanted(folder, below), "v", "c")
    assert not Path("/x").exists()


def test_a_sub_path_of_a_volume_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stat .*/gone: no such file or directory"):
        subpath(SubPath(tmp_path / "gone", "a", tmp_path / "pod/0"), "v", "c")
