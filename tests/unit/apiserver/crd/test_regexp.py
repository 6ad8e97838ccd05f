"""Patterns as Go reads them, in time that does not explode."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.apiserver.crd import linear, regexp


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^a$", "a", "a\n"),
        ("b", "abc", "ac"),
        (r"^[[:alpha:]]+$", "ab", "1"),
        (r"^\d+$", "1", "\u0661"),
        (r"^\pL+$", "\u00e9", "1"),
        (r"^[\p{Lu}_]+$", "A_", "a"),
        (r"^\PL+$", "1", "a"),
        ("^[]a]+$", "]", "b"),
        ("^[^]]$", "a", "]"),
        ("(?i)^abc$", "ABC", "x"),
        ("^(?i)abc$", "abc", "x"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        (r"^a\z", "a", "a\n"),
        (r"^\x{41}$", "A", "B"),
        ("^(?P<n>a)$", "a", "b"),
        ("^(?<n>a)$", "a", "b"),
        (r"^[[:^alpha:]]+$", "1\u00e9", "a"),
        ("^a{,2}$", "a{,2}", "aa"),
        ("^{[{}]$", "{}", "{"),
        ("^a{2}?b??$", "aab", "ab"),
    ],
)
def test_patterns_mean_what_they_mean_in_go(pattern: str, good: str, bad: str) -> None:
    assert regexp.found(pattern, good)
    assert not regexp.found(pattern, bad)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?=a)", "(?!a)", "(?<=a)b", "[", "a**", "(", r"(a)\1", "[[:nope:]]", r"\p{Klingon}"),
        *("a{1001}", "a{3,2}", "a*+", "a{2}{3}", "a*?+", r"a\Z", r"\N{DIGIT ONE}"),
    ],
)
def test_what_go_would_not_compile_is_refused(pattern: str) -> None:
    with pytest.raises(regexp.BadPattern):
        regexp.compiled(pattern)


HOSTILE = [
    (r"^(a+)+$", "a" * 5000 + "!"),
    (r"^(a|aa)+$", "a" * 5000 + "!"),
    (r"^([a-zA-Z0-9]+\.?)+$", "a" * 5000 + "!"),
    (r"^(.*a){20}$", "a" * 500 + "b"),
    (r".*x.*y.*z", "x" * 3000 + "y" * 3000),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 5000),
]


@pytest.mark.parametrize(("pattern", "text"), HOSTILE)
@pytest.mark.timeout(20)
def test_no_text_holds_up_the_server(pattern: str, text: str) -> None:
    assert not regexp.found(pattern, text)


_ATOMS = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", ".", r"\d", r"\w", "(?:ab)", "(?i:B)", "(?:a{2})", "(?:b{1,3})", "(a|bc)"]
)
_REPEATED = st.builds(lambda atom, mark: atom + mark, _ATOMS, st.sampled_from(["", "*", "+", "?", "*?"]))
PATTERNS = st.recursive(
    _REPEATED,
    lambda inner: (
        st.builds("{}{}".format, inner, inner)
        | st.builds("({}|{})".format, inner, inner)
        | st.builds("({})*".format, inner)
    ),
    max_leaves=5,
)
_ANCHORED = st.builds(lambda a, p, z: a + p + z, st.sampled_from(["", "^"]), PATTERNS, st.sampled_from(["", "$"]))


@given(_ANCHORED, st.text("abcB1\n", max_size=9))
@settings(max_examples=150)
def test_the_automaton_finds_what_re_finds(pattern: str, text: str) -> None:
    made = regexp.compiled(pattern)
    assert linear.Automaton(made).search(text) == (made.search(text) is not None)


def test_common_patterns_are_left_to_re() -> None:
    assert linear.loops(re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")) == (1, False)
    assert linear.loops(re.compile(r"^(\d+|\*)$")) == (1, False)
    assert linear.loops(re.compile(r"^(a+)+$")) == (2, True)
