"""Projected volumes: tokens are kept while fresh and renewed in time; sources are joined."""

from pathlib import Path

from msgspec.structs import replace
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import pod

from pybernetes.aio.simulation import EPOCH
from pybernetes.api.types import core_v1
from pybernetes.kubelet.atomic_writer import write_atomically
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.volume import VolumeRequest
from pybernetes.kubelet.volumes import projected


class At:
    """A clock that stands still."""

    def __init__(self, seconds: float) -> None:
        self._now = EPOCH + seconds

    def now(self) -> float:
        return self._now


def request(folder: Path, sources: FakeSources, at: float = 0.0) -> VolumeRequest:
    token = core_v1.ServiceAccountTokenProjection(path="token", expirationSeconds=3600)
    config = core_v1.ConfigMapProjection(
        name="kube-root-ca.crt", items=(core_v1.KeyToPath(key="ca.crt", path="ca.crt"),)
    )
    field = core_v1.DownwardAPIVolumeFile(
        path="namespace", fieldRef=core_v1.ObjectFieldSelector(fieldPath="metadata.namespace")
    )
    parts = (
        core_v1.VolumeProjection(serviceAccountToken=token),
        core_v1.VolumeProjection(configMap=config),
        core_v1.VolumeProjection(downwardAPI=core_v1.DownwardAPIProjection(items=(field,))),
    )
    volume = core_v1.Volume(name="kube-api-access", projected=core_v1.ProjectedVolumeSource(sources=parts))
    return VolumeRequest(pod(), volume, folder / "kube-api-access", sources, At(at), Facts())


async def test_the_pods_credentials_come_together(tmp_path: Path) -> None:
    sources = FakeSources()
    sources.config_maps["kube-root-ca.crt"] = core_v1.ConfigMap(data={"ca.crt": "PEM"})
    content = await projected.content(request(tmp_path, sources))
    assert content == {"token": (b"token-1", 0o644), "ca.crt": (b"PEM", 0o644), "namespace": (b"default", 0o644)}


async def test_a_token_is_renewed_in_the_last_fifth_of_its_life(tmp_path: Path) -> None:
    sources = FakeSources()
    sources.config_maps["kube-root-ca.crt"] = core_v1.ConfigMap(data={"ca.crt": "PEM"})
    first = request(tmp_path, sources)
    write_atomically(first.folder, await projected.content(first), 0.0)
    later = await projected.content(request(tmp_path, sources, 2000.0))
    assert later["token"] == (b"token-1", 0o644)
    due = await projected.content(request(tmp_path, sources, 3000.0))
    assert due["token"] == (b"token-2", 0o644)


async def test_a_lost_token_is_asked_for_again(tmp_path: Path) -> None:
    sources = FakeSources()
    sources.config_maps["kube-root-ca.crt"] = core_v1.ConfigMap(data={"ca.crt": "PEM"})
    await projected.content(request(tmp_path, sources))
    again = await projected.content(replace(request(tmp_path, sources), ips=("10.0.0.7",)))
    assert again["token"] == (b"token-2", 0o644)
