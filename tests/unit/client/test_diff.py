from msgspec.structs import replace

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.diff import strategic_diff

POD = core_v1.Pod(
    metadata=meta_v1.ObjectMeta(name="web", labels={"a": "1", "b": "2"}, finalizers=("x", "y")),
    spec=core_v1.PodSpec(
        containers=(core_v1.Container(name="c", image="one"), core_v1.Container(name="d", image="two")), nodeName="n"
    ),
    status=core_v1.PodStatus(
        conditions=(
            core_v1.PodCondition(type="Ready", status="True", lastTransitionTime="t"),
            core_v1.PodCondition(type="Other", status="True", lastTransitionTime="t"),
        )
    ),
)


def test_equal_objects_differ_in_nothing():
    assert strategic_diff(POD, POD) == {}


def test_removed_fields_are_null_and_unchanged_ones_absent():
    new = replace(POD, metadata=replace(POD.metadata, labels={"a": "3"}), spec=replace(POD.spec, nodeName=""))
    assert strategic_diff(POD, new) == {"metadata": {"labels": {"a": "3", "b": None}}, "spec": {"nodeName": None}}


def test_keyed_lists_go_element_by_element():
    ready = replace(POD.status.conditions[0], status="False")
    new = replace(POD, status=replace(POD.status, conditions=(ready,)))
    assert strategic_diff(POD, new) == {
        "status": {"conditions": [{"type": "Other", "$patch": "delete"}, {"type": "Ready", "status": "False"}]}
    }


def test_a_new_order_is_said():
    first, second = POD.spec.containers
    new = replace(POD, spec=replace(POD.spec, containers=(second, first)))
    assert strategic_diff(POD, new) == {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "c"}]}}


def test_finalizers_are_added_and_removed_one_by_one():
    new = replace(POD, metadata=replace(POD.metadata, finalizers=("y", "z")))
    assert strategic_diff(POD, new) == {"metadata": {"finalizers": ["z"], "$deleteFromPrimitiveList/finalizers": ["x"]}}


def test_elements_with_one_merge_key_replace_the_list():
    tcp = core_v1.ContainerPort(containerPort=53, protocol="TCP")
    udp = core_v1.ContainerPort(containerPort=53, protocol="UDP")
    old = replace(POD, spec=core_v1.PodSpec(containers=(core_v1.Container(name="c", ports=(tcp,)),)))
    new = replace(POD, spec=core_v1.PodSpec(containers=(core_v1.Container(name="c", ports=(tcp, udp)),)))
    assert strategic_diff(old, new)["spec"]["containers"][0]["ports"] == [
        {"containerPort": 53, "protocol": "TCP"},
        {"containerPort": 53, "protocol": "UDP"},
        {"$patch": "replace"},
    ]
