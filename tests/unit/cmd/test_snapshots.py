"""Snapshots that kube-apiserver takes by itself."""

import asyncio
import logging
from pathlib import Path

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.cmd._snapshots import Schedule, keep_snapshots
from pybernetes.cmd.kube_apiserver import _schedule, parser
from pybernetes.store import snapshots
from pybernetes.store.sqlite import open_sqlite


class QuickClock(SystemClock):
    """Waits are short; what was waited for is noted."""

    def __init__(self):
        super().__init__()
        self.waited = []

    async def sleep(self, seconds):
        self.waited.append(seconds)
        await asyncio.sleep(0.01)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_snapshots_of_an_open_store_are_taken_again_and_again_and_the_newest_are_kept(tmp_path):
    path, clock = tmp_path / "store.db", QuickClock()
    store = await open_sqlite(str(path))
    schedule = Schedule(path, tmp_path / "there", 1.0, 2)
    task = asyncio.create_task(keep_snapshots(schedule, clock))
    names = set()

    def seen():
        names.update(one.name for one in snapshots.listed(schedule.folder))
        return len(names) >= 4

    revision = await store.create("/registry/a", b"0")
    async with asyncio.timeout(60):
        while not seen():
            revision = await store.update("/registry/a", b"1", revision)
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()
    assert len(snapshots.listed(schedule.folder)) in (2, 3)  # one may have come just before the end
    assert [snapshots.fault(one.path) for one in snapshots.listed(schedule.folder)[:2]] == ["", ""]


async def test_one_that_fails_is_told_and_tried_again_soon(tmp_path, caplog):
    clock = QuickClock()
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(keep_snapshots(Schedule(tmp_path / "none.db", tmp_path / "s", 7200.0, 2), clock))
        await until(lambda: len(caplog.records) >= 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "there is no store at" in caplog.text
    assert clock.waited[:3] == [7200.0, 300.0, 300.0]


def test_restarts_do_not_put_a_snapshot_off(tmp_path):
    schedule = Schedule(tmp_path / "store.db", tmp_path, 3600.0, 4)
    assert schedule.due(1e9) == 3600
    (tmp_path / "store-2001-09-09T01-46-40Z-r8.db").write_bytes(b"")  # at 1e9
    assert schedule.due(1e9 + 600) == 3000
    assert schedule.due(1e9 + 9999) == 0
    assert schedule.due(1e9 - 1e6) == 3600, "a clock that was set back"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Schedule(Path("/var/lib/pybernetes/store.db"), Path("/var/lib/pybernetes/snapshots"), 43_200.0, 4)),
        (
            ["--storage-path=/a/b.db", "--storage-snapshot-interval=1h", "--storage-snapshot-keep=9", "--storage-snapshot-dir=/c"],
            Schedule(Path("/a/b.db"), Path("/c"), 3600.0, 9),
        ),
    ],
)  # fmt: skip
def test_flags_say_what_is_kept(words, expected):
    assert _schedule(parser().parse_args(words)) == expected
