"""The generated files are those that the facts make."""

from pathlib import Path

import pytest

pytest.importorskip("kubernetes_validate", reason="the generator reads kubernetes-validate")


def test_generated_files_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.syspath_prepend(str(root))
    from tools.gen import output

    assert list(output.stale(root)) == []
