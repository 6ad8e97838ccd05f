"""The types of CEL expressions: what is certain to fail, and no more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.rules.cel.checker import ANY, BOOL, INT, STRING, TIMESTAMP, Type, check, list_of, map_of, shown


def of(**fields: Type) -> Type:
    return Type("Thing", fields=fields.get)


THING = of(
    n=INT,
    s=STRING,
    t=TIMESTAMP,
    items=list_of(of(image=STRING)),
    labels=map_of(STRING, STRING),
    any=ANY,
    inner=of(flag=BOOL),
)


def faults(text: str) -> list[str]:
    return [f"{fault.at + 1}: {fault.why}" for fault in check(text, {"o": THING})[1]]


@pytest.mark.parametrize(
    "text",
    [
        "o.n > 1 && o.n < 2.5",
        "o.items.all(i, i.image.startsWith('a'))",
        "o.items.filter(i, i.image != '').map(i, i.image).exists(x, x == 'y')",
        "has(o.labels.a) && 'a' in o.labels && o.labels['a'] == 'b'",
        "o.any.foo[0].bar + 3 > 2 && o.any == null",
        "o.inner == null || !o.inner.flag",
        "o.t + duration('1h') > timestamp('2026-01-01T00:00:00Z')",
        "(o.t - o.t) < duration('1s')",
        "[1, 2] + [3] == [1, 2, 3]",
        "quantity(o.s).isGreaterThan(quantity('1Gi'))",
        "o.?labels.?a.orValue('x') == 'y'",
        "cel.bind(x, o.n, x + 1 > 2)",
        "[1, 2].exists(i, v, v > i)",
        "o.labels.all(k, v, k != v)",
        "type(o.n) == int",
        "size(o.items) == o.s.size()",
        "dyn(o.n) == 'text'",
        "-o.n + 1 > 0 ? 'a' : 'b'",
        "o.s.split(',')[0].lowerAscii() == 'x'",
    ],
)
def test_what_may_be_right_is_no_fault(text: str):
    assert faults(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("o.n > '1'", ["5: found no matching overload for '_>_' applied to '(int, string)'"]),
        ("o.s + 1", ["5: found no matching overload for '_+_' applied to '(string, int)'"]),
        ("o.x == 1 || o.y == 2", ["2: undefined field 'x'", "14: undefined field 'y'"]),
        ("o.items.all(i, i.img == '')", ["17: undefined field 'img'"]),
        ("o.n.x", ["4: type 'int' does not support field selection"]),
        ("p.n", ["1: undeclared reference to 'p' (in container '')"]),
        ("!o.n", ["1: found no matching overload for '!_' applied to '(int)'"]),
        ("o.n == null", ["5: found no matching overload for '_==_' applied to '(int, null)'"]),
        ("o.n ? 1 : 2", ["5: found no matching overload for '_?_:_' applied to '(int, int, int)'"]),
        ("o.labels[1] == 'a'", ["9: found no matching overload for '_[_]' applied to '(map(string, string), int)'"]),
        ("1 in o.labels", ["3: found no matching overload for '@in' applied to '(int, map(string, string))'"]),
        ("size(o.n)", ["5: found no matching overload for 'size' applied to '(int)'"]),
        ("o.s.startsWith(1)", ["15: found no matching overload for 'startsWith' applied to 'string.(int)'"]),
        (
            "o.n.all(x, x)",
            ["2: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"],
        ),
        ("o.items.all(i, i.image)", ["17: expected type 'bool' but found 'string'"]),
        ("o.n >", ["6: Syntax error: mismatched input '<EOF>' expecting an expression"]),
    ],
)
def test_what_cannot_be_right_is_told_with_its_place(text: str, found: list[str]):
    assert faults(text) == found


def test_faults_are_shown_as_cel_shows_them():
    text = "true &&\no.n > '1'"
    assert shown(text, check(text, {"o": THING})[1]) == (
        "ERROR: <input>:2:5: found no matching overload for '_>_' applied to '(int, string)'\n | o.n > '1'\n | ....^"
    )


@pytest.mark.parametrize(
    "text", ["(" * 5000, "a" + ".b" * 20000, "1" + " + 1" * 20000, "[" * 3000 + "]" * 3000, "-" * 9999]
)
def test_hostile_length_does_no_harm(text: str):
    check(text, {"a": ANY})


_NAMES = st.sampled_from(["o", "o.n", "o.s", "o.any", "o.items", "1", "'a'", "true", "null", "[1]", "{}"])
_TREES = st.recursive(
    _NAMES,
    lambda inner: st.builds(
        lambda a, sign, b: f"({a} {sign} {b})",
        inner,
        st.sampled_from(["+", "-", "*", "%", "<", "==", "in", "&&", "? 1 :", ".all(o,"]),
        inner,
    ),
    max_leaves=6,
)


@settings(max_examples=200)
@given(_TREES)
def test_a_fault_is_within_the_text_and_the_same_again(text: str):
    first = check(text, {"o": THING})
    assert first[1] == check(text, {"o": THING})[1]
    assert all(0 <= fault.at <= len(text) for fault in first[1])
    shown(text, first[1])
