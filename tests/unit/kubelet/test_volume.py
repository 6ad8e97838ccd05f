"""The volume manager: every type is found, unknown ones are named, what is torn down is gone."""

import os
from pathlib import Path

import pytest
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import pod

from pybernetes.aio.clock import SystemClock
from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.volume import VolumeError, Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path, FakeSources(), SystemClock(), Facts)


def volume(**source: object) -> core_v1.Volume:
    return core_v1.Volume(name="v", **source)


async def test_an_empty_dir_is_open_to_everybody(volumes: Volumes) -> None:
    wanted = pod(volumes=(volume(emptyDir=core_v1.EmptyDirVolumeSource()),))
    path = (await volumes.set_up(wanted))["v"]
    assert path.stat().st_mode & 0o777 == 0o777
    (path / "kept").write_text("")
    await volumes.set_up(wanted)
    assert (path / "kept").exists()
    await volumes.tear_down("uid-1")
    assert not path.exists()
    await volumes.tear_down("uid-1")


async def test_a_volume_without_source_is_an_empty_dir(volumes: Volumes) -> None:
    assert (await volumes.set_up(pod(volumes=(volume(),))))["v"].is_dir()


async def test_a_type_that_is_not_known_is_named(volumes: Volumes) -> None:
    wanted = pod(volumes=(volume(nfs=core_v1.NFSVolumeSource(server="x", path="/")),))
    with pytest.raises(VolumeError, match='volume "v": volume type nfs is not supported'):
        await volumes.set_up(wanted)


async def test_a_missing_config_map_is_named(volumes: Volumes) -> None:
    wanted = pod(volumes=(volume(configMap=core_v1.ConfigMapVolumeSource(name="m")),))
    with pytest.raises(VolumeError, match=r'MountVolume.SetUp failed for volume "v" : configmaps "m" not found'):
        await volumes.set_up(wanted)


async def test_a_host_path_is_checked(volumes: Volumes, tmp_path: Path) -> None:
    source = core_v1.HostPathVolumeSource(path=str(tmp_path / "x"), type="Directory")
    with pytest.raises(VolumeError, match="hostPath type check failed"):
        await volumes.set_up(pod(volumes=(volume(hostPath=source),)))
    create = core_v1.HostPathVolumeSource(path=str(tmp_path / "x"), type="DirectoryOrCreate")
    assert (await volumes.set_up(pod(volumes=(volume(hostPath=create),))))["v"] == tmp_path / "x"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
async def test_secrets_are_never_on_a_disk(tmp_path: Path) -> None:
    sources = FakeSources()
    sources.secrets["s"] = core_v1.Secret(data={"key": "eA=="})
    volumes = Volumes(tmp_path, sources, SystemClock(), Facts)
    wanted = pod(volumes=(volume(secret=core_v1.SecretVolumeSource(secretName="s")),))
    path = (await volumes.set_up(wanted))["v"]
    try:
        await volumes.refresh(wanted, ())
        assert (path / "key").read_text() == "x"
        assert [m.kind for m in mounts.table() if m.target == str(path)] == ["tmpfs"]
    finally:
        await volumes.tear_down("uid-1")
    assert not path.exists()
