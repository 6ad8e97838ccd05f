"""JSON Merge Patch: RFC 7386's examples, and the three-way patch of apply."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.errors import Invalid
from pybernetes.rules.patch.merge import apply, three_way


@pytest.mark.parametrize(
    ("document", "patch", "wanted"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_says(document: Any, patch: Any, wanted: Any) -> None:
    before = repr(document)
    assert apply(document, patch) == wanted
    assert repr(document) == before


@pytest.mark.parametrize("patch", [[], None, "x", 1])
def test_a_patch_that_is_no_object_is_invalid(patch: Any) -> None:
    with pytest.raises(Invalid):
        apply({}, patch)


VALUES = st.recursive(
    st.sampled_from([0, 1, True, "x", [1]]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def contains(outer: Any, inner: Any) -> bool:
    if isinstance(outer, dict) and isinstance(inner, dict):
        return all(key in outer and contains(outer[key], value) for key, value in inner.items())
    return repr(outer) == repr(inner)


@given(original=OBJECTS, modified=OBJECTS, current=OBJECTS)
def test_apply_gives_what_is_wanted_drops_what_is_no_longer_and_settles(
    original: Any, modified: Any, current: Any
) -> None:
    result = apply(current, three_way(original, modified, current))
    assert contains(result, modified)
    assert not (set(original) - set(modified)) & set(result)
    assert set(current) - set(original) <= set(result)
    assert apply(result, three_way(modified, modified, result)) == result
