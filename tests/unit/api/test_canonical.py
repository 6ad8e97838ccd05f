"""The canonical form: what Go would make of an object, and what it says of one that does not fit.

tests/unit/wire/codecs/test_laws.py has the laws over all kinds.
"""

from typing import Any

import pytest

from pybernetes.api import schema
from pybernetes.api.canonical import canonicalize
from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import GroupVersionKind


def of(kind: str, obj: dict[str, Any], group: str = "", version: str = "v1") -> dict[str, Any]:
    name = schema.type_name(GroupVersionKind(group, version, kind))
    assert name
    return canonicalize(obj, name).object


def pod(spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = of("Pod", {"spec": spec})["spec"]
    return found


def test_nulls_and_empty_values_go_and_structs_by_value_stay() -> None:
    assert of("Pod", {"metadata": {"labels": {}, "annotations": None, "name": ""}, "status": None}) == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {},
        "spec": {"containers": []},
        "status": {},
    }


def test_a_zero_behind_a_pointer_stays() -> None:
    spec = pod({"priority": 0, "hostNetwork": False, "enableServiceLinks": False, "containers": []})
    assert spec == {"containers": [], "enableServiceLinks": False, "priority": 0}


def test_quantities_and_times_are_written_one_way() -> None:
    resources = pod({"containers": [{"resources": {"limits": {"memory": "1024Mi", "cpu": 1}}}]})["containers"][0]
    assert resources == {"name": "", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    meta = of("ConfigMap", {"metadata": {"creationTimestamp": "2026-02-21T01:00:00.5+02:00"}})["metadata"]
    assert meta == {"creationTimestamp": "2026-02-20T23:00:00Z"}
    lease = of("Lease", {"spec": {"renewTime": "2026-02-21T01:00:00.123456+02:00"}}, "coordination.k8s.io")
    assert lease["spec"] == {"renewTime": "2026-02-20T23:00:00.123456Z"}


def test_an_unset_time_that_is_no_pointer_is_null_but_creation_is_left_out() -> None:
    conditions = of("Pod", {"status": {"conditions": [{"type": "Ready"}]}})["status"]["conditions"]
    assert conditions == [{"type": "Ready", "status": "", "lastProbeTime": None, "lastTransitionTime": None}]
    assert of("Pod", {"metadata": {"creationTimestamp": None}})["metadata"] == {}


def test_a_port_by_value_is_zero_where_absent() -> None:
    ports = of("Service", {"spec": {"ports": [{"port": 80}]}})["spec"]["ports"]
    assert ports == [{"port": 80, "targetPort": 0}]


def test_keys_stand_in_gos_order_and_those_of_maps_are_sorted() -> None:
    found = of("ConfigMap", {"data": {"b": "1", "a": None}, "metadata": {}, "apiVersion": "v1", "kind": "ConfigMap"})
    assert list(found) == ["kind", "apiVersion", "metadata", "data"]
    assert list(found["data"].items()) == [("a", ""), ("b", "1")]


def test_whole_numbers_of_a_double_have_no_fraction_and_raw_json_stays() -> None:
    props = {"maximum": 5.0, "default": {"b": 1.5, "a": None}, "additionalProperties": {"type": "string"}}
    crd = {"spec": {"versions": [{"schema": {"openAPIV3Schema": props}}]}}
    found = of("CustomResourceDefinition", crd, "apiextensions.k8s.io")["spec"]["versions"][0]["schema"]
    assert found == {"openAPIV3Schema": {**props, "maximum": 5}}
    assert isinstance(found["openAPIV3Schema"]["maximum"], int)


def test_unknown_fields_are_pruned_and_told_in_the_order_of_the_document() -> None:
    obj = {"zip": 1, "spec": {"containers": [{"name": "a"}, {"foo": 1, "env": [{"x": 1}]}], "bar": None}}
    found = canonicalize(obj, "io.k8s.api.core.v1.Pod")
    assert found.problems == (
        'unknown field "zip"',
        'unknown field "spec.containers[1].foo"',
        'unknown field "spec.containers[1].env[0].x"',
        'unknown field "spec.bar"',
    )
    assert "zip" not in found.object


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"containers": [{"image": 3}]},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
        ),
        (
            {"containers": {}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            {"priority": "high"},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"priority": 5.5},
            "json: cannot unmarshal number 5.5 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"priority": 2**31},
            "json: cannot unmarshal number 2147483648 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"nodeSelector": {"a": True}},
            "json: cannot unmarshal bool into Go struct field PodSpec.spec.nodeSelector of type string",
        ),
        (
            {"overhead": {"cpu": "x"}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ([], "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
    ],
)
def test_words_for_a_value_that_does_not_fit(spec: Any, words: str) -> None:
    with pytest.raises(BadRequest) as raised:
        pod(spec)
    assert raised.value.message == f'Pod in version "v1" cannot be handled as a Pod: {words}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("today", 'parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"'),
        ("2026-01-02", 'parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        ("2026-13-02T03:04:05Z", 'parsing time "2026-13-02T03:04:05Z": month out of range'),
        ("2026-02-31T03:04:05Z", 'parsing time "2026-02-31T03:04:05Z": day out of range'),
    ],
)
def test_words_for_what_is_no_time(text: str, words: str) -> None:
    with pytest.raises(BadRequest) as raised:
        of("Pod", {"metadata": {"creationTimestamp": text}})
    assert raised.value.message.endswith(words)


def test_the_given_object_is_not_changed() -> None:
    given = {"spec": {"containers": [{"name": "a", "x": 1}], "nodeSelector": {"b": "1", "a": "2"}}, "kind": "Pod"}
    before = str(given)
    pod(given["spec"])
    assert str(given) == before


def test_an_object_of_bottomless_depth_is_refused() -> None:
    props: dict[str, Any] = {}
    for _ in range(3000):
        props = {"not": props}
    with pytest.raises(BadRequest, match="exceeded max depth"):
        canonicalize(props, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
