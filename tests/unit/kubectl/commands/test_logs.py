"""The prefix of --prefix, over chunks that end anywhere."""

import pytest

from pybernetes.kubectl.commands.logs import _write


def test_each_line_has_the_prefix_and_a_carriage_return_ends_none(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    at_start = True
    for chunk in (b"one\n10%\r20%", b"\r30%\nend\r\n", b"last"):
        at_start = _write(chunk, b"[p] ", at_start)
    assert not at_start
    assert capfdbinary.readouterr().out == b"[p] one\n[p] 10%\r20%\r30%\n[p] end\r\n[p] last"
