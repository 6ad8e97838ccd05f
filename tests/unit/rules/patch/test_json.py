"""JSON Patch: RFC 6902's own examples, and the strictness that upstream has."""

from typing import Any

import pytest

from pybernetes.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from pybernetes.rules.patch.json import apply


@pytest.mark.parametrize(
    ("document", "patch", "wanted"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": [2]}], {"a": [1, [2]]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/m~0n"}], {}),
        ({"~1": 1}, [{"op": "test", "path": "/~01", "value": 1}], {"~1": 1}),
        ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": 1}, [{"op": "test", "path": "", "value": {"a": 1.0}}], {"a": 1}),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}),
        ({"a": 1}, [], {"a": 1}),
    ],
)
def test_a_patch_that_fits_is_applied(document: Any, patch: Any, wanted: Any) -> None:
    assert apply(document, patch) == wanted


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "remove", "path": "/scalar/x"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/missing/child", "value": 1},
        {"op": "add", "path": "/list/4", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "/list/+1", "value": 1},
        {"op": "remove", "path": "/list/-"},
        {"op": "replace", "path": "/list/1e0", "value": 1},
        {"op": "add", "path": "/scalar/x", "value": 1},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "add", "path": "/a~2b", "value": 1},
        {"op": "add", "path": "/a~", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "add", "value": 1},
        {"op": "move", "path": "/object/child", "from": "/object"},
        {"op": "move", "path": "/x", "from": "/missing"},
        {"op": "copy", "path": "/x"},
        {"op": "test", "path": "/scalar", "value": True},
        {"op": "test", "path": "/missing", "value": None},
        {"op": "spell", "path": "/x"},
        {"path": "/x"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "", "value": []},
    ],
)
def test_a_patch_that_does_not_fit_is_invalid(operation: Any) -> None:
    document = {"list": [1, 2], "scalar": 1, "object": {}}
    with pytest.raises(Invalid, match="the server rejected our request due to an error in our request") as refused:
        apply(document, [{"op": "add", "path": "/list/-", "value": 3}, operation])
    assert refused.value.details == {}  # clients tell a failed test by this
    assert refused.value.__notes__
    assert document == {"list": [1, 2], "scalar": 1, "object": {}}


@pytest.mark.parametrize("body", [{}, None, "x", ["x"]])
def test_what_is_no_patch_is_a_bad_request(body: Any) -> None:
    with pytest.raises(BadRequest, match="error decoding patch"):
        apply({}, body)


def test_too_many_operations_and_doubling_copies_are_refused() -> None:
    with pytest.raises(RequestEntityTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        apply({}, [{"op": "test", "path": "", "value": {}}] * 10_001)
    doubling = [{"op": "copy", "from": "", "path": f"/{n}"} for n in range(40)]
    with pytest.raises(RequestEntityTooLarge):
        apply({"a": "x" * 100}, doubling)


def test_copies_are_independent() -> None:
    patch = [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/x", "value": 1}]
    assert apply({"a": {}}, patch) == {"a": {}, "b": {"x": 1}}
