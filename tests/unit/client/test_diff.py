import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.diff import strategic_diff
from pybernetes.rules.patch import strategic

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


NAMES = st.sampled_from("abcd")
WORDS = st.dictionaries(NAMES, st.sampled_from(("1", "2")), max_size=3)
CONTAINERS = st.lists(
    st.builds(core_v1.Container, name=NAMES, image=st.sampled_from(("one", "two")), args=st.just(())),
    max_size=3,
    unique_by=lambda c: c.name,
).map(tuple)
CONDITIONS = st.lists(
    st.builds(core_v1.PodCondition, type=NAMES, status=st.sampled_from(("True", "False"))),
    max_size=3,
    unique_by=lambda c: c.type,
).map(tuple)
PORTS = st.lists(
    st.builds(core_v1.ContainerPort, containerPort=st.integers(1, 2), protocol=st.sampled_from(("TCP", "UDP"))),
    max_size=3,
).map(tuple)
PODS = st.builds(
    core_v1.Pod,
    metadata=st.builds(
        meta_v1.ObjectMeta, labels=WORDS, finalizers=st.lists(NAMES, unique=True, max_size=3).map(sorted).map(tuple)
    ),
    spec=st.builds(
        core_v1.PodSpec,
        containers=st.tuples(CONTAINERS, PORTS).map(lambda t: tuple(replace(c, ports=t[1]) for c in t[0])),
        nodeName=st.sampled_from(("", "n")),
        tolerations=st.lists(st.builds(core_v1.Toleration, key=NAMES), max_size=2).map(tuple),
    ),
    status=st.builds(core_v1.PodStatus, conditions=CONDITIONS),
)


@settings(max_examples=50)
@given(PODS, PODS)
def test_the_patch_leads_from_the_old_object_to_the_new_one(old: core_v1.Pod, new: core_v1.Pod):
    before = msgspec.json.decode(msgspec.json.encode(old))
    patch = msgspec.json.decode(msgspec.json.encode(strategic_diff(old, new)))
    after = msgspec.convert(strategic.apply(before, patch, "io.k8s.api.core.v1.Pod"), core_v1.Pod)
    # Finalizers are a set: their order is not promised.
    meta = replace(after.metadata, finalizers=tuple(sorted(after.metadata.finalizers)))
    assert replace(after, metadata=meta) == new


def test_fields_that_this_release_does_not_know_survive_even_in_changed_elements():
    stored = msgspec.json.decode(msgspec.json.encode(POD))
    stored["spec"]["future"] = 1
    stored["status"]["conditions"][0]["future"] = 2
    old = msgspec.convert(stored, core_v1.Pod)
    conditions = tuple(replace(c, status="False") for c in old.status.conditions)
    patch = strategic_diff(old, replace(old, status=replace(old.status, conditions=conditions)))
    after = strategic.apply(stored, msgspec.json.decode(msgspec.json.encode(patch)), "io.k8s.api.core.v1.Pod")
    assert after["spec"]["future"] == 1
    assert [(c.get("future"), c["status"]) for c in after["status"]["conditions"]] == [(2, "False"), (None, "False")]
