"""Some perturbed worlds of the controllers' soak: no rule is broken at any write, and all is well in the end.

A process of its own: the seed must also decide the order of sets, which PYTHONHASHSEED does at start-up.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)


def soak(rounds: int, *options: str) -> str:
    """The last line of so many rounds."""
    command = [sys.executable, "-m", "tools.soak.controllers", "--rounds", str(rounds), "--jobs", "2", *options]
    ended = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[rounds]


def test_random_worlds_settle_and_repeat() -> None:
    assert ", no fault: " in soak(12, "--twice-every", "4")


def test_autoscalers_stay_within_their_bounds_whatever_happens() -> None:
    last = soak(2, "--seed", "1000", "--twice-every", "2", "--casts", "deployments,autoscalers")
    assert ", no fault: " in last
    assert " HorizontalPodAutoscalers" in last
