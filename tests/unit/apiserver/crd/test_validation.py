"""What is said of custom objects that do not fit their schema."""

from typing import Any

import pytest

from pybernetes.apiserver.crd.structural import Structural
from pybernetes.apiserver.crd.validation import Validator

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def said(x: Any, value: Any, *old: Any) -> list[str]:
    """Faults of an object whose spec.x is `value`, by the schema of x."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": x}}}}
    objects = [{"spec": {"x": one}} for one in (value, *old)]
    return [str(fault) for fault in Validator(Structural(schema)).faults(*objects)]


CASES: list[tuple[Any, Any, list[str]]] = [
    (INTEGER, "string", ['spec.x: Invalid value: "string": spec.x in body must be of type integer: "string"']),
    (INTEGER, 1.5, ['spec.x: Invalid value: "number": spec.x in body must be of type integer: "number"']),
    (INTEGER, 2**60, []),
    (INTEGER, 1e19, ['spec.x: Invalid value: "number": spec.x in body must be of type integer: "number"']),
    ({"type": "number"}, 3, []),
    (STRING, None, ['spec.x: Invalid value: "null": spec.x in body must be of type string: "null"']),
    ({**STRING, "nullable": True}, None, []),
    (
        {"type": "boolean"},
        "true",
        ['spec.x: Invalid value: "string": spec.x in body must be of type boolean: "string"'],
    ),
    ({"type": "object"}, [], ['spec.x: Invalid value: "array": spec.x in body must be of type object: "array"']),
    (
        {"x-kubernetes-int-or-string": True},
        True,
        ['spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean"'],
    ),
    ({"x-kubernetes-int-or-string": True}, "50%", []),
    (
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        1,
        [],
    ),
    ({**STRING, "enum": ["a", "b"]}, "x", ['spec.x: Unsupported value: "x": supported values: "a", "b"']),
    ({**INTEGER, "enum": [1, 2]}, 3, ['spec.x: Unsupported value: 3: supported values: "1", "2"']),
    ({**INTEGER, "minimum": 1}, 0, ["spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1"]),
    (
        {**INTEGER, "minimum": 1, "exclusiveMinimum": True},
        1,
        ["spec.x: Invalid value: 1: spec.x in body should be greater than 1"],
    ),
    ({**INTEGER, "maximum": 5}, 6, ["spec.x: Invalid value: 6: spec.x in body should be less than or equal to 5"]),
    (
        {"type": "number", "maximum": 0.5},
        0.75,
        ["spec.x: Invalid value: 0.75: spec.x in body should be less than or equal to 0.5"],
    ),
    ({**INTEGER, "multipleOf": 2}, 3, ["spec.x: Invalid value: 3: spec.x in body should be a multiple of 2"]),
    ({**STRING, "pattern": "^a+$"}, "b", ["spec.x: Invalid value: \"b\": spec.x in body should match '^a+$'"]),
    ({**STRING, "pattern": "^a+$"}, "a\n", ["spec.x: Invalid value: \"a\\n\": spec.x in body should match '^a+$'"]),
    ({**STRING, "maxLength": 5}, "abcdef", ["spec.x: Too long: may not be more than 5 bytes"]),
    ({**STRING, "minLength": 2}, "a", ['spec.x: Invalid value: "a": spec.x in body should be at least 2 chars long']),
    (
        {"type": "array", "items": INTEGER, "maxItems": 1},
        [1, 2],
        ["spec.x: Too many: 2: must have at most 1 item"],
    ),
    (
        {"type": "array", "items": INTEGER, "minItems": 3},
        [1],
        ["spec.x: Invalid value: 1: spec.x in body should have at least 3 items"],
    ),
    (
        {"type": "array", "items": INTEGER},
        [1, "a"],
        ['spec.x[1]: Invalid value: "string": spec.x[1] in body must be of type integer: "string"'],
    ),
    (
        {"type": "object", "additionalProperties": INTEGER, "minProperties": 2},
        {"a": 1},
        ["spec.x: Invalid value: 2: spec.x in body should have at least 2 properties"],
    ),
    (
        {"type": "object", "additionalProperties": INTEGER, "maxProperties": 1},
        {"a": 1, "b": 2},
        ["spec.x: Too many: 2: must have at most 1 item"],
    ),
    (
        {"type": "object", "additionalProperties": INTEGER},
        {"a": "b"},
        ['spec.x.a: Invalid value: "string": spec.x.a in body must be of type integer: "string"'],
    ),
    ({"type": "object", "required": ["y", "z"]}, {"z": 1}, ["spec.x.y: Required value"]),
    ({**STRING, "format": "ipv4"}, "a", ['spec.x: Invalid value: "a": spec.x in body must be of type ipv4: "a"']),
    (
        {**STRING, "format": "date-time"},
        "a",
        ['spec.x: Invalid value: "a": spec.x in body must be of type date-time: "a"'],
    ),
    ({**STRING, "format": "nonsense"}, "a", []),
    (
        {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        ["a", "b", "a"],
        ['spec.x[2]: Duplicate value: "a"'],
    ),
    (
        {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {}},
        [{"k": 1, "v": 1}, {"k": 1}],
        ['spec.x[1]: Duplicate value: {"k":1}'],
    ),
    (
        {**INTEGER, "anyOf": [{"minimum": 5}, {"multipleOf": 7}]},
        3,
        [
            '<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)',
            "spec.x: Invalid value: 3: spec.x in body should be greater than or equal to 5",
        ],
    ),
    (
        {**INTEGER, "oneOf": [{"minimum": 1}, {"minimum": 2}]},
        3,
        [
            '<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf).'
            " Found 2 valid alternatives"
        ],
    ),
    (
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {},
        [
            '<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found none valid',
            "spec.x.a: Required value",
        ],
    ),
    (
        {**INTEGER, "allOf": [{"minimum": 5}, {"maximum": 9}]},
        3,
        [
            "spec.x: Invalid value: 3: spec.x in body should be greater than or equal to 5",
            '<nil>: Invalid value: "": "spec.x" must validate all the schemas (allOf)',
        ],
    ),
    (
        {**INTEGER, "not": {"minimum": 1}},
        3,
        ['<nil>: Invalid value: "": "spec.x" must not validate the schema (not)'],
    ),
    (
        {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        {"kind": "b-", "metadata": {"labels": {"-": "x"}}},
        ["spec.x.apiVersion: Required value"],
    ),
]


@pytest.mark.parametrize(("schema", "value", "wanted"), CASES)
def test_what_does_not_fit_is_said_in_upstreams_words(schema: Any, value: Any, wanted: list[str]) -> None:
    found = said(schema, value)
    assert found[: len(wanted)] == wanted
    assert bool(found) == bool(wanted)


def test_an_embedded_object_is_judged_as_any_other() -> None:
    schema = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    found = said(schema, {"apiVersion": "a/b/c", "kind": "Foo!", "metadata": {"name": "x/y", "labels": {"-": "v"}}})
    fields = {fault.partition(": ")[0] for fault in found}
    assert fields == {"spec.x.apiVersion", "spec.x.kind", "spec.x.metadata.name", "spec.x.metadata.labels"}


OLD_BAD = {"a": "too long", "b": "ok"}
SHORT = {"type": "object", "properties": {"a": {**STRING, "maxLength": 3}, "b": {**STRING, "maxLength": 3}}}
KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "properties": {"k": STRING, "v": {**INTEGER, "maximum": 5}}},
}


def test_what_has_not_changed_is_not_judged_again() -> None:
    assert said(SHORT, {**OLD_BAD, "b": "new"}, OLD_BAD) == []
    assert said(SHORT, {**OLD_BAD, "b": "longer"}, OLD_BAD) == ["spec.x.b: Too long: may not be more than 3 bytes"]
    assert said(SHORT, {**OLD_BAD, "a": "even longer"}, OLD_BAD) == ["spec.x.a: Too long: may not be more than 3 bytes"]


def test_items_of_a_map_are_known_by_their_key() -> None:
    old = [{"k": "a", "v": 9}, {"k": "b", "v": 1}]
    assert said(KEYED, [{"k": "c", "v": 1}, {"k": "a", "v": 9}], old) == []
    wanted = ["spec.x[0].v: Invalid value: 9: spec.x[0].v in body should be less than or equal to 5"]
    assert said(KEYED, [{"k": "d", "v": 9}], old) == wanted
    atomic = {"type": "array", "items": {**INTEGER, "maximum": 5}}
    assert said(atomic, [9, 1], [9]) == [
        "spec.x[0]: Invalid value: 9: spec.x[0] in body should be less than or equal to 5"
    ]
    assert said(atomic, [9], [9]) == []


def test_duplicates_that_were_stored_may_stay() -> None:
    schema = {"type": "array", "x-kubernetes-list-type": "set", "items": STRING}
    assert said(schema, ["a", "a", "b"], ["a", "a"]) == []
