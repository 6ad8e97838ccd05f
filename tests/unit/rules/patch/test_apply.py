"""Server-side apply on values: types, merging, removing; cases as in upstream's structured-merge-diff, and laws."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.rules.patch import fields
from pybernetes.rules.patch.apply import faults, merge, refusal, remove
from pybernetes.rules.patch.typed import UNTYPED, UNTYPED_MAP, of_type

POD = of_type("io.k8s.api.core.v1.Pod")

FAULTS = [
    (".spec.nonsense: field not declared in schema", {"spec": {"nonsense": 1}}),
    (".spec.nodeSelector: expected map, got &{[a]}", {"spec": {"nodeSelector": ["a"]}}),
    (".spec.containers: expected list, got &{map[a:1 b:<nil>]}", {"spec": {"containers": {"b": None, "a": 1}}}),
    (".spec.priority: expected numeric (int or float), got string", {"spec": {"priority": "x"}}),
    (".spec.nodeName: expected string, got &value.valueUnstructured{Value:1}", {"spec": {"nodeName": 1}}),
    (".spec.hostNetwork: expected boolean, got &{please}", {"spec": {"hostNetwork": "please"}}),
    (".spec.overhead.cpu: expected any scalar, got &{[]}", {"spec": {"overhead": {"cpu": []}}}),
    ('.spec.containers: duplicate entries for key [name="a"]', {"spec": {"containers": [{"name": "a"}] * 2}}),
    (
        '.spec.containers[name="a"].env[name="x"].valueFrom.fieldRef.y: field not declared in schema',
        {"spec": {"containers": [{"name": "a", "env": [{"name": "x", "valueFrom": {"fieldRef": {"y": 1}}}]}]}},
    ),
    (".spec.tolerations[0].z: field not declared in schema", {"spec": {"tolerations": [{"z": 1}]}}),
    (
        '.spec.containers: element 0: associative list with keys has an element that omits all key fields ["name"]'
        " (and doesn't have default values for any key fields)",
        {"spec": {"containers": [{"image": "x"}]}},
    ),
    ('.metadata.finalizers: duplicate entries for key [="x"]', {"metadata": {"finalizers": ["x", "x"]}}),
]


@pytest.mark.parametrize(("text", "value"), FAULTS)
def test_a_configuration_that_does_not_fit_is_told_where(text, value):
    assert faults(value, POD) == [text]


def test_nulls_fit_everywhere_and_several_faults_are_one_text():
    assert not faults({"spec": {"containers": None, "nodeSelector": None, "priority": None}}, POD)
    assert refusal(["a", "b"]) == "errors:\n  a\n  b"


LISTS = """
- {live: ab, config: ab, wanted: ab}
- {live: ab, config: cab, wanted: cab}
- {live: abc, config: ca, wanted: bca}
- {live: abcd, config: db, wanted: acdb}
- {live: abc, config: x, wanted: abcx}
- {live: xay, config: ab, wanted: xayb}
- {live: "", config: ab, wanted: ab}
- {live: ab, config: "", wanted: ab}
- {live: abcde, config: edcba, wanted: edcba}
"""


def containers(names, **more):
    return {"spec": {"containers": [{"name": name, **more} for name in names]}}


@pytest.mark.parametrize("case", yaml.safe_load(LISTS))
def test_items_come_in_the_configurations_order_with_the_others_between(case):
    merged = merge(containers(case["live"], image="x"), containers(case["config"]), POD)
    assert "".join(item["name"] for item in merged["spec"]["containers"]) == case["wanted"]
    assert all(item["image"] == "x" for item in merged["spec"]["containers"] if item["name"] in case["live"])


def test_atomic_values_are_taken_whole_and_maps_key_by_key():
    live = {"metadata": {"labels": {"a": "1"}}, "spec": {"nodeSelector": {"a": "1"}, "tolerations": [{"key": "x"}]}}
    config = {"metadata": {"labels": {"b": "2"}}, "spec": {"nodeSelector": {"b": "2"}, "tolerations": []}}
    assert merge(live, config, POD) == {
        "metadata": {"labels": {"a": "1", "b": "2"}},
        "spec": {"nodeSelector": {"b": "2"}, "tolerations": []},
    }


def test_a_null_stays_for_a_scalar_and_says_nothing_about_a_map_with_something_in_it():
    live = {"metadata": {"labels": {"a": "1"}}, "spec": {"nodeName": "n"}}
    merged = merge(live, {"metadata": {"labels": None}, "spec": {"nodeName": None}}, POD)
    assert merged == {"metadata": {"labels": {"a": "1"}}, "spec": {"nodeName": None}}


def test_values_without_a_schema_merge_by_what_they_are():
    assert merge({"a": {"x": 1}, "l": [1]}, {"a": {"y": 2}, "l": [2]}, UNTYPED_MAP) == {"a": {"x": 1, "y": 2}, "l": [2]}
    assert merge({"a": {"x": 1}}, {"a": 5}, UNTYPED_MAP) == {"a": 5}
    assert merge({"a": 5}, {"a": {"x": 1}}, UNTYPED_MAP) == {"a": {"x": 1}}
    assert not faults({"a": [{}]}, UNTYPED)


def test_what_is_removed_leaves_no_empty_shell():
    pod = {"metadata": {"labels": {"a": "1"}}, **containers("ab")}
    away = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {'k:{"name":"a"}': {}}}}
    assert remove(pod, away, POD) == {"metadata": {"labels": None}, **containers("b")}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), _JSON, max_size=3)
_PODS = st.builds(
    lambda labels, names, image, rest: {
        "metadata": {"labels": dict.fromkeys(labels, image), "finalizers": [f"{n}/x" for n in names]},
        "spec": {**containers(names, image=image)["spec"], **rest},
    },
    st.lists(st.sampled_from("abc"), unique=True),
    st.lists(st.sampled_from("abcd"), unique=True),
    st.sampled_from("xy"),
    st.dictionaries(st.sampled_from(["nodeName", "hostname"]), st.sampled_from(["", "n"])),
)


@given(_OBJECTS, _OBJECTS)
@settings(max_examples=200)
def test_any_json_is_merged_compared_and_cut_without_failing(one, other):
    for node in (POD, UNTYPED_MAP):
        merged = merge(one, other, node)
        faults(one, node)
        removed, changed = fields.compare(one, other, node)
        remove(merged, removed, node)
        assert fields.read(changed) == changed
    assert merge(one, one, UNTYPED_MAP) == one


@given(_PODS, _PODS)
@settings(max_examples=200)
def test_merging_holds_all_that_was_applied_and_merging_again_changes_nothing(live, config):
    merged = merge(live, config, POD)
    assert merge(merged, config, POD) == merged
    assert not faults(merged, POD)
    own = fields.of_object(config, POD)
    assert fields.difference(own, fields.of_object(merged, POD)) == {} or not all(
        (config["spec"]["containers"], config["metadata"]["labels"], config["metadata"]["finalizers"])
    )
    removed, changed = fields.compare(live, merged, POD)
    assert not removed
    assert fields.difference(fields.of_object(merged, POD), fields.union(fields.of_object(live, POD), changed)) == {}


@given(_PODS, _PODS)
@settings(max_examples=100)
def test_without_its_fields_an_object_is_empty_and_a_step_is_undone_by_the_step_back(one, other):
    forth, back = fields.compare(one, other, POD), fields.compare(other, one, POD)
    # What one way adds, the other removes; what both have and say differently is changed both ways.
    assert fields.intersection(forth[0], back[0]) == {}
    assert fields.difference(forth[0], back[1]) == {}
    assert fields.difference(back[0], forth[1]) == {}
