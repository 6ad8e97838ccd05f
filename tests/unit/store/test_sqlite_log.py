"""The log's upkeep, step by step: new reads wait for old ones once it is long, and go on when it has begun anew."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.store import _sqlite_log
from pybernetes.store._sqlite_file import SqliteFile
from pybernetes.store._sqlite_log import LogKeeper

SECONDS = 20.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteFile]:
    made = SqliteFile(tmp_path / "store.db", 0.0)
    yield made
    made.close()


class Reader:
    """Reads in a thread of its own until it is told to end."""

    def __init__(self, keeper: LogKeeper) -> None:
        self.reads, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(keeper,))
        self._thread.start()

    def _run(self, keeper: LogKeeper) -> None:
        with keeper.reading():
            self.reads.set()
            self._end.wait(SECONDS)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


def pages_in_the_log(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA wal_checkpoint (PASSIVE)").fetchone()[1]
    return found


def written(keeper: LogKeeper, database: SqliteFile, rows: int) -> None:
    for revision in range(1, rows + 1):
        database.writer.execute("INSERT OR REPLACE INTO history VALUES (?, '', 0, 0, 0, ?, 0)", (revision, bytes(9000)))
    keeper.written(rows * 9000)


def drains(keeper: LogKeeper) -> None:
    """Waits until new reads wait for old ones."""
    end = time.monotonic() + SECONDS
    while not keeper._draining:
        assert time.monotonic() < end, "new reads never wait"
        time.sleep(0.001)


def test_a_long_log_begins_anew_between_old_reads_and_new_ones(
    database: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite_log, "FOLD_BYTES", 100_000)
    monkeypatch.setattr(_sqlite_log, "LONG_PAGES", 20)
    monkeypatch.setattr(_sqlite_log, "_DRAIN_SECONDS", 3600.0)  # it does not come by giving up
    asked = threading.Event()
    keeper = LogKeeper(database, asked.set)
    old, readers = Reader(keeper), list[Reader]()
    try:
        assert old.reads.wait(SECONDS)
        written(keeper, database, 20)
        drains(keeper)
        assert not asked.is_set()
        readers.append(new := Reader(keeper))
        assert not new.reads.wait(0.3), "a new read does not wait"
        assert not asked.is_set(), "an old read is not waited for"
        old.end()
        assert asked.wait(SECONDS), "the last read did not say so"
        assert not new.reads.is_set()
        long = pages_in_the_log(database.writer)
        keeper.restart()  # as the writer does
        assert new.reads.wait(SECONDS), "a read waits on"
        new.end()
        database.writer.execute("UPDATE history SET created = 1 WHERE revision = 1")
        assert pages_in_the_log(database.writer) < long / 4
    finally:
        for reader in (old, *readers):
            reader.end()
        keeper.stop()


def test_old_reads_that_never_end_are_not_waited_for_for_ever(
    database: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite_log, "FOLD_BYTES", 100_000)
    monkeypatch.setattr(_sqlite_log, "LONG_PAGES", 20)
    monkeypatch.setattr(_sqlite_log, "_DRAIN_SECONDS", 0.2)
    asked = threading.Event()
    keeper = LogKeeper(database, asked.set)
    old = Reader(keeper)
    assert old.reads.wait(SECONDS)
    written(keeper, database, 20)
    drains(keeper)
    new = Reader(keeper)
    assert new.reads.wait(SECONDS), "a read waits for one that does not end"
    assert not asked.is_set()
    for reader in (old, new):
        reader.end()
    keeper.stop()
