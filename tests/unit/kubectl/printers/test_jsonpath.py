"""kubectl's JSONPath templates."""

import pytest

from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.printers.jsonpath import find, render

PODS = {
    "items": [
        {
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        },
        {"metadata": {"name": "b"}, "status": {"conditions": [{"type": "Ready", "status": "False"}], "n": 3}},
    ]
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        (".items[0].metadata.name", "a"),
        ('{range .items[*]}{.metadata.name}{"\\n"}{end}', "a\nb\n"),
        ("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "x"),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "x"),
        ('{.items[0].status.conditions[?(@.type=="Ready")].status}', "True"),
        ("{..name}", "a b"),
        ("{.items[1].status.n}", "3"),
        ("{.items[0].metadata.labels}", '{"app.kubernetes.io/name":"x"}'),
        ("{.nothing}", ""),
        ("name={.items[0].metadata.name};", "name=a;"),
    ],
)
def test_templates(template: str, text: str):
    assert render(template, PODS) == text


def test_missing_values_may_be_named():
    assert render("{.nothing}", PODS, missing="<none>") == "<none>"


def test_find_gives_values():
    assert find(".items[*].metadata.name", PODS) == ["a", "b"]


@pytest.mark.parametrize("template", ["{.items[", "{.a b}", "{range .items[*]}{.x}"])
def test_a_broken_template_is_refused(template: str):
    with pytest.raises(Refused, match="jsonpath"):
        render(template, PODS)
