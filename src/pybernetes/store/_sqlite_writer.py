"""The writer thread of sqlite.py: takes jobs, commits them in batches, delivers the outcome."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from pybernetes.store._sqlite_file import SqliteFile
from pybernetes.store._sqlite_read import CURRENT, stored
from pybernetes.store.protocol import Event, KeyExists, Mismatch, Revision, StoreError, Unavailable

BATCH = 512
"""Writes that share one fsync, at most."""
_BATCH_BYTES = 8 << 20
_SWEEP_PAGE = 2000


Kind: TypeAlias = Literal["create", "update", "delete"]


class Life(Struct, frozen=True):
    """How long a key has, in seconds, and when that is over by the wall clock."""

    ttl: float
    deadline: float


class Write(Struct):
    """One write of a caller."""

    kind: Kind
    key: str
    value: bytes
    expected: Revision
    done: "asyncio.Future[Revision]"
    life: Life | None = None


class Sweep(Struct):
    """A compaction, done in pages between batches so that writes do not wait for it."""

    before: Revision
    done: "asyncio.Future[None]"


class Stop(Struct):
    """The thread ends."""

    done: "asyncio.Future[None]"


Job: TypeAlias = Write | Sweep | Stop


class Outcome(Struct):
    """What the event loop hears of a batch, in one call."""

    answers: Sequence[tuple["asyncio.Future[Any]", Any]]
    """A future and its result; an exception is raised there."""
    events: Sequence[Event] = ()
    mortal: Sequence[tuple[str, Revision, float]] = ()
    """Keys that were given a time: (key, revision, seconds)."""


class Writer:
    """The writer thread: takes jobs, commits them in batches, delivers the outcome."""

    def __init__(
        self,
        database: SqliteFile,
        queue: "SimpleQueue[Job]",
        revision: Revision,
        deliver: Callable[[Outcome], None],
    ) -> None:
        self._db = database
        self._connection = database.writer
        self._queue = queue
        self._revision = revision
        self._deliver = deliver

    def run(self) -> None:
        """Until Stop."""
        while True:
            job: Job | None = self._queue.get()
            writes: list[Write] = []
            size = 0
            while isinstance(job, Write):
                writes.append(job)
                size += len(job.value)
                job = self._waiting() if len(writes) < BATCH and size < _BATCH_BYTES else None
            if writes:
                self._commit(writes)
            if isinstance(job, Sweep):
                self._sweep(job)
            elif isinstance(job, Stop):
                self._deliver(Outcome([(job.done, None)]))
                return

    def _waiting(self) -> Job | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            return None

    def _commit(self, writes: Sequence[Write]) -> None:
        answers: list[tuple[asyncio.Future[Any], Any]] = []
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
            self._deliver(Outcome([(write.done, Unavailable(str(error))) for write in writes]))
            return
        if events:
            self._revision = events[-1].revision
        mortal = [
            (write.key, Revision(answer), write.life.ttl)
            for write, (_, answer) in zip(writes, answers, strict=True)
            if write.life is not None and isinstance(answer, int)
        ]
        self._deliver(Outcome(answers, events, mortal))

    def _apply(self, write: Write, revision: Revision, events: list[Event]) -> Revision | StoreError:
        """Decides one write against what the batch has done so far."""
        current = stored(self._connection.execute(CURRENT, (write.key,)).fetchone())
        if write.kind == "create":
            if current is not None:
                return KeyExists(write.key)
        elif current is None or current.revision != write.expected:
            return Mismatch(write.key, current)
        created, previous = (current.created, current.revision) if current else (revision, 0)
        deleted = write.kind == "delete"
        row = (revision, write.key, created, previous, deleted, write.value)
        self._execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)", row)
        if previous:
            self._execute("DELETE FROM expiry WHERE revision = ?", (previous,))
        if write.life is not None:
            life = (revision, write.life.deadline, write.life.ttl)
            self._execute("INSERT INTO expiry VALUES (?, ?, ?)", life)
        if deleted:
            self._execute("DELETE FROM live WHERE key = ?", (write.key,))
            events.append(Event("DELETE", write.key, revision, previous=current))
        else:
            self._execute("INSERT OR REPLACE INTO live VALUES (?, ?)", (write.key, revision))
            events.append(Event("PUT", write.key, revision, write.value, created=created))
        return revision

    def _sweep(self, job: Sweep) -> None:
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
            self._deliver(Outcome([(job.done, error)]))
            return
        if reached < job.before:
            self._queue.put(job)
        else:
            self._deliver(Outcome([(job.done, None)]))

    def _execute(self, sql: str, values: tuple[object, ...] = ()) -> None:
        self._connection.execute(sql, values)

    def _roll_back(self) -> None:
        # SQLite has often rolled back by itself after a full disk or an I/O error.
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.rollback()
