"""Pruning, nulls and defaults."""

from typing import Any

import pytest

from pybernetes.apiserver.crd.shaping import Shaper, unknown_fields
from pybernetes.apiserver.crd.structural import Structural

STRING = {"type": "string"}
OPEN = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


CASES: list[tuple[str, Any, Any, Any, list[str]]] = [
    ("unknown fields go", obj(a=STRING), {"a": "x", "b": 1, "c": {}}, {"a": "x"}, ["b", "c"]),
    ("below lists too", {"type": "array", "items": obj(a=STRING)}, [{"b": 1}, {"a": "x"}], [{}, {"a": "x"}], ["[0].b"]),
    ("maps keep their keys", {"type": "object", "additionalProperties": obj(a=STRING)}, {"k": {"b": 1}}, {"k": {}}, ["k.b"]),
    ("open maps keep scalars", {"type": "object", "additionalProperties": True}, {"k": 1, "l": {"m": 1}}, {"k": 1, "l": {}}, ["l.m"]),
    ("open objects keep all", {"type": "object", OPEN: True}, {"k": {"l": [1.0]}}, {"k": {"l": [1]}}, []),
    ("but for what is declared", {**obj(a=obj(b=STRING)), OPEN: True}, {"a": {"c": 1}, "d": {"e": 1}}, {"a": {}, "d": {"e": 1}}, ["a.c"]),
    ("nulls go where they may not be", obj(a=STRING), {"a": None}, {}, []),
    ("nulls stay where they may be", obj(a={**STRING, "nullable": True}), {"a": None}, {"a": None}, []),
    ("defaults take their place", obj(a={**STRING, "default": "x"}), {"a": None}, {"a": "x"}, []),
    ("but not that of a nullable", obj(a={**STRING, "nullable": True, "default": "x"}), {"a": None}, {"a": None}, []),
    ("defaults fill in", obj(b=obj(c={"type": "integer", "default": 0})), {"b": {}}, {"b": {"c": 0}}, []),
    ("defaults are defaulted", obj(a={**obj(b={**STRING, "default": "x"}), "default": {}}), {}, {"a": {"b": "x"}}, []),
    ("an absent parent has no defaults", obj(a=obj(b={**STRING, "default": "x"})), {}, {}, []),
    ("items have theirs", {"type": "array", "items": obj(a={**STRING, "default": "x"})}, [{}, {"a": "y"}], [{"a": "x"}, {"a": "y"}], []),
    ("whole floats are integers", {"type": "number"}, 2.0, 2, []),
    ("others are not", {"type": "number"}, 2.5, 2.5, []),
    ("nulls inside of open objects stay", {"type": "object", OPEN: True}, {"a": None}, {"a": None}, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "schema", "value", "wanted", "unknown"), CASES, ids=[case[0] for case in CASES])
def test_shape(name: str, schema: Any, value: Any, wanted: Any, unknown: list[str]) -> None:
    strange: list[bool] = []
    assert Shaper().of(Structural(schema))(value, strange) == wanted
    assert bool(strange) == bool(unknown)
    assert unknown_fields(value, Structural(schema)) == unknown


def test_an_embedded_object_keeps_type_and_metadata() -> None:
    schema = obj(template={**obj(spec=obj(a=STRING)), EMBEDDED: True})
    value = {
        "template": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "x", "labels": None, "nope": 1},
            "spec": {"a": "b", "c": 1},
            "other": 1,
        }
    }
    strange: list[bool] = []
    shaped = Shaper().of(Structural(schema))(value, strange)
    assert shaped == {"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": "b"}}}
    assert unknown_fields(value, Structural(schema)) == ["template.other", "template.spec.c", "template.metadata.nope"]
