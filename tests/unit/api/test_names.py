"""Names: what is allowed, and the words for what is not."""

import itertools

import pytest

from pybernetes.api import names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns1123_label, "a-1", "A"),
        (names.dns1123_label, "1", "-a"),
        (names.dns1123_label, "a" * 63, "a" * 64),
        (names.dns1123_subdomain, "a.b-c.d", "a..b"),
        (names.dns1035_label, "a-1", "1-a"),
        (names.wildcard_dns1123_subdomain, "*.example.com", "example.com"),
        (names.qualified_name, "example.com/My_name", "/name"),
        (names.qualified_name, "name", "a/b/c"),
        (names.label_value, "", "-"),
        (names.env_name, "MY.env-1", "1A"),
        (names.env_name, "A", ".."),
        (names.relaxed_env_name, "1 A", "A=B"),
        (names.config_key, "ca.crt", "a/b"),
        (names.config_key, ".hidden", "..hidden"),
        (names.port_name, "http-1", "80"),
        (names.port_name, "a" * 15, "a--b"),
        (names.path_segment, "system:node", "a/b"),
        (names.path_segment, "...", ".."),
        (names.percent, "25%", "25"),
        (names.c_identifier, "_A1", "1A"),
    ],
)
def test_good_names_have_no_fault_and_bad_ones_do(check: object, good: str, bad: str) -> None:
    assert callable(check)
    assert check(good) == []
    assert check(bad) != []


def test_words_are_those_that_clients_compare() -> None:
    assert names.dns1123_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
        " with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
        " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert names.label_value("a" * 64) == ["must be no more than 63 bytes"]
    assert names.qualified_name("A_/b")[0].startswith("prefix part a lowercase RFC 1123 subdomain")
    assert names.path_segment("..") == ["may not be '..'"]


def test_a_generated_name_is_its_base_and_five_letters_within_63() -> None:
    letters = itertools.cycle("bcdfg")
    assert names.generated("web-", lambda alphabet: next(letters)) == "web-bcdfg"
    assert len(names.generated("x" * 100, lambda alphabet: alphabet[0])) == 63
