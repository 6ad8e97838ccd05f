"""kubectl config on a real file."""

from pathlib import Path

import pytest

from pybernetes.kubectl.main import run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config"


def kubectl(file: Path, *words: str) -> int:
    return run(["config", *words, f"--kubeconfig={file}"])


def test_a_file_is_made_step_by_step_and_read_back(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text("apiVersion: v1\nkind: Config\n")
    assert kubectl(file, "set-cluster", "lab", "--server=https://127.0.0.1:6443") == 0
    assert kubectl(file, "set-credentials", "alice", "--token=secret") == 0
    assert kubectl(file, "set-context", "lab", "--cluster=lab", "--user=alice", "--namespace=team") == 0
    assert kubectl(file, "use-context", "lab") == 0
    capsys.readouterr()
    assert kubectl(file, "current-context") == 0
    assert capsys.readouterr().out == "lab\n"
    assert kubectl(file, "get-contexts") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["*", "lab", "lab", "alice", "team"]
    assert kubectl(file, "view") == 0
    shown = capsys.readouterr().out
    assert "token: REDACTED" in shown
    assert "secret" not in shown


def test_an_unknown_context_is_refused_and_nothing_written(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text("apiVersion: v1\nkind: Config\n")
    before = file.read_text()
    assert kubectl(file, "use-context", "nowhere") == 1
    assert capsys.readouterr().err == 'error: no context exists with the name: "nowhere"\n'
    assert file.read_text() == before
