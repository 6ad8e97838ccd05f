"""Quantities: canonical texts as apimachinery writes them, and arithmetic that is exact."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api import quantity
from pybernetes.api.quantity import BINARY, DECIMAL, EXPONENT, Quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1Gi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("1e3", "1e3"),
        ("1E", "1E"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("0.1Ki", "102400m"),
        ("0.5u", "500n"),
        ("0.00000000001", "1n"),
        ("-1.5", "-1500m"),
        ("-0", "0"),
        (".5", "500m"),
        ("5.", "5"),
        ("+1", "1"),
        ("12E", "9223372036854775807"),
        ("1e999999999", "9223372036854775807"),
        ("2048", "2048"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "abc", "1 ", "1..2", "1m-x"])
def test_what_is_no_quantity_says_the_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.parse(text)


def test_a_long_text_that_is_none_is_refused_without_trying_every_way_to_read_it() -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantity.parse("9" * 200_000 + "x")  # tried in all ways it would take years


@pytest.mark.parametrize("text", ["1K", "1Gu", "1e", "--1"])
def test_an_unknown_suffix_is_named_as_such(text: str) -> None:
    with pytest.raises(ValueError, match="unable to parse quantity's suffix"):
        quantity.parse(text)


def test_whole_and_milli_values_round_away_from_zero() -> None:
    assert quantity.parse("100m").value() == 1
    assert quantity.parse("-100m").value() == -1
    assert quantity.parse("1500u").milli_value() == 2
    assert quantity.parse("128Mi").value() == 128 * 2**20


def test_a_sum_keeps_the_form_of_the_left_unless_that_is_zero() -> None:
    assert str(quantity.parse("1Gi") + quantity.parse("512Mi")) == "1536Mi"
    assert str(Quantity() + quantity.parse("1Gi")) == "1Gi"
    assert str(quantity.parse("2") - quantity.parse("500m")) == "1500m"
    assert quantity.parse("1") == quantity.parse("1000m")
    assert quantity.parse("1") < quantity.parse("1Ki")


_QUANTITIES = st.builds(Quantity, st.integers(-(10**24), 10**24), st.sampled_from([DECIMAL, BINARY, EXPONENT]))


@given(_QUANTITIES)
@settings(max_examples=100)
def test_canonical_text_is_its_own_canonical_text(value: Quantity) -> None:
    text = str(value)
    assert quantity.canonical(text) == text


@given(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
@settings(max_examples=50)
def test_sums_of_texts_are_exact(left: int, right: int) -> None:
    total = quantity.parse(str(quantity.of_milli(left))) + quantity.parse(str(quantity.of_milli(right)))
    assert total == quantity.of_milli(left + right)
