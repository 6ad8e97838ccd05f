"""Selectors: what they match, how they print, and the words for those that are none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api import selectors
from pybernetes.api.selectors import EVERYTHING, NOTHING, Requirement, Selector
from pybernetes.api.types import meta_v1

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}


@pytest.mark.parametrize(
    "text",
    [
        *("", "app=web", "app==web", "app!=db", "app in (web, db)", "app notin (db)", "zone notin (a)", "app", "!zone"),
        *("n>4", "n<6", "empty=", "empty in ()", "app=web,tier=front", "in notin (x)", "zone!=a"),
    ],
)
def test_selects(text: str) -> None:
    assert selectors.parse(text).matches(LABELS)


@pytest.mark.parametrize(
    "text", ["app=db", "zone", "!app", "app in (db)", "app notin (web)", "n>5", "app>1", "zone=", "app=web,zone"]
)
def test_does_not_select(text: str) -> None:
    assert not selectors.parse(text).matches(LABELS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        (
            "a>b",
            "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value"
            " must be an integer",
        ),
    ],
)
def test_words_for_what_is_no_selector(text: str, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        selectors.parse(text)
    assert str(raised.value) == words


def test_a_bad_key_or_value_is_told_with_the_rule_for_it() -> None:
    with pytest.raises(ValueError, match=r'^unable to parse requirement: <nil>: Invalid value: "-a": name part must'):
        selectors.parse("-a=b")
    with pytest.raises(
        ValueError, match=r'^unable to parse requirement: values\[0\]\[a\]: Invalid value: "-": a valid'
    ):
        selectors.parse("a=-")


def test_label_selectors_of_structs_and_dicts_mean_the_same() -> None:
    of_dict = {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}
    of_struct = meta_v1.LabelSelector(
        matchLabels={"app": "web"},
        matchExpressions=(meta_v1.LabelSelectorRequirement(key="zone", operator="DoesNotExist"),),
    )
    assert selectors.of_label_selector(of_dict) == selectors.of_label_selector(of_struct)
    assert selectors.of_label_selector(of_dict).matches(LABELS)


def test_no_label_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert selectors.of_label_selector(None) is NOTHING
    assert not NOTHING.matches(LABELS)
    assert not NOTHING.empty
    assert selectors.of_label_selector({}) == EVERYTHING
    assert EVERYTHING.empty


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(ValueError, match='"Is" is not a valid label selector operator'):
        selectors.of_label_selector({"matchExpressions": [{"key": "a", "operator": "Is"}]})


_WORDS = st.text("abc.", min_size=1, max_size=3).map(lambda t: f"x{t}x")
_TERMS = st.one_of(
    st.builds(Requirement, _WORDS, st.sampled_from(["=", "==", "!="]), st.tuples(_WORDS)),
    st.builds(
        Requirement,
        _WORDS,
        st.sampled_from(["in", "notin"]),
        st.lists(_WORDS | st.just(""), min_size=1, max_size=3, unique=True).map(lambda v: tuple(sorted(v))),
    ),
    st.builds(Requirement, _WORDS, st.sampled_from(["exists", "!"])),
    st.builds(Requirement, _WORDS, st.sampled_from(["gt", "lt"]), st.tuples(st.integers(0, 99).map(str))),
)


@given(st.lists(_TERMS, max_size=3))
@settings(max_examples=60)
def test_a_printed_selector_parses_to_itself(terms: list[Requirement]) -> None:
    selector = Selector(tuple(sorted(terms, key=lambda r: r.key)))
    assert selectors.parse(str(selector)) == selector


def test_field_selectors_compare_with_the_empty_string_where_a_field_is_absent() -> None:
    selector = selectors.parse_fields("spec.nodeName=,metadata.name!=a,,")
    assert selector.matches({"metadata.name": "b"})
    assert not selector.matches({"metadata.name": "a"})
    assert selectors.parse_fields("metadata.name=x").exact("metadata.name") == "x"
    assert selectors.parse_fields("metadata.name!=x").exact("metadata.name") is None
    assert selectors.parse_fields("").empty


@given(st.text("ab\\,=", max_size=5))
@settings(max_examples=60)
def test_a_printed_field_term_parses_to_itself(value: str) -> None:
    selector = selectors.FieldSelector((selectors.FieldTerm("a.b", value),))
    assert selectors.parse_fields(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        ("a=\\b", "invalid field selector: invalid escape sequence: \\b"),
    ],
)
def test_words_for_what_is_no_field_selector(text: str, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        selectors.parse_fields(text)
    assert str(raised.value) == words
