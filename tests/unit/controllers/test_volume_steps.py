"""What is next for claims and volumes, where no other test says it."""

from typing import Any

import msgspec
import pytest

from pybernetes.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from pybernetes.controllers._volume_steps import cannot_delete, noted_volume, status_when_bound

BY, MIGRATED = "pv.kubernetes.io/provisioned-by", "pv.kubernetes.io/migrated-to"
OWN, THEIRS = "kubernetes.io/pv-controller", "external-provisioner.volume.kubernetes.io/finalizer"
NFS = {"nfs": {"server": "s", "path": "/p"}}


def volume(
    policy: str = "Delete", notes: dict[str, str] | None = None, kept: tuple[str, ...] = (), **spec: Any
) -> PersistentVolume:
    meta = {"name": "v", "annotations": notes or {}, "finalizers": list(kept)}
    body = {"capacity": {"storage": "5Gi"}, "persistentVolumeReclaimPolicy": policy, **spec}
    return msgspec.convert({"metadata": meta, "spec": body}, PersistentVolume)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (volume(notes={BY: "example.com"}), ""),
        (volume(csi={"driver": "d", "volumeHandle": "h"}), ""),
        (volume(notes={BY: "kubernetes.io/odd"}), "no volume plugin matched name: kubernetes.io/odd"),
        (volume(notes={BY: "kubernetes.io/nfs"}), "no deletable volume plugin matched"),
        (volume(**NFS), 'error getting deleter volume plugin for volume "v": no deletable volume plugin matched'),
        (
            volume(hostPath={"path": "/srv/x"}),
            "host_path deleter only supports /tmp/.+ but received provided /srv/x",
        ),
        (volume(hostPath={"path": "/tmp/"}), "host_path deleter only supports /tmp/.+ but received provided /tmp/"),
        (
            volume(hostPath={"path": "/tmp/x"}),
            'error getting deleter volume plugin for volume "v": no deletable volume plugin matched',
        ),
    ],
)
def test_why_nobody_deletes_a_volume(found: PersistentVolume, why: str) -> None:
    assert cannot_delete(found) == why


@pytest.mark.parametrize(
    ("provisioner", "policy", "before", "after"),
    [
        ("", "Delete", (OWN, THEIRS), (OWN, THEIRS)),
        ("example.com", "Delete", (OWN, THEIRS), (OWN, THEIRS)),
        ("kubernetes.io/gce-pd", "Delete", (OWN, THEIRS), (THEIRS,)),
        ("kubernetes.io/host-path", "Delete", (THEIRS,), (OWN,)),
        ("kubernetes.io/host-path", "Delete", (OWN,), (OWN,)),
        ("kubernetes.io/host-path", "Retain", (OWN, THEIRS), ()),
        ("kubernetes.io/host-path", "Recycle", (OWN,), ()),
    ],
)
def test_who_keeps_a_volume_until_it_is_deleted(
    provisioner: str, policy: str, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    found = volume(policy, {BY: provisioner} if provisioner else {}, before)
    noted = noted_volume(found)
    assert noted.metadata.finalizers == after
    assert (noted is found) == (before == after)


def test_a_driver_that_took_over_is_noted_and_one_that_did_not_is_not() -> None:
    assert noted_volume(volume(notes={BY: "kubernetes.io/aws-ebs"})).metadata.annotations[MIGRATED] == "ebs.csi.aws.com"
    assert noted_volume(volume(notes={BY: "example.com", MIGRATED: "old"})).metadata.annotations == {BY: "example.com"}
    by_hand = volume(notes={MIGRATED: "somebody's"})
    assert noted_volume(by_hand) is by_hand


@pytest.mark.parametrize(("noted", "size"), [(None, "5Gi"), ("2Gi", "2Gi"), ("much", "5Gi")])
def test_a_claim_has_what_of_its_volume_can_be_used(noted: str | None, size: str) -> None:
    notes = {"volume.alpha.kubernetes.io/pre-resize-capacity": noted} if noted else {}
    claim = msgspec.convert({"metadata": {"name": "c"}, "status": {"phase": "Pending"}}, PersistentVolumeClaim)
    assert status_when_bound(claim, volume(notes=notes, **NFS)).capacity == {"storage": size}
