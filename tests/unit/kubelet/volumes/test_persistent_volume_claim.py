"""persistentVolumeClaim and ephemeral: only what is bound to the Pod's own claim, on this node, is mounted."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.kubelet.pods import container

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.volume import VolumeError

pytestmark = pytest.mark.root


def claim(name: str = "c", phase: str = "Bound", **meta: Any) -> core_v1.PersistentVolumeClaim:
    return core_v1.PersistentVolumeClaim(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default", uid="claim-uid", **meta),
        spec=core_v1.PersistentVolumeClaimSpec(volumeName="pv"),
        status=core_v1.PersistentVolumeClaimStatus(phase=phase),
    )


def volume(**spec: Any) -> core_v1.PersistentVolume:
    fields = {"claimRef": core_v1.ObjectReference(uid="claim-uid"), **spec}
    return core_v1.PersistentVolume(metadata=meta_v1.ObjectMeta(name="pv"), spec=core_v1.PersistentVolumeSpec(**fields))


def on(node: str) -> core_v1.VolumeNodeAffinity:
    wanted = core_v1.NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=(node,))
    term = core_v1.NodeSelectorTerm(matchExpressions=(wanted,))
    return core_v1.VolumeNodeAffinity(required=core_v1.NodeSelector(nodeSelectorTerms=(term,)))


USED = {"persistentVolumeClaim": core_v1.PersistentVolumeClaimVolumeSource(claimName="c")}
READ = {"persistentVolumeClaim": core_v1.PersistentVolumeClaimVolumeSource(claimName="c", readOnly=True)}


@pytest.fixture
def bound(one: Any, tmp_path: Path) -> Any:
    """A local volume of this node."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/data").write_text("x")
    one.sources.this_node = core_v1.Node(
        metadata=meta_v1.ObjectMeta(name="n1", labels={"kubernetes.io/hostname": "n1"})
    )
    one.sources.claims["c"] = claim()
    one.sources.volumes["pv"] = volume(
        local=core_v1.LocalVolumeSource(path=str(tmp_path / "disk")), nodeAffinity=on("n1")
    )
    return one


async def test_a_local_volume_is_bound_into_the_pods_folder(bound: Any, tmp_path: Path) -> None:
    found = await bound.set_up(USED)
    assert found.path == bound.root / "pods/uid-1/volumes/kubernetes.io~local-volume/pv"
    assert (found.path / "data").read_text() == "x"
    assert not found.read_only
    await bound.set_up(USED)
    assert len([m for m in mounts.table() if m.target == str(found.path)]) == 1
    await bound.volumes.tear_down("uid-1")
    assert not found.path.exists()
    assert (tmp_path / "disk/data").read_text() == "x"


async def test_read_only_means_no_write(bound: Any) -> None:
    found = await bound.set_up(READ)
    assert found.read_only
    with pytest.raises(OSError, match="Read-only"):
        (found.path / "new").touch()


async def test_the_group_owns_it_by_its_policy(bound: Any, tmp_path: Path) -> None:
    always = core_v1.PodSecurityContext(fsGroup=77)
    await bound.set_up(USED, securityContext=always)
    assert (tmp_path / "disk/data").stat().st_gid == 77
    (tmp_path / "disk/data").chmod(0o600)
    await bound.set_up(USED, securityContext=replace(always, fsGroupChangePolicy="OnRootMismatch"))
    assert (tmp_path / "disk/data").stat().st_mode & 0o777 == 0o600
    await bound.set_up(USED, securityContext=always)
    assert (tmp_path / "disk/data").stat().st_mode & 0o777 == 0o660


async def test_a_volume_that_others_use_keeps_its_group(bound: Any, tmp_path: Path) -> None:
    other = bound.root / "pods/uid-2/volumes/kubernetes.io~local-volume/pv"
    other.mkdir(parents=True)
    mounts.bind(tmp_path / "disk", other)
    try:
        await bound.set_up(USED, securityContext=core_v1.PodSecurityContext(fsGroup=78))
        assert (tmp_path / "disk/data").stat().st_gid != 78
        message = "The requested fsGroup is 78, but the volume pv has GID 0. The volume may not be shareable."
        assert bound.told == [("AlreadyMountedVolume", message)]
    finally:
        await bound.volumes.forget("uid-2")


async def test_a_volume_for_one_pod_is_not_given_to_two(bound: Any, tmp_path: Path) -> None:
    local = core_v1.LocalVolumeSource(path=str(tmp_path / "disk"))
    bound.sources.volumes["pv"] = volume(local=local, accessModes=("ReadWriteOncePod",))
    other = bound.root / "pods/uid-2/volumes/kubernetes.io~local-volume/pv"
    other.mkdir(parents=True)
    mounts.bind(tmp_path / "disk", other)
    try:
        with pytest.raises(VolumeError, match="the ReadWriteOncePod access mode and is already in use by another pod"):
            await bound.set_up(USED)
    finally:
        await bound.volumes.forget("uid-2")
    elsewhere = tmp_path / "another kubelet/pods/uid-3/volumes/kubernetes.io~local-volume/pv"
    elsewhere.mkdir(parents=True)
    mounts.bind(tmp_path / "disk", elsewhere)
    try:
        assert (await bound.set_up(USED)).path.name == "pv"
    finally:
        mounts.unmount(elsewhere, detach=True)


async def test_a_host_path_volume_is_used_where_it_is(bound: Any, tmp_path: Path) -> None:
    bound.sources.volumes["pv"] = volume(hostPath=core_v1.HostPathVolumeSource(path=str(tmp_path / "disk")))
    found = await bound.set_up(READ)
    assert (found.path, found.read_only) == (tmp_path / "disk", True)


def unable(why: str) -> str:
    lists = "unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]"
    return f"Unable to attach or mount volumes: {lists}: {why}"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({}, 'failed to fetch PVC from API server: persistentvolumeclaims "c" not found'),
        ({"c": claim(phase="Pending")}, "PVC is not bound"),
        ({"c": claim(deletionTimestamp="2026-01-01T00:00:00Z")}, "PVC is being deleted"),
        ({"c": replace(claim(), spec=core_v1.PersistentVolumeClaimSpec())}, "PVC has empty pvc.Spec.VolumeName"),
    ],
)
async def test_a_claim_that_is_not_ready_says_why(bound: Any, claims: dict[str, Any], why: str) -> None:
    bound.sources.claims = claims
    with pytest.raises(VolumeError) as caught:
        await bound.set_up(USED)
    assert caught.value.messages == (unable(f"error processing PVC default/c: {why}"),)


async def test_a_volume_of_another_claim_is_refused(bound: Any) -> None:
    uid = "found PV object pv but its pv.Spec.ClaimRef.UID z does not point to claim.UID claim-uid"
    for reference, why in (
        (core_v1.ObjectReference(uid="z"), uid),
        (None, "found PV object pv but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"),
    ):
        bound.sources.volumes["pv"] = volume(local=core_v1.LocalVolumeSource(path="/"), claimRef=reference)
        with pytest.raises(VolumeError, match=re.escape(why)):
            await bound.set_up(USED)


async def test_a_volume_of_another_node_is_refused(bound: Any) -> None:
    bound.sources.volumes["pv"] = volume(local=core_v1.LocalVolumeSource(path="/"), nodeAffinity=on("n2"))
    with pytest.raises(VolumeError) as caught:
        await bound.set_up(USED)
    said = 'MountVolume.NodeAffinity check failed for volume "pv" : no matching NodeSelectorTerms'
    assert caught.value.messages == (said,)


async def test_a_local_path_that_is_not_there_is_named(bound: Any) -> None:
    bound.sources.volumes["pv"] = volume(local=core_v1.LocalVolumeSource(path="/no/such"))
    with pytest.raises(VolumeError) as caught:
        await bound.set_up(USED)
    said = 'MountVolume.NewMounter initialization failed for volume "pv" : path "/no/such" does not exist'
    assert caught.value.messages == (said,)


@pytest.mark.parametrize(
    ("mode", "use", "why"),
    [
        ("Block", "volumeMounts", "volume v has volumeMode Block, but is specified in volumeMounts"),
        ("Filesystem", "volumeDevices", "volume v has volumeMode Filesystem, but is specified in volumeDevices"),
        (
            "Block",
            "volumeDevices",
            "volume v has volumeMode Block, but this node maps no block devices into containers",
        ),
    ],
)
async def test_the_volume_mode_must_fit_its_use(bound: Any, mode: str, use: str, why: str) -> None:
    mount = core_v1.VolumeMount(name="v", mountPath="/v")
    device = core_v1.VolumeDevice(name="v", devicePath="/dev/v")
    uses = {"volumeMounts": (mount,)} if use == "volumeMounts" else {"volumeDevices": (device,)}
    bound.sources.volumes["pv"] = volume(local=core_v1.LocalVolumeSource(path="/"), volumeMode=mode)
    with pytest.raises(VolumeError) as caught:
        await bound.set_up(USED, containers=(container(**uses),))
    assert caught.value.messages == (unable(why),)


async def test_mount_options_of_a_bind_are_applied_and_others_named(bound: Any, tmp_path: Path) -> None:
    local = core_v1.LocalVolumeSource(path=str(tmp_path / "disk"))
    bound.sources.volumes["pv"] = volume(local=local, mountOptions=("noexec", "ro"))
    assert (await bound.set_up(USED)).read_only
    bound.sources.volumes["pv"] = volume(local=local, mountOptions=("vers=4",))
    with pytest.raises(VolumeError, match='no mount option "vers=4" for a bind'):
        await bound.set_up(USED)


async def test_a_driver_that_is_not_there_is_said_so(bound: Any) -> None:
    bound.sources.volumes["pv"] = volume(csi=core_v1.CSIPersistentVolumeSource(driver="d", volumeHandle="h"))
    with pytest.raises(VolumeError) as caught:
        await bound.set_up(USED)
    why = "attacher.MountDevice failed to create newCsiDriverClient: driver name d not found in the list of registered CSI drivers"
    assert caught.value.messages == (f'MountVolume.MountDevice failed for volume "pv" : kubernetes.io/csi: {why}',)


async def test_an_ephemeral_claim_must_be_the_pods_own(bound: Any) -> None:
    wanted = {"ephemeral": core_v1.EphemeralVolumeSource()}
    bound.sources.claims["web-v"] = claim("web-v")
    with pytest.raises(VolumeError) as caught:
        await bound.set_up(wanted)
    why = "PVC default/web-v was not created for pod default/web (pod is not owner)"
    assert caught.value.messages == (unable(why),)
    owner = meta_v1.OwnerReference(apiVersion="v1", kind="Pod", name="web", uid="uid-1", controller=True)
    bound.sources.claims["web-v"] = claim("web-v", ownerReferences=(owner,))
    assert (await bound.set_up(wanted)).path.name == "pv"
