"""The benchmarks' runner: finds every file, prints ratios, fails on names it does not know and never on time."""

import subprocess
import sys

from bench import Benchmark, Row
from bench.__main__ import table

from pybernetes.aio.discover import discover


def test_every_file_of_the_folder_is_a_benchmark():
    found = discover("bench", "BENCHMARK", Benchmark)
    assert {"canonical", "scheduler", "store"} <= found.keys()
    assert all(found[name].name == name for name in found)


def test_the_table_shows_the_ratio():
    text = table([Row("write", 30.0, 12.0), Row("read", 1.0, 0.0)])
    assert "2.50" in text
    assert "30.0 µs" in text
    assert "inf" in text


def test_an_unknown_name_is_one_clear_line():
    ended = subprocess.run([sys.executable, "-m", "bench", "nothing"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("no benchmark 'nothing'; there is: ")
