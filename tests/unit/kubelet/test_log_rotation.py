"""Container logs stay within bounds."""

import asyncio
import gzip
from pathlib import Path

import pytest
from tests.unit.kubelet.pods import run

from pybernetes.aio.simulation import EPOCH
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import RuntimeRefused
from pybernetes.kubelet.log_rotation import LogRotation


class Reopens:
    """A runtime that only opens logs."""

    def __init__(self, file: Path, *, refuses: bool = False) -> None:
        self.file = file
        self.refuses = refuses

    async def reopen_log(self, container: str) -> None:
        if self.refuses:
            raise RuntimeRefused("UNKNOWN", "no")
        self.file.touch()


class Counting:
    """A clock that is a second later each time it is asked."""

    seconds = 0.0

    def now(self) -> float:
        self.seconds += 1
        return EPOCH + self.seconds


SMALL = Configuration(container_log_max_size="10", container_log_max_files=5)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "0.log"


def content(file: Path) -> str:
    return gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()


def test_a_large_log_is_set_aside_and_five_files_stay(log: Path) -> None:
    rotation = LogRotation(Reopens(log), list, SMALL, Counting())
    for number in range(8):
        log.write_text(f"{number} and much more")
        asyncio.run(rotation.check(run(log_path=str(log))))
    assert log.read_text() == ""
    aside = sorted(log.parent.glob("0.log.*"))
    assert [content(file)[0] for file in aside] == ["4", "5", "6", "7"]
    # The newest is as it was, for those who are still reading it.
    assert [file.suffix == ".gz" for file in aside] == [True, True, True, False]


def test_a_small_log_is_left_alone(log: Path) -> None:
    log.write_text("small")
    asyncio.run(LogRotation(Reopens(log), list, SMALL, Counting()).check(run(log_path=str(log))))
    assert log.read_text() == "small"


def test_a_log_that_cannot_be_opened_anew_keeps_its_name(log: Path) -> None:
    log.write_text("large enough to rotate")
    asyncio.run(LogRotation(Reopens(log, refuses=True), list, SMALL, Counting()).check(run(log_path=str(log))))
    assert log.read_text() == "large enough to rotate"


def test_what_was_cut_off_in_the_middle_is_put_right(log: Path) -> None:
    log.write_text("new and much more")
    log.with_name("0.log.20251231-000000").write_text("old")
    log.with_name("0.log.20251231-000000.gz").write_bytes(gzip.compress(b"old"))
    log.with_name("0.log.20251231-000001.tmp").write_bytes(b"half")
    asyncio.run(LogRotation(Reopens(log), list, SMALL, Counting()).check(run(log_path=str(log))))
    aside = sorted(log.parent.glob("0.log.*"))
    assert [content(file) for file in aside] == ["old", "new and much more"]


def test_two_files_are_the_log_and_the_one_before_it(log: Path) -> None:
    two = Configuration(container_log_max_size="10", container_log_max_files=2)
    rotation = LogRotation(Reopens(log), list, two, Counting())
    for number in range(4):
        log.write_text(f"{number} and much more")
        asyncio.run(rotation.check(run(log_path=str(log))))
    assert [content(file)[0] for file in sorted(log.parent.glob("0.log.*"))] == ["3"]
