"""The committed binaries are what their sources build to."""

import shutil
import subprocess
from pathlib import Path

import pytest

import pybernetes

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = Path(pybernetes.__file__).parent
DEBIAN_GCC = "12.2.0"


def _gcc_version() -> str:
    if shutil.which("gcc") is None or shutil.which("make") is None:
        return ""
    return subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(_gcc_version() != DEBIAN_GCC, reason=f"needs make and gcc {DEBIAN_GCC} (Debian 12)")
def test_committed_binaries_are_built_from_their_sources(tmp_path: Path) -> None:
    for program in ("localcluster/native/pause", "network/native/cni"):
        (tmp_path / program).parent.mkdir(parents=True)
    subprocess.run(["make", "-s", "-C", str(ROOT / "native"), f"PACKAGE={tmp_path}"], check=True, timeout=60)
    for program in ("localcluster/native/pause", "network/native/cni"):
        assert (tmp_path / program).read_bytes() == (PACKAGE / program).read_bytes(), program
