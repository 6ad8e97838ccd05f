"""Which volume a claim may have."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pybernetes.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, PersistentVolumeStatus, Pod
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.rules import volumebinding as rule


def volume(name, size="1Gi", **spec):
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]} | spec
    body = {"metadata": {"name": name}, "spec": own, "status": {"phase": "Available"}}
    return msgspec.convert(body, PersistentVolume)


def claim(size="1Gi", **spec):
    own = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | spec
    return msgspec.convert(
        {"metadata": {"name": "data", "namespace": "a", "uid": "u"}, "spec": own}, PersistentVolumeClaim
    )


@given(st.lists(st.integers(1, 20)), st.integers(1, 20))
def test_of_many_the_smallest_that_is_large_enough_is_taken(sizes, asked):
    volumes = [volume(f"v{number}", f"{size}Gi") for number, size in enumerate(sizes)]
    found = rule.best_match(claim(f"{asked}Gi"), volumes)
    enough = [size for size in sizes if size >= asked]
    assert (found is None) == (not enough)
    if found is not None:
        assert found.spec.capacity["storage"] == f"{min(enough)}Gi"


def test_a_volume_with_fewer_modes_goes_before_a_smaller_one():
    volumes = [volume("both", accessModes=["ReadWriteOnce", "ReadWriteMany"]), volume("one", "5Gi")]
    assert rule.best_match(claim(), volumes) == volumes[1]


def test_a_volume_that_is_not_available_is_nobodys_unless_it_is_reserved():
    new = replace(volume("new"), status=PersistentVolumeStatus(phase="Pending"))
    assert rule.best_match(claim(), [new]) is None
    reserved = volume("mine", claimRef={"namespace": "a", "name": "data"})
    mine = replace(reserved, status=PersistentVolumeStatus(phase="Pending"))
    assert rule.best_match(claim(), [mine]) == mine


def test_a_reserved_volume_goes_before_all_and_fits_no_node_that_cannot_reach_it():
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}}
    mine = volume("mine", "9Gi", claimRef={"namespace": "a", "name": "data"}, nodeAffinity=affinity)
    volumes = [volume("free"), mine]
    assert rule.best_match(claim(), volumes) == mine
    assert rule.best_match(claim(), volumes, node=ObjectMeta(name="n", labels={"zone": "a"})) == mine
    assert rule.best_match(claim(), volumes, node=ObjectMeta(name="n", labels={"zone": "b"})) is None
    assert rule.best_match(claim(), volumes, reserved_only=True) == mine
    assert rule.best_match(claim(), volumes[:1], reserved_only=True) is None


@pytest.mark.parametrize(
    ("of_volume", "of_claim", "why"),
    [
        ({}, {}, ""),
        ({"size": "1Mi"}, {}, "requested PV is too small"),
        ({"storageClassName": "x"}, {}, "storageClassName does not match"),
        ({"volumeMode": "Block"}, {}, "incompatible volumeMode"),
        ({}, {"accessModes": ["ReadWriteMany"]}, "incompatible accessMode"),
        ({}, {"volumeAttributesClassName": "gold"}, "volumeAttributesClassName does not match"),
        ({}, {"volumeAttributesClassName": ""}, ""),
    ],
)
def test_a_named_volume_that_does_not_fit_is_said_why(of_volume, of_claim, why):
    assert rule.mismatch(volume("v", **of_volume), claim(**of_claim)) == why


def test_of_default_classes_the_newest_and_then_the_first_by_name_counts():
    def made(name, at, mark="true"):
        notes = {"storageclass.kubernetes.io/is-default-class": mark}
        return StorageClass(metadata=ObjectMeta(name=name, creationTimestamp=at, annotations=notes))

    old, new, twin = (
        made("old", "2026-01-01T00:00:00Z"),
        made("b", "2026-02-01T00:00:00Z"),
        made("a", "2026-02-01T00:00:00Z"),
    )
    assert rule.default_class((old, new, twin, made("off", "2027-01-01T00:00:00Z", "false"))) == twin
    assert rule.default_class(()) is None


def test_the_claims_of_a_pod_are_those_it_names_and_those_made_for_it():
    volumes = [
        {"name": "x", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "y", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"name": "z", "emptyDir": {}},
    ]
    pod = msgspec.convert({"metadata": {"name": "p"}, "spec": {"containers": [], "volumes": volumes}}, Pod)
    assert rule.claims_of_pod(pod) == [("data", False), ("p-y", True)]
