"""Sets of fields: the laws of sets, upstream's JSON, and the sets of values."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.rules.patch import fields
from pybernetes.rules.patch.fields import BadItem
from pybernetes.rules.patch.typed import of_type

POD = of_type("io.k8s.api.core.v1.Pod")
_NAMES = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}', "v:1"])
_PATHS = st.lists(st.lists(_NAMES, min_size=1, max_size=3).map(tuple), max_size=8).map(frozenset)


def alone(path):
    """The set of one path."""
    return {path[0]: alone(path[1:])} if path else {}


def tree(paths):
    """A set the slow way."""
    made = {}
    for path in paths:
        made = fields.union(made, alone(path))
    return made


def members(found):
    return frozenset(fields.paths(found))


@given(_PATHS, _PATHS)
@settings(max_examples=200)
def test_the_laws_of_sets_hold_path_by_path(one, other):
    assert members(tree(one)) == one
    assert members(fields.union(tree(one), tree(other))) == one | other
    assert members(fields.intersection(tree(one), tree(other))) == one & other
    assert members(fields.difference(tree(one), tree(other))) == one - other
    below = {path for path in one if any(path[: n + 1] in other for n in range(len(path)))}
    assert members(fields.without(tree(one), tree(other))) == one - below


@given(_PATHS, _PATHS)
@settings(max_examples=100)
def test_results_are_read_as_they_are_written_and_arguments_stay(one, other):
    left, right = tree(one), tree(other)
    for operation in (fields.union, fields.intersection, fields.difference, fields.without):
        made = operation(left, right)
        assert fields.read(made) == made, operation
    assert (members(left), members(right)) == (one, other)


@given(_PATHS)
@settings(max_examples=50)
def test_a_path_is_a_member_or_not(one):
    for path in one:
        assert fields.has(tree(one), path)
        assert not fields.has(fields.difference(tree(one), alone(path)), path)
    assert not fields.has(tree(one), ("f:z",))


def test_keys_are_read_in_canonical_form():
    assert fields.read({'k:{"b": 1, "a":"x"}': {".": {}}}) == {'k:{"a":"x","b":1}': {}}
    assert fields.read({"f:x": {".": {}, "v: 1": {}}, ".": {}}) == {"f:x": {".": {}, "v:1": {}}}


@pytest.mark.parametrize(
    "bad", [{"x": {}}, {"q:x": {}}, {"k:[]": {}}, {"k:{}": {}}, {"f:a": 1}, [], {"v:": {}}, {"": {}}]
)
def test_what_is_no_set_is_refused(bad):
    with pytest.raises(ValueError, match=r"[a-z]"):
        fields.read(bad)


def test_a_set_too_deep_is_refused():
    deep = {}
    for _ in range(fields.DEEPEST + 1):
        deep = {"f:a": deep}
    with pytest.raises(ValueError, match="depth"):
        fields.read(deep)


def test_paths_are_shown_as_in_messages():
    path = ("f:spec", 'k:{"name":"a","port":80}', "f:x", 'v:"y"', "i:3")
    assert fields.shown(path) == '.spec[name="a",port=80].x[="y"][3]'


def test_whoever_applies_owns_leaves_items_and_empty_values():
    config = {
        "metadata": {"labels": {"a": "b"}, "annotations": {}, "finalizers": ["x/y"]},
        "spec": {
            "containers": [{"name": "c", "ports": [{"containerPort": 80}], "command": ["a"]}],
            "nodeSelector": {"k": "v"},
            "securityContext": None,
        },
    }
    port = {".": {}, "f:containerPort": {}}
    container = {".": {}, "f:name": {}, "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': port}, "f:command": {}}
    assert fields.of_object(config, POD) == {
        "f:metadata": {"f:labels": {"f:a": {}}, "f:annotations": {}, "f:finalizers": {'v:"x/y"': {}}},
        "f:spec": {
            "f:containers": {'k:{"name":"c"}': container},
            "f:nodeSelector": {},
            "f:securityContext": {},
        },
    }


STEPS = [
    ({}, {"spec": {"hostNetwork": True}}, {}, {"f:spec": {".": {}, "f:hostNetwork": {}}}),
    ({"spec": {}}, {"spec": {"hostNetwork": True}}, {}, {"f:spec": {"f:hostNetwork": {}}}),
    ({"metadata": {"labels": {"a": "b"}}}, {"metadata": {}}, {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}, {}),
    ({"metadata": {"labels": None}}, {"metadata": {"labels": {}}}, {}, {"f:metadata": {"f:labels": {}}}),
    (
        {"spec": {"nodeSelector": {"a": "b"}}},
        {"spec": {"nodeSelector": {"a": "c"}}},
        {},
        {"f:spec": {"f:nodeSelector": {}}},
    ),
    (
        {"spec": {"containers": [{"name": "a"}, {"name": "b", "image": "x"}]}},
        {"spec": {"containers": [{"name": "b", "image": "y"}]}},
        {"f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}},
        {"f:spec": {"f:containers": {'k:{"name":"b"}': {"f:image": {}}}}},
    ),
    (
        {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}},
        {"spec": {"containers": [{"name": "b"}, {"name": "a"}]}},
        {},
        {},
    ),
    (
        {"spec": {"containers": [{"name": "a"}]}},
        {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
        {"f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}},
        {"f:spec": {"f:containers": {'k:{"name":"a"}': {}}}},
    ),
]


@pytest.mark.parametrize(("old", "new", "removed", "changed"), STEPS)
def test_a_step_removes_and_changes(old, new, removed, changed):
    assert fields.compare(old, new, POD) == (removed, changed)


@pytest.mark.parametrize(
    ("item", "path", "message"),
    [
        ({"image": "x"}, "spec containers", r'omits all key fields \["name"\]'),
        (None, "spec containers", "null element"),
        ("x", "spec containers", "non-map"),
        ({}, "metadata finalizers", "map type"),
        ([], "metadata finalizers", "lists as elements"),
        (None, "metadata finalizers", "explicit null"),
    ],
)
def test_an_item_without_identity_is_refused(item, path, message):
    node = POD
    for name in path.split():
        node = node.child(name)
    with pytest.raises(BadItem, match=message):
        fields.identity(item, node)


def test_items_of_one_shape_share_their_set_and_others_do_not():
    def env(*variables):
        return {"spec": {"containers": [{"name": "a", "env": list(variables)}]}}

    def sets(obj):
        removed, changed = fields.compare({}, obj, POD)
        assert removed == {}
        named = 'k:{"name":"a"}'
        return [found["f:spec"]["f:containers"][named]["f:env"] for found in (changed, fields.of_object(obj, POD))]

    plain, source = {"name": "x", "value": "1"}, {"name": "y", "valueFrom": {"fieldRef": {"fieldPath": "spec"}}}
    strange = {"name": "z", "value": "1", "unheardOf": {"a": 1}}
    both = {"f:name": {}, "f:value": {}}
    whole, owned = sets(env(plain, {**plain, "name": "w"}, source, strange))
    assert whole['k:{"name":"x"}'] == whole['k:{"name":"w"}'] == {".": {}, **both}
    assert whole['k:{"name":"y"}']["f:valueFrom"] == {".": {}, "f:fieldRef": {}}
    assert owned['k:{"name":"x"}'] == {".": {}, **both}
    assert owned['k:{"name":"y"}']["f:valueFrom"] == {"f:fieldRef": {}}
    assert "f:unheardOf" in whole['k:{"name":"z"}']
    assert "f:unheardOf" in owned['k:{"name":"z"}']
    assert sets(env(plain, {**plain, "name": "w"}, source, strange)) == [whole, owned]


@pytest.mark.parametrize("name", ["a", "x" * 299, "x" * 300, 'ä"\\', ""])
def test_an_item_is_named_the_same_however_long_its_name_is(name):
    node = POD.fields["spec"].fields["containers"]
    assert fields.identity({"name": name}, node) == "k:" + orjson.dumps({"name": name}).decode()
