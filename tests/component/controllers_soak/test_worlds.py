"""Some dozens of perturbed worlds of the controllers' soak: no rule is broken at any write, and all is well in the end.

A process of its own: the seed must also decide the order of sets, which PYTHONHASHSEED does at start-up.
"""

import subprocess
import sys
from pathlib import Path


def test_random_worlds_settle_and_repeat() -> None:
    command = [sys.executable, "-m", "tools.soak.controllers", "--rounds", "24", "--jobs", "2", "--twice-every", "6"]
    ended = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ", no fault: " in ended.stdout.splitlines()[24]
