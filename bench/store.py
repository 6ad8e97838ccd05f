"""Creates in the SQLite store under load, against raw SQLite that commits the same bytes in groups of the same size."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from bench import Benchmark, Row
from bench.canonical import pod
from pybernetes.store.sqlite import open_sqlite

WRITES = 4000
REPEATS = 3


async def _store(path: Path, value: bytes, writers: int) -> float:
    """Microseconds a create, with so many writers at a time."""
    store = await open_sqlite(str(path))

    async def write(writer: int) -> None:
        for number in range(WRITES // writers):
            await store.create(f"/registry/pods/{writer}/{number}", value)

    try:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for writer in range(writers):
                group.create_task(write(writer))
        return (time.perf_counter() - began) / (WRITES // writers * writers) * 1e6
    finally:
        await store.close()


def _raw(path: Path, value: bytes, together: int) -> float:
    """Microseconds an insert: a write-ahead log as durable as the store's, `together` inserts a commit."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE kv (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB) STRICT")
        began = time.perf_counter()
        for start in range(0, WRITES, together):
            rows = [(f"/registry/pods/{start}/{number}", value) for number in range(min(together, WRITES - start))]
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO kv (key, value) VALUES (?, ?)", rows)
            connection.execute("COMMIT")
        spent = time.perf_counter() - began
    connection.close()
    return spent / WRITES * 1e6


def run() -> Sequence[Row]:
    """A row a number of writers: so many creates can share one commit."""
    value = orjson.dumps(pod())
    rows = []
    for writers in (1, 16, 128):
        figures, floors = [], []
        for _ in range(REPEATS):
            with TemporaryDirectory() as folder:
                figures.append(asyncio.run(_store(Path(folder) / "ours.db", value, writers)))
                floors.append(_raw(Path(folder) / "raw.db", value, writers))
        rows.append(Row(f"create, {writers} at a time", min(figures), min(floors)))
    return rows


BENCHMARK = Benchmark("store", "creates with group commit; floor: raw SQLite, as many rows a commit as writers", run)
