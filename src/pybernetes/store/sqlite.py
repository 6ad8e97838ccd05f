"""The embedded store: one SQLite file, safe against kill -9 and power loss. Next: _sqlite_file.py, _hub.py.

Callers queue writes; one thread takes all that wait, decides and applies them in one transaction and commits with one
fsync (group commit). Only then does the event loop hear of them, in revision order. Compare-and-set is decided inside
that transaction, so it sees the writes before it in the same batch; if the commit fails, nothing of the batch happened.

Tables: `history` has one row a write, its primary key is the revision; `live` says which revision each key is at. What
was there at an older revision is what has not changed since and what later rows replaced (`previous`).
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeAlias, TypeVar

from msgspec import Struct

from pybernetes.store._hub import Hub
from pybernetes.store._sqlite_file import SqliteFile
from pybernetes.store.protocol import (
    Compacted,
    Event,
    FutureRevision,
    KeyExists,
    Mismatch,
    Range,
    Revision,
    Store,
    Stored,
    StoreError,
    StoreFactory,
    Unavailable,
    Watch,
)

T = TypeVar("T")

BATCH = 512
"""Writes that share one fsync, at most."""
_BATCH_BYTES = 8 << 20
_REPLAY_PAGE = 1000
_SWEEP_PAGE = 2000
_CURRENT = "SELECT h.key, h.value, h.created, h.revision FROM live l JOIN history h USING (revision) WHERE l.key = ?"
_PAGE = """SELECT h.key, h.value, h.created, h.revision FROM live l JOIN history h USING (revision)
    WHERE l.key >= ? AND l.key < ? ORDER BY l.key LIMIT ?"""
_OLD_KEYS = """SELECT key, revision FROM live WHERE key >= :low AND key < :high AND revision <= :at
    UNION ALL
    SELECT key, previous FROM history
    WHERE revision > :at AND previous BETWEEN 1 AND :at AND key >= :low AND key < :high ORDER BY key"""
_REPLAY = """SELECT h.deleted, h.key, h.revision, h.value, h.created, p.value, p.created, p.revision
    FROM history h LEFT JOIN history p ON h.deleted AND p.revision = h.previous
    WHERE h.revision > ? AND h.revision <= ? AND h.key >= ? AND h.key < ? ORDER BY h.revision LIMIT ?"""


class _Write(Struct):
    kind: Literal["create", "update", "delete"]
    key: str
    value: bytes
    expected: Revision
    done: "asyncio.Future[Revision]"


class _Sweep(Struct):
    """A compaction, done in pages between batches so that writes do not wait for it."""

    before: Revision
    done: "asyncio.Future[None]"


class _Stop(Struct):
    done: "asyncio.Future[None]"


_Job: TypeAlias = _Write | _Sweep | _Stop
_Answer: TypeAlias = tuple["asyncio.Future[Any]", Any]
"""A future and its result; an exception is raised there."""


class SqliteStore:
    """Store in one SQLite file. Made by open_sqlite()."""

    def __init__(self, database: SqliteFile, loop: asyncio.AbstractEventLoop) -> None:
        self._db = database
        self._loop = loop
        meta = dict(database.writer.execute("SELECT name, value FROM meta"))
        self._hub = Hub(Revision(meta["revision"]))
        self._compacted = Revision(meta["compacted"])
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="sqlite-reader")
        self._writer = _Writer(database, self._queue, self._hub.revision, self._deliver)
        threading.Thread(target=self._writer.run, name="sqlite-writer", daemon=True).start()

    async def get(self, key: str, at: Revision | None = None) -> Stored | None:
        if at is not None and at != self._hub.revision:
            found = await self._read(lambda c: _range_at(c, key, key + "\0", at, 0))
            return found.items[0] if found.items else None
        stored = await self._read(lambda c: _stored(c.execute(_CURRENT, (key,)).fetchone()))
        if stored is not None and stored.revision > self._hub.revision:
            await self._hub.reached(stored.revision)
        return stored

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, at: Revision | None = None) -> Range:
        low = after + "\0" if after >= prefix else prefix
        found = await self._read(lambda c: _range_at(c, low, prefix + "\U0010ffff", at, limit))
        if found.revision > self._hub.revision:
            await self._hub.reached(found.revision)
        return found

    async def create(self, key: str, value: bytes) -> Revision:
        return await self._write("create", key, value, Revision(0))

    async def update(self, key: str, value: bytes, expected: Revision) -> Revision:
        return await self._write("update", key, value, expected)

    async def delete(self, key: str, expected: Revision) -> Revision:
        return await self._write("delete", key, b"", expected)

    async def watch(self, prefix: str, after: Revision) -> Watch:
        self._check()
        if after < self._compacted:
            raise Compacted(self._compacted)
        return self._hub.watch(prefix, after, self._replay)

    async def compact(self, before: Revision) -> None:
        self._check()
        if before > self._hub.revision:
            raise FutureRevision(f"revision {before} has not happened, the newest is {self._hub.revision}")
        if before <= self._compacted:
            return
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(_Sweep(before, done))
        await done
        self._compacted = max(self._compacted, before)

    async def revision(self) -> Revision:
        self._check()
        return self._hub.revision

    def fault(self) -> str:
        return "the store is closed" if self._hub.closed else ""

    async def close(self) -> None:
        if self._hub.closed:
            return
        self._hub.close()
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(_Stop(done))
        await asyncio.shield(done)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._pool.shutdown()
        self._db.close()

    def _check(self) -> None:
        if self._hub.closed:
            raise Unavailable("the store is closed")

    async def _write(
        self, kind: Literal["create", "update", "delete"], key: str, value: bytes, expected: Revision
    ) -> Revision:
        self._check()
        done: asyncio.Future[Revision] = self._loop.create_future()
        self._queue.put(_Write(kind, key, value, expected, done))
        return await done

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        self._check()

        def run() -> T:
            with self._db.explained("read"):
                return query(self._db.reader())

        return await self._loop.run_in_executor(self._pool, run)

    async def _replay(self, prefix: str, after: Revision, until: Revision) -> tuple[Sequence[Event], Revision]:
        return await self._read(lambda c: _replay(c, prefix, after, until))

    def _deliver(self, answers: Sequence[_Answer], events: Sequence[Event]) -> None:
        """Called on the writer thread, once a batch."""
        # A closed loop means nobody is left to hear it: the process is ending.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answer, answers, events)

    def _answer(self, answers: Sequence[_Answer], events: Sequence[Event]) -> None:
        if not self._hub.closed:
            self._hub.publish(events)
        for done, result in answers:
            if done.done():
                continue
            if isinstance(result, StoreError):
                done.set_exception(result)
            else:
                done.set_result(result)


class _Writer:
    """The writer thread: takes jobs, commits them in batches, delivers the outcome."""

    def __init__(
        self,
        database: SqliteFile,
        queue: "SimpleQueue[_Job]",
        revision: Revision,
        deliver: Callable[[Sequence[_Answer], Sequence[Event]], None],
    ) -> None:
        self._db = database
        self._connection = database.writer
        self._queue = queue
        self._revision = revision
        self._deliver = deliver

    def run(self) -> None:
        """Until _Stop."""
        while True:
            job: _Job | None = self._queue.get()
            writes: list[_Write] = []
            size = 0
            while isinstance(job, _Write):
                writes.append(job)
                size += len(job.value)
                job = self._waiting() if len(writes) < BATCH and size < _BATCH_BYTES else None
            if writes:
                self._commit(writes)
            if isinstance(job, _Sweep):
                self._sweep(job)
            elif isinstance(job, _Stop):
                self._deliver([(job.done, None)], ())
                return

    def _waiting(self) -> _Job | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            return None

    def _commit(self, writes: Sequence[_Write]) -> None:
        answers: list[_Answer] = []
        events: list[Event] = []
        try:
            with self._db.explained("write to"):
                self._execute("BEGIN IMMEDIATE")
                for write in writes:
                    answers.append((write.done, self._apply(write, Revision(self._revision + len(events) + 1), events)))
                if events:
                    self._execute("UPDATE meta SET value = ? WHERE name = 'revision'", (events[-1].revision,))
                self._execute("COMMIT")
        except Unavailable as error:
            self._roll_back()
            self._deliver([(write.done, Unavailable(str(error))) for write in writes], ())
            return
        if events:
            self._revision = events[-1].revision
        self._deliver(answers, events)

    def _apply(self, write: _Write, revision: Revision, events: list[Event]) -> Revision | StoreError:
        """Decides one write against what the batch has done so far."""
        current = _stored(self._connection.execute(_CURRENT, (write.key,)).fetchone())
        if write.kind == "create":
            if current is not None:
                return KeyExists(write.key)
        elif current is None or current.revision != write.expected:
            return Mismatch(write.key, current)
        created, previous = (current.created, current.revision) if current else (revision, 0)
        deleted = write.kind == "delete"
        row = (revision, write.key, created, previous, deleted, write.value)
        self._execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)", row)
        if deleted:
            self._execute("DELETE FROM live WHERE key = ?", (write.key,))
            events.append(Event("DELETE", write.key, revision, previous=current))
        else:
            self._execute("INSERT OR REPLACE INTO live VALUES (?, ?)", (write.key, revision))
            events.append(Event("PUT", write.key, revision, write.value, created=created))
        return revision

    def _sweep(self, job: _Sweep) -> None:
        """One page of a compaction: rows that a row in it replaced, and its deletions; then queues the next page."""
        try:
            with self._db.explained("compact"):
                self._execute("BEGIN IMMEDIATE")
                self._execute("UPDATE meta SET value = max(value, ?) WHERE name = 'compacted'", (job.before,))
                swept = self._connection.execute("SELECT value FROM meta WHERE name = 'swept'").fetchone()[0]
                page = "SELECT revision FROM history WHERE revision > ? AND revision <= ? ORDER BY revision LIMIT ?"
                rows = self._connection.execute(page, (swept, job.before, _SWEEP_PAGE)).fetchall()
                reached = rows[-1][0] if len(rows) == _SWEEP_PAGE else max(swept, job.before)
                replaced = "SELECT previous FROM history WHERE revision > ? AND revision <= ? AND previous > 0"
                self._execute(f"DELETE FROM history WHERE revision IN ({replaced})", (swept, reached))
                self._execute("DELETE FROM history WHERE revision > ? AND revision <= ? AND deleted", (swept, reached))
                self._execute("UPDATE meta SET value = ? WHERE name = 'swept'", (reached,))
                self._execute("COMMIT")
        except Unavailable as error:
            self._roll_back()
            self._deliver([(job.done, error)], ())
            return
        if reached < job.before:
            self._queue.put(job)
        else:
            self._deliver([(job.done, None)], ())

    def _execute(self, sql: str, values: tuple[object, ...] = ()) -> None:
        self._connection.execute(sql, values)

    def _roll_back(self) -> None:
        # SQLite has often rolled back by itself after a full disk or an I/O error.
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.rollback()


def _stored(row: tuple[str, bytes, int, int] | None) -> Stored | None:
    return Stored(row[0], row[1], Revision(row[2]), Revision(row[3])) if row else None


def _facts(connection: sqlite3.Connection) -> tuple[Revision, Revision]:
    """(newest, compacted) as this transaction sees them."""
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    return Revision(meta["revision"]), Revision(meta["compacted"])


class _Snapshot:
    """A read transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        self._connection.execute("ROLLBACK")


def _range_at(connection: sqlite3.Connection, low: str, high: str, at: Revision | None, limit: int) -> Range:
    with _Snapshot(connection):
        newest, compacted = _facts(connection)
        if at is not None and at < compacted:
            raise Compacted(compacted)
        if at is not None and at > newest:
            raise FutureRevision(f"revision {at} has not happened, the newest is {newest}")
        if at is None or at == newest:
            rows = connection.execute(_PAGE, (low, high, limit or -1)).fetchall()
            left = 0
            if limit and len(rows) == limit:
                count = "SELECT count(*) FROM live WHERE key > ? AND key < ?"
                left = connection.execute(count, (rows[-1][0], high)).fetchone()[0]
            items = tuple(Stored(*row) for row in rows)
            return Range(items, newest, left > 0, left)
        keys = connection.execute(_OLD_KEYS, {"low": low, "high": high, "at": at}).fetchall()
        wanted = keys[:limit] if limit else keys
        row = "SELECT key, value, created, revision FROM history WHERE revision = ?"
        old = tuple(Stored(*connection.execute(row, (revision,)).fetchone()) for _, revision in wanted)
        return Range(old, at, len(keys) > len(wanted), len(keys) - len(wanted))


def _replay(
    connection: sqlite3.Connection, prefix: str, after: Revision, until: Revision
) -> tuple[Sequence[Event], Revision]:
    with _Snapshot(connection):
        _, compacted = _facts(connection)
        if after < compacted:
            raise Compacted(compacted)
        limits = (after, until, prefix, prefix + "\U0010ffff", _REPLAY_PAGE)
        rows = connection.execute(_REPLAY, limits).fetchall()
    events: list[Event] = []
    for deleted, key, revision, value, created, old_value, old_created, old_revision in rows:
        if deleted:
            previous = Stored(key, old_value, old_created, old_revision)
            events.append(Event("DELETE", key, revision, previous=previous))
        else:
            events.append(Event("PUT", key, revision, value, created=created))
    return events, Revision(rows[-1][2]) if len(rows) == _REPLAY_PAGE else until


async def open_sqlite(location: str) -> Store:
    """The store at that path, made if it is not there. One process at a time. Raises Unavailable."""
    database = await asyncio.to_thread(SqliteFile, Path(location))
    return SqliteStore(database, asyncio.get_running_loop())


STORE = StoreFactory("sqlite", "one file on this machine; every acknowledged write survives power loss", open_sqlite)
