"""The examples of tests and the tutorial, as a reader runs them: a new environment, pybernetes installed from this folder."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.examples import pages

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TUTORIAL = ROOT / "docs" / "tutorial" / "cluster-in-a-test.md"
SUITES = sorted({path.parent for path in EXAMPLES.glob("*/test_*.py")})
NEEDED = ("pytest", "pytest-xdist", "kopf", "kubernetes-asyncio")


def run(*command: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of the new environment."""
    folder = tmp_path_factory.mktemp("environment")
    assert run(sys.executable, "-m", "venv", folder).returncode == 0
    found = folder / "bin" / "python"
    installed = run(found, "-m", "pip", "install", "-q", "--disable-pip-version-check", ROOT, *NEEDED)
    if "No matching distribution" in installed.stderr and "connection" in installed.stderr.lower():
        pytest.skip("no packages to be had here: the index does not answer")
    assert installed.returncode == 0, installed.stderr
    return found


@pytest.mark.timeout(400)
def test_every_suite_of_the_examples_passes(python: Path, tmp_path: Path) -> None:
    assert SUITES
    for suite in SUITES:
        shutil.copytree(suite, tmp_path / suite.name)
    for arguments in ((), ("-n", "2")):
        ended = run(python, "-m", "pytest", *arguments, folder=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.timeout(400)
def test_the_tutorial_is_true_word_by_word(python: Path, tmp_path: Path) -> None:
    (installing,) = pages.blocks(TUTORIAL, "sh")
    assert set(installing.partition("pip install")[2].split()) <= {"pybernetes", *NEEDED}
    try:
        assert pages.walk(TUTORIAL, tmp_path, python.parent) == 8
    finally:
        run(python.parent / "pybernetes", "down", "--name", "real", "--state-dir", "state", folder=tmp_path)
    assert not list(tmp_path.glob("state/*")), "nothing of the cluster is left"
