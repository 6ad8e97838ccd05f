"""Go's %q."""

import pytest

from pybernetes.rules.goquote import quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [("é", '"é"'), ("a\x01b", '"a\\x01b"'), ("\u200b", '"\\u200b"'), ("\r\v\\", '"\\r\\v\\\\"'), ('"', '"\\""'),
     ("\U000e0001", '"\\U000e0001"')],
)  # fmt: skip
def test_what_cannot_be_printed_is_escaped(text: str, shown: str) -> None:
    assert quoted(text) == shown
