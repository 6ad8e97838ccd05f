"""A seed repeats a run bit for bit: every key, revision and byte, in one process and in others."""

import os
import subprocess
import sys

import pytest
from tests.component.testing.story import digest, log


@pytest.fixture(scope="module")
def seventh() -> list[str]:
    return log(7)


def test_a_seed_repeats_a_run_in_one_process(seventh):
    again = log(7)
    different = [pair for pair in zip(seventh, again, strict=False) if pair[0] != pair[1]]
    assert different[:1] == []
    assert len(seventh) == len(again)


def test_another_seed_is_another_run(seventh):
    other = log(8)
    assert digest(other) != digest(seventh)
    assert names(other) != names(seventh)


def names(lines: list[str]) -> set[str]:
    return {line.split()[2] for line in lines if " /registry/pods/" in line}


@pytest.mark.parametrize("hashed", ["0", "1", "4711"])
def test_a_seed_repeats_a_run_in_another_process(seventh, hashed):
    """Sets of strings have another order there, and objects other addresses."""
    asked = [sys.executable, "-m", "tests.component.testing.story", "7"]
    found = subprocess.run(
        asked, env={**os.environ, "PYTHONHASHSEED": hashed}, check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == digest(seventh)


def test_the_story_touches_what_could_differ(seventh):
    told = "\n".join(seventh)
    for what in (
        "/ipaddresses/",
        "/pods/lab/loose-",
        "/shops/lab/corner",
        "BEGIN CERTIFICATE",
        '"certificate":"',
        '"nodePort":',
    ):
        assert what in told
    assert len(seventh) > 1500
