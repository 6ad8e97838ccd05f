"""Lines of descriptions: aligned as Go's tabwriter does, words and dates as kubectl writes them."""

import pytest

from pybernetes.kubectl.printers.describe.blocks import aligned, annotations, general, moment, selector


def test_a_column_is_as_wide_as_its_widest_cell_among_neighbours():
    lines = ["Name:\tx", "Namespace:\tdefault", "Data", "a:\tb\tc", "longer:\td", "e:\tffff\tg"]
    assert aligned(lines) == [
        "Name:       x",
        "Namespace:  default",
        "Data",
        "a:       b  c",
        "longer:  d",
        "e:       ffff  g",
    ]


def test_a_cell_with_line_breaks_is_several_lines():
    assert aligned(["a:\tb\nc\td"]) == ["a:  b", "c   d"]


def test_long_annotations_stand_below_their_names():
    obj = {
        "metadata": {
            "annotations": {"short": "x", "long": "y" * 150, "kubectl.kubernetes.io/last-applied-configuration": "{}"}
        }
    }
    assert annotations(obj) == ["Annotations:\tlong:", f"\t  {'y' * 138}...", "\tshort: x"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"app": "web"}, "app=web"),
        ({"matchLabels": {"b": "1", "a": "2"}}, "a=2,b=1"),
        ({"matchExpressions": [{"key": "t", "operator": "In", "values": ["y", "x"]}]}, "t in (x,y)"),
        ({"matchExpressions": [{"key": "t", "operator": "DoesNotExist"}]}, "!t"),
        (None, ""),
    ],
)
def test_selectors_stand_in_a_line(given: dict[str, object] | None, shown: str):
    assert selector(given) == shown


def test_fields_of_unknown_kinds_are_words():
    obj = {
        "kind": "Bakery",
        "apiVersion": "x/v1",
        "metadata": {"name": "a", "uid": "1"},
        "spec": {"ovenURL": "u", "c2": [1]},
    }
    lines = general(obj)
    assert lines[-5:] == ["  UID:\t1", "Spec:", "  c2:", "    1", "  Oven URL:\tu"]


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [
        ("2026-11-23T19:02:39Z", "Mon, 23 Nov 2026 19:02:39 +0000"),
        ("2026-11-23T19:02:39.123456Z", "Mon, 23 Nov 2026 19:02:39 +0000"),
        (None, "<unset>"),
    ],
)
def test_moments_are_written_as_kubectl_writes_them(stamp: str | None, shown: str):
    assert moment(stamp) == shown
