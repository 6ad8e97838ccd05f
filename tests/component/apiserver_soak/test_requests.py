"""A few rounds of the API server's soak: random requests without a 5xx, and kill -9 without a lost write.

Processes of their own: the seed must also decide the order of sets, which PYTHONHASHSEED does at start-up.
"""

import subprocess
import sys
from pathlib import Path


def soak(*words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "tools.soak.api", *words],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_no_request_is_answered_with_a_fault_and_watches_tell_what_lists_say() -> None:
    assert "4 of 4 rounds (seeds 0 to 3), no fault: " in soak("--rounds", "4", "--without-kills")


def test_what_was_acknowledged_survives_kill() -> None:
    assert "2 kills, " in soak("--rounds", "1", "--seed", "7")
