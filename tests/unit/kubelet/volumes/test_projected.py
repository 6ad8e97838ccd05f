"""Projected volumes: tokens are kept while fresh and renewed in time; sources are joined; bundles are chosen."""

import base64
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import container, pod

from pybernetes.aio.clock import rfc3339
from pybernetes.aio.simulation import EPOCH
from pybernetes.api.errors import ApiError
from pybernetes.api.types import certificates_v1, core_v1, meta_v1
from pybernetes.kubelet.atomic_writer import File, write_atomically
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.pod_certificates import Credentials
from pybernetes.kubelet.volume import VolumeRequest
from pybernetes.kubelet.volumes import projected


class At:
    """A clock that stands still."""

    def __init__(self, seconds: float) -> None:
        self._now = EPOCH + seconds

    def now(self) -> float:
        return self._now


def token(seconds: int = 3600, **fields: Any) -> core_v1.VolumeProjection:
    source = core_v1.ServiceAccountTokenProjection(path="token", expirationSeconds=seconds, **fields)
    return core_v1.VolumeProjection(serviceAccountToken=source)


def bundle(**fields: Any) -> core_v1.VolumeProjection:
    source = core_v1.ClusterTrustBundleProjection(path="ca.pem", **fields)
    return core_v1.VolumeProjection(clusterTrustBundle=source)


def config_map(name: str, *items: core_v1.KeyToPath) -> core_v1.VolumeProjection:
    return core_v1.VolumeProjection(configMap=core_v1.ConfigMapProjection(name=name, items=items))


CA = config_map("kube-root-ca.crt", core_v1.KeyToPath(key="ca.crt", path="ca.crt"))
FIELD = core_v1.DownwardAPIVolumeFile(
    path="namespace", fieldRef=core_v1.ObjectFieldSelector(fieldPath="metadata.namespace")
)
NAMESPACE = core_v1.VolumeProjection(downwardAPI=core_v1.DownwardAPIProjection(items=(FIELD,)))


@pytest.fixture
def sources() -> FakeSources:
    made = FakeSources()
    made.config_maps["kube-root-ca.crt"] = core_v1.ConfigMap(data={"ca.crt": "PEM"})
    made.expires = rfc3339(EPOCH + 3600)
    return made


def request(
    folder: Path,
    sources: FakeSources,
    *parts: core_v1.VolumeProjection,
    at: float = 0.0,
    of: core_v1.Pod | None = None,
) -> VolumeRequest:
    volume = core_v1.Volume(name="v", projected=core_v1.ProjectedVolumeSource(sources=parts or (token(),)))
    (folder / "v").mkdir(exist_ok=True)
    return VolumeRequest(of or pod(), volume, folder / "v", folder / "kept", sources, At(at), Facts())


async def test_the_pods_credentials_come_together(tmp_path: Path, sources: FakeSources) -> None:
    content = await projected.content(request(tmp_path, sources, token(), CA, NAMESPACE))
    assert content == {
        "token": File(b"token-1", 0o644),
        "ca.crt": File(b"PEM", 0o644),
        "namespace": File(b"default", 0o644),
    }


async def test_a_token_is_renewed_in_the_last_fifth_of_its_life(tmp_path: Path, sources: FakeSources) -> None:
    first = request(tmp_path, sources)
    write_atomically(first.folder, await projected.content(first), 0.0)
    later = await projected.content(request(tmp_path, sources, at=2879.0))
    assert later["token"].data == b"token-1"
    due = await projected.content(request(tmp_path, sources, at=2881.0))
    assert due["token"].data == b"token-2"


async def test_a_long_lived_token_is_renewed_after_a_day(tmp_path: Path, sources: FakeSources) -> None:
    week = 7 * 24 * 3600
    sources.expires = rfc3339(EPOCH + week)
    first = request(tmp_path, sources, token(week))
    write_atomically(first.folder, await projected.content(first), 0.0)
    assert (await projected.content(request(tmp_path, sources, token(week), at=86399.0)))["token"].data == b"token-1"
    assert (await projected.content(request(tmp_path, sources, token(week), at=86401.0)))["token"].data == b"token-2"


async def test_a_token_that_cannot_be_renewed_serves_to_its_end(tmp_path: Path, sources: FakeSources) -> None:
    first = request(tmp_path, sources)
    write_atomically(first.folder, await projected.content(first), 0.0)
    sources.refuses_tokens = ConnectionError("away")
    assert (await projected.content(request(tmp_path, sources, at=3500.0)))["token"].data == b"token-1"
    with pytest.raises(ValueError, match="failed to fetch token: away"):
        await projected.content(request(tmp_path, sources, at=3601.0))


async def test_a_lost_token_is_asked_for_again(tmp_path: Path, sources: FakeSources) -> None:
    await projected.content(request(tmp_path, sources))
    again = await projected.content(replace(request(tmp_path, sources), ips=("10.0.0.7",)))
    assert again["token"].data == b"token-2"


async def test_an_expiry_of_another_token_does_not_count(tmp_path: Path, sources: FakeSources) -> None:
    """As a kubelet leaves it that was killed between a renewal and the writing of the file."""
    first = request(tmp_path, sources)
    write_atomically(first.folder, await projected.content(first), 0.0)
    sources.expires = rfc3339(EPOCH + 7200)
    await projected.content(request(tmp_path, sources, at=3000.0))  # never written
    again = await projected.content(request(tmp_path, sources, at=3001.0))
    assert again["token"].data == b"token-3"


@pytest.mark.parametrize(
    ("users", "general", "group", "expected"),
    [
        ((None,), None, None, File(b"token-1", 0o644, None)),
        ((1000,), None, None, File(b"token-1", 0o600, 1000)),
        ((1000, None), None, None, File(b"token-1", 0o644, None)),
        ((1000, 1001), None, None, File(b"token-1", 0o644, None)),
        ((None, 5), 5, None, File(b"token-1", 0o600, 5)),
        ((None,), None, 99, File(b"token-1", 0o600, None)),
    ],
)
async def test_a_token_is_readable_by_whom_the_containers_run_as(
    tmp_path: Path,
    sources: FakeSources,
    users: tuple[int | None, ...],
    general: int | None,
    group: int | None,
    expected: File,
) -> None:
    containers = [
        container(f"c{at}", securityContext=core_v1.SecurityContext(runAsUser=user)) for at, user in enumerate(users)
    ]
    of = pod(*containers, securityContext=core_v1.PodSecurityContext(runAsUser=general, fsGroup=group))
    assert (await projected.content(request(tmp_path, sources, of=of)))["token"] == expected


async def test_all_that_is_missing_is_named(tmp_path: Path, sources: FakeSources) -> None:
    with pytest.raises(ApiError, match=r'^configmap "x" not found$'):
        await projected.content(request(tmp_path, sources, config_map("x"), token()))
    with pytest.raises(ValueError, match=r'^\[configmap "x" not found, configmap "y" not found\]$'):
        await projected.content(request(tmp_path, sources, config_map("x"), config_map("y")))


def pem(*contents: bytes) -> str:
    blocks = (
        f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(c).decode()}\n-----END CERTIFICATE-----\n" for c in contents
    )
    return "".join(blocks)


@pytest.fixture
def bundles(sources: FakeSources) -> FakeSources:
    def made(name: str, signer: str, env: str, *contents: bytes) -> certificates_v1.ClusterTrustBundle:
        return certificates_v1.ClusterTrustBundle(
            metadata=meta_v1.ObjectMeta(name=name, labels={"env": env}),
            spec=certificates_v1.ClusterTrustBundleSpec(signerName=signer, trustBundle=pem(*contents)),
        )

    sources.bundles = [
        made("a", "x/s", "test", b"one", b"two"),
        made("b", "x/s", "live", b"two", b"three"),
        made("c", "x/other", "live", b"four"),
    ]
    return sources


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"name": "a"}, {b"one", b"two"}),
        ({"signerName": "x/s", "labelSelector": meta_v1.LabelSelector()}, {b"one", b"two", b"three"}),
        (
            {"signerName": "x/s", "labelSelector": meta_v1.LabelSelector(matchLabels={"env": "live"})},
            {b"two", b"three"},
        ),
        ({"signerName": "x/s", "optional": True}, set()),
        ({"name": "none", "optional": True}, set()),
    ],
)
async def test_trust_bundles_are_joined_each_certificate_once(
    tmp_path: Path, bundles: FakeSources, asked: dict[str, Any], expected: set[bytes]
) -> None:
    found = (await projected.content(request(tmp_path, bundles, bundle(**asked))))["ca.pem"].data.decode()
    blocks = [part for part in found.split("-----BEGIN CERTIFICATE-----\n") if part]
    assert {base64.b64decode(block.split("-----")[0]) for block in blocks} == expected
    assert len(blocks) == len(expected)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "none"}, 'clustertrustbundles.certificates.k8s.io "none" not found'),
        ({"signerName": "x/s"}, "combination of signerName and labelSelector matched zero ClusterTrustBundles"),
    ],
)
async def test_a_bundle_that_must_be_there_is_missed(
    tmp_path: Path, bundles: FakeSources, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await projected.content(request(tmp_path, bundles, bundle(**asked)))


def certificate(**paths: str) -> core_v1.VolumeProjection:
    source = core_v1.PodCertificateProjection(signerName="x/s", keyType="ED25519", **paths)
    return core_v1.VolumeProjection(podCertificate=source)


async def test_a_certificate_comes_as_a_bundle_or_in_two_files(tmp_path: Path, sources: FakeSources) -> None:
    parts = (token(), certificate(credentialBundlePath="all.pem", keyPath="key.pem", certificateChainPath="chain.pem"))
    sources.certificates["v/1"] = Credentials(b"KEY\n", b"CHAIN\n")
    found = await projected.content(request(tmp_path, sources, *parts))
    assert {path: file.data for path, file in found.items() if path != "token"} == {
        "all.pem": b"KEY\nCHAIN\n",
        "key.pem": b"KEY\n",
        "chain.pem": b"CHAIN\n",
    }


async def test_the_old_certificate_stays_until_there_is_another(tmp_path: Path, sources: FakeSources) -> None:
    wanted = request(tmp_path, sources, certificate(credentialBundlePath="all.pem"))
    with pytest.raises(ValueError, match="nothing for v/0"):
        await projected.content(wanted)
    sources.certificates["v/0"] = Credentials(b"KEY", b"CHAIN")
    write_atomically(wanted.folder, await projected.content(wanted), 0.0)
    del sources.certificates["v/0"]
    assert (await projected.content(wanted))["all.pem"].data == b"KEYCHAIN"
