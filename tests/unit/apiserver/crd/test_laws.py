"""Laws of structural schemas: any JSON against any schema ends in an answer, and what is shaped stays as it is."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api.errors import BadRequest
from pybernetes.apiserver.crd import rules
from pybernetes.apiserver.crd.serving import Version
from pybernetes.apiserver.crd.shaping import Shaper, Unreadable, unknown_fields
from pybernetes.apiserver.crd.structural import Structural
from pybernetes.apiserver.crd.validation import Validator

_NAMES = st.sampled_from(["a", "b", "c", "spec", "kind", "apiVersion", "metadata", "name"])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4), max_leaves=12
)
_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "nullable": st.booleans(),
        "enum": st.lists(_SCALARS, min_size=1, max_size=3),
        "minimum": st.integers(-5, 5),
        "maximum": st.integers(-5, 5) | st.floats(-5, 5),
        "exclusiveMinimum": st.booleans(),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "pattern": st.sampled_from(["^a", "[0-9]+$", "(", "^$"]),
        "format": st.sampled_from(["ipv4", "date-time", "int32", "byte", "k8s-short-name"]),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "minProperties": st.integers(0, 2),
        "maxProperties": st.integers(0, 2),
        "required": st.lists(_NAMES, max_size=2),
    },
)
_TYPED = st.sampled_from(
    [
        *[{"type": kind} for kind in ("string", "integer", "number", "boolean", "array", "object")],
        *[{"x-kubernetes-int-or-string": True}, {"x-kubernetes-preserve-unknown-fields": True}, {}],
        *[{"type": "object", "x-kubernetes-preserve-unknown-fields": True}],
        *[{"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}],
        *[{"type": "array", "x-kubernetes-list-type": "set"}, {"type": "object", "additionalProperties": True}],
        *[{"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}],
        *[{"type": "object", "additionalProperties": False}],
    ]
)


def _level(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    below = st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(_NAMES, inner, max_size=4),
            "items": inner,
            "additionalProperties": inner,
            "default": JSON.filter(lambda value: value is not None),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    )
    return st.builds(lambda typed, limits, more: {**typed, **limits, **more}, _TYPED, _LIMITS, below)


SCHEMAS = st.recursive(st.builds(lambda a, b: {**a, **b}, _TYPED, _LIMITS), _level, max_leaves=6)


@given(SCHEMAS, JSON)
@settings(max_examples=120)
def test_the_quick_check_and_the_words_agree(schema: dict[str, Any], value: Any) -> None:
    shaped = _shaped(schema, value)
    validator = Validator(Structural(schema))
    quick, said = validator._check(shaped), _words(validator, shaped)
    assert quick == (not said), said


def _words(validator: Validator, value: Any) -> list[str]:
    validator_without = Validator(validator._schema)
    validator_without._check = lambda obj: False
    return [str(fault) for fault in validator_without.faults(value)]


def _shaped(schema: dict[str, Any], value: Any) -> Any:
    try:
        return Shaper().of(Structural(schema))(value, [])
    except Unreadable:
        return None


@given(SCHEMAS, JSON)
@settings(max_examples=120)
def test_shaping_what_is_shaped_changes_nothing(schema: dict[str, Any], value: Any) -> None:
    once = _shaped(schema, value)
    assert orjson.dumps(_shaped(schema, once)) == orjson.dumps(once)
    strange: list[bool] = []
    if once is not None or value is None:
        Shaper().of(Structural(schema))(once, strange)
        assert not strange


@given(SCHEMAS, JSON)
@settings(max_examples=100)
def test_unknown_fields_are_named_when_there_are_any(schema: dict[str, Any], value: Any) -> None:
    strange: list[bool] = []
    try:
        Shaper().of(Structural(schema))(value, strange)
    except Unreadable:
        return
    assert bool(strange) == bool(unknown_fields(value, Structural(schema)))


@given(SCHEMAS, JSON)
@settings(max_examples=80)
def test_what_is_stored_is_read_back_as_it_was_answered(schema: dict[str, Any], value: Any) -> None:
    # What is said of metadata at the root is refused when a definition is made.
    schema = {**schema, "properties": {k: v for k, v in schema.get("properties", {}).items() if k != "metadata"}}
    crd = {"spec": {"group": "example.com", "names": {"plural": "ws", "kind": "W"}}}
    version = Version(crd, {"name": "v1", "schema": {"openAPIV3Schema": schema}})
    try:
        answered = version.walk({"metadata": {"name": "x"}, "spec": value}).object
    except BadRequest:
        return
    version.faults(answered)
    read = version.walk(orjson.loads(orjson.dumps(answered))).object
    assert read == answered


@given(SCHEMAS)
@settings(max_examples=100)
def test_every_schema_is_judged(schema: dict[str, Any]) -> None:
    found = list(rules.schema_faults(schema, "schema", status=True, lenient=rules.Leniency()))
    assert all(str(fault).startswith("schema") for fault in found)
    rules.leniency([schema])
