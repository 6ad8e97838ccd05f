"""Container logs stay within bounds."""

import asyncio
from pathlib import Path

import pytest
from tests.unit.kubelet.pods import run

from pybernetes.aio.simulation import EPOCH
from pybernetes.kubelet import log_rotation
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


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log_rotation, "MAX_SIZE", 10)
    return tmp_path / "0.log"


def test_a_large_log_is_set_aside_and_five_files_stay(log: Path) -> None:
    rotation = LogRotation(Reopens(log), list, Counting())
    for number in range(8):
        log.write_text(f"{number} and much more")
        asyncio.run(rotation.check(run(log_path=str(log))))
    assert log.read_text() == ""
    aside = sorted(log.parent.glob("0.log.*"))
    assert [file.read_text()[0] for file in aside] == ["4", "5", "6", "7"]


def test_a_small_log_is_left_alone(log: Path) -> None:
    log.write_text("small")
    asyncio.run(LogRotation(Reopens(log), list, Counting()).check(run(log_path=str(log))))
    assert log.read_text() == "small"


def test_a_log_that_cannot_be_opened_anew_keeps_its_name(log: Path) -> None:
    log.write_text("large enough to rotate")
    asyncio.run(LogRotation(Reopens(log, refuses=True), list, Counting()).check(run(log_path=str(log))))
    assert log.read_text() == "large enough to rotate"
