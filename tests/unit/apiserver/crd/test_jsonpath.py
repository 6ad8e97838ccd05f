"""JSONPath of printer columns."""

from typing import Any

import pytest

from pybernetes.apiserver.crd import jsonpath

OBJECT = {
    "metadata": {"annotations": {"example.com/a": "b"}},
    "spec": {"n": 3, "list": [{"a": 1}, {"a": 2}, {"a": 3}], "hosts": ["x", "y"]},
    "status": {"conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (".spec.n", [3]),
        (".spec.missing", []),
        (".spec.n.deeper", []),
        (".spec.hosts[0]", ["x"]),
        (".spec.hosts[-1]", ["y"]),
        (".spec.hosts[7]", []),
        (".spec.hosts[*]", ["x", "y"]),
        (".spec.list[0:2].a", [1, 2]),
        (".spec.list[0,2].a", [1, 3]),
        (".spec['n']", [3]),
        (r".metadata.annotations.example\.com/a", ["b"]),
        ('.metadata.annotations["example.com/a"]', ["b"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Ready')].status", ["True"]),
        (".spec.list[?(@.a>1)].a", [2, 3]),
        (".spec.list[?(@.a>'x')].a", []),
        (".spec.list[?(@.b)].a", []),
        ("..n", [3]),
        (".", [OBJECT]),
    ],
)
def test_find(path: str, wanted: list[Any]) -> None:
    assert list(jsonpath.parsed(path)(OBJECT)) == wanted


@pytest.mark.parametrize("path", [".a[", "a", ".a[?(b)]", ".a[?(@.b==)]", ".a[?(@.b==c)]"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unrecognized"):
        jsonpath.parsed(path)
