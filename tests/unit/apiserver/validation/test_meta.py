"""ObjectMeta: names, labels, owners, finalizers, and what may not change."""

import pytest

from pybernetes.api import names
from pybernetes.apiserver.validation.meta import label_selector, validate_object_meta

SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"


def faults(meta, old=None, namespaced=True, rule=None):
    wrapped = {"metadata": {"namespace": "default", **meta} if namespaced else meta}
    before = {"metadata": {"namespace": "default", **old}} if old is not None else None
    return [str(fault) for fault in validate_object_meta(wrapped, before, namespaced, rule)]


def test_a_plain_name_is_fine():
    assert faults({"name": "web-1.example"}) == []


def test_a_name_is_needed():
    assert faults({}) == ["metadata.name: Required value: name or generateName is required"]


def test_a_bad_name_is_shown_with_the_rule():
    (fault,) = faults({"name": "Web_1"})
    assert fault.startswith(f'metadata.name: Invalid value: "Web_1": {SUBDOMAIN}')


def test_the_kind_may_have_a_rule_of_its_own():
    assert faults({"name": "system:node"}, rule=names.path_segment) == []
    assert faults({"name": "a/b"}, rule=names.path_segment) == [
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    ]


def test_generate_name_may_end_in_a_dash_only():
    assert faults({"name": "web-x", "generateName": "web-"}) == []
    assert faults({"name": "web-x", "generateName": "web_"})[0].startswith("metadata.generateName: Invalid value")


def test_a_namespace_is_needed_or_forbidden_by_scope():
    assert faults({"name": "n", "namespace": ""}) == ["metadata.namespace: Required value"]
    assert faults({"name": "n", "namespace": "x"}, namespaced=False) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


@pytest.mark.parametrize(
    ("labels", "start"),
    [
        ({"a b": "c"}, 'metadata.labels: Invalid value: "a b": name part must consist of'),
        ({"a": "b c"}, 'metadata.labels: Invalid value: "b c": a valid label must be an empty string or'),
        ({"/a": "b"}, 'metadata.labels: Invalid value: "/a": prefix part must be non-empty'),
    ],
)
def test_labels_are_checked_by_key_and_value(labels, start):
    assert faults({"name": "n", "labels": labels})[0].startswith(start)


def test_every_fault_is_told_at_once():
    assert len(faults({"name": "N", "labels": {"a": "-"}, "finalizers": ["x"]})) == 3


def test_owners_need_all_their_names_and_only_one_controls():
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True}
    assert faults({"name": "n", "ownerReferences": [owner]}) == []
    assert faults({"name": "n", "ownerReferences": [{**owner, "uid": ""}]}) == [
        'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty'
    ]
    (fault,) = faults({"name": "n", "ownerReferences": [owner, {**owner, "name": "other"}]})
    assert "Only one reference can have Controller set to true" in fault
    assert "for rs and other" in fault


def test_an_event_owns_nothing():
    owner = {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}
    assert "v1, Kind=Event is disallowed from being an owner" in faults({"name": "n", "ownerReferences": [owner]})[0]


def test_finalizers_are_qualified_and_do_not_contradict():
    assert faults({"name": "n", "finalizers": ["example.com/x", "kubernetes"]}) == []
    assert faults({"name": "n", "finalizers": ["x"]})[0].endswith(
        "name is neither a standard finalizer name nor is it fully qualified"
    )
    assert faults({"name": "n", "finalizers": ["orphan", "foregroundDeletion"]})[0].endswith(
        "finalizer orphan and foregroundDeletion cannot be both set"
    )


def test_uid_and_times_never_change():
    assert faults({"name": "n", "uid": "2"}, old={"name": "n", "uid": "1"}) == [
        'metadata.uid: Invalid value: "2": field is immutable'
    ]


def test_a_dying_object_takes_no_new_finalizers():
    old = {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}
    assert faults({**old, "finalizers": ["a/b", "c/d"]}, old=old) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"c/d"}'
    ]


@pytest.mark.parametrize(
    ("term", "fault"),
    [
        (
            {"key": "a", "operator": "In"},
            "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            {"key": "a", "operator": "Exists", "values": ["b"]},
            "s.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or "
            "'DoesNotExist'",
        ),
        (
            {"key": "a", "operator": "Near"},
            's.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        ),
    ],
)
def test_selector_terms_need_values_that_fit_their_operator(term, fault):
    assert [str(f) for f in label_selector({"matchExpressions": [term]}, "s")] == [fault]
