"""Env files: one strict form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.kubelet.env_file import parse_env_file


def test_declarations_comments_and_blank_lines() -> None:
    text = "# a comment\n\n  A='1'\nB = 'two words' \nM='line1\nline2'\nH='x # y'\n   # more\nE=''\nLAST='z'"
    assert parse_env_file(text) == {
        "A": "1",
        "B": "two words",
        "M": "line1\nline2",
        "H": "x # y",
        "E": "",
        "LAST": "z",
    }


@pytest.mark.parametrize("line", ["A=1", 'A="1"', "A='1''2'", "A='a'$B", "='1'", "A", "A='open", "A='1' # no"])
def test_every_other_form_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2 is not"):
        parse_env_file(f"OK='1'\n{line}\n")


_NAMES = st.from_regex(r"\A[A-Za-z_.][A-Za-z0-9_.-]{0,8}\Z")
_VALUES = st.text().filter(lambda value: "'" not in value and "\r" not in value)


@given(st.dictionaries(_NAMES, _VALUES))
def test_what_is_written_is_read(wanted: dict[str, str]) -> None:
    text = "".join(f"{name}='{value}'\n" for name, value in wanted.items())
    assert parse_env_file(text) == wanted
