"""One round of the kubelet's soak: Pods come and go, the kubelet is killed, nothing stays on the node."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench._containerd import missing


@pytest.mark.root
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_churn_leaves_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tools.soak.kubelet", "--rounds", "1", "--seed", "3", "--pods", "8"],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=115, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
