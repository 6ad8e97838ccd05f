"""The writer thread of sqlite.py: takes jobs, commits them in batches, delivers the outcome; tidies up in between.

Tidying (compaction, giving free pages back to the disk) is done in steps of a few milliseconds. Steps are not synced:
the next batch of writes syncs them with itself, and one that power loss takes is done again.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.store._sqlite_file import SqliteFile, why
from pybernetes.store._sqlite_format import ADD_ROW, SET_FACT, DamagedError, new_row, seal
from pybernetes.store._sqlite_log import LogKeeper
from pybernetes.store._sqlite_read import current
from pybernetes.store.protocol import Event, KeyExists, Mismatch, Revision, StoreError, Unavailable

BATCH = 512
"""Writes that share one fsync, at most."""
_BATCH_BYTES = 8 << 20
_OVERHEAD = 8 << 10
"""What a write adds to the log besides its value."""
SWEEP_PAGE = 250
STEP_SECONDS = 0.004
"""How long a step of giving pages back is to take."""
STEP_PAUSE = 0.04
"""Between two such steps while there are writes."""
QUIET_SECONDS = 0.25
"""After this time without a write nobody is waited for."""
FREE_PAGES = 512
"""Free pages that are kept for the next writes, at least; besides those an eighth of the file."""

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


class Restart(Struct):
    """The log is to begin anew; see _sqlite_log.py."""


class Stop(Struct):
    """The thread ends."""

    done: "asyncio.Future[None]"


Job: TypeAlias = Write | Sweep | Restart | Stop


class Outcome(Struct):
    """What the event loop hears of a batch, in one call."""

    answers: Sequence[tuple["asyncio.Future[Any]", Any]]
    """A future and its result; an exception is raised there."""
    events: Sequence[Event] = ()
    mortal: Sequence[tuple[str, Revision, float]] = ()
    """Keys that were given a time: (key, revision, seconds)."""


class Writer:
    """Owns the connection for writes. run() is the thread."""

    def __init__(self, database: SqliteFile, deliver: Callable[[Outcome], None], clock: Clock) -> None:
        self._db = database
        self._connection = database.writer
        self.queue: SimpleQueue[Job] = SimpleQueue()
        self._facts = database.facts
        self._deliver = deliver
        self._clock = clock
        self.log = LogKeeper(database, lambda: self.queue.put(Restart()))
        self._keys = self._sum = 0
        """What the batch adds to both."""
        self._shrinking = True
        self._step_pages = 16
        self._stepped = self._wrote = clock.monotonic()

    def run(self) -> None:
        """Until Stop."""
        while True:
            job: Job | None = self._next()
            writes: list[Write] = []
            size = 0
            while isinstance(job, Write):
                writes.append(job)
                size += len(job.value)
                job = self._waiting() if len(writes) < BATCH and size < _BATCH_BYTES else None
            if writes:
                self._commit(writes)
                self._wrote = self._clock.monotonic()
                self.log.written(size + len(writes) * _OVERHEAD)
            if isinstance(job, Sweep):
                self._sweep(job)
            elif isinstance(job, Restart):
                with suppress(sqlite3.Error):
                    self.log.restart()
            elif isinstance(job, Stop):
                self._deliver(Outcome([(job.done, None)]))
                return

    def _next(self) -> Job:
        """Waits for a job; gives free pages back meanwhile: without a pause when nobody writes, else now and then."""
        while self._shrinking:
            now = self._clock.monotonic()
            due = self._stepped + STEP_PAUSE if now < self._wrote + QUIET_SECONDS else now
            if due > now:
                with suppress(Empty):
                    return self.queue.get(timeout=due - now)
            else:
                self._shrink()
                job = self._waiting()
                if job is not None:
                    return job
        return self.queue.get()

    def _waiting(self) -> Job | None:
        try:
            return self.queue.get_nowait()
        except Empty:
            return None

    def _commit(self, writes: Sequence[Write]) -> None:
        answers: list[tuple[asyncio.Future[Any], Any]] = []
        events: list[Event] = []
        self._keys = self._sum = 0
        facts = self._facts
        try:
            with self._db.explained("write to"):
                self._execute("BEGIN IMMEDIATE")
                for write in writes:
                    revision = Revision(facts["revision"] + len(events) + 1)
                    answers.append((write.done, self._apply(write, revision, events)))
                if events:
                    keys, total = facts["keys"] + self._keys, facts["sum"] + self._sum
                    facts = self._set(revision=events[-1].revision, keys=keys, sum=total)
                self._execute("COMMIT")
        except Unavailable as error:
            self._roll_back()
            self._deliver(Outcome([(write.done, Unavailable(str(error))) for write in writes]))
            return
        if events:
            self._facts = facts
            self._db.acknowledge(events[-1].revision)
        mortal = [
            (write.key, Revision(answer), write.life.ttl)
            for write, (_, answer) in zip(writes, answers, strict=True)
            if write.life is not None and isinstance(answer, int)
        ]
        self._deliver(Outcome(answers, events, mortal))

    def _apply(self, write: Write, revision: Revision, events: list[Event]) -> Revision | StoreError:
        """Decides one write against what the batch has done so far."""
        try:
            there = current(self._connection, write.key)
        except DamagedError as error:  # the others of the batch go on
            return Unavailable(f"cannot write to the store at {self._db.path}: {why(error, self._db.path)}")
        if write.kind == "create":
            if there is not None:
                return KeyExists(write.key)
        elif there is None or there.revision != write.expected:
            return Mismatch(write.key, there)
        created, previous = (there.created, there.revision) if there else (revision, 0)
        deleted = write.kind == "delete"
        self._execute(ADD_ROW, new_row(write.key, write.value, created, revision, previous, int(deleted)))
        if previous:
            self._execute("DELETE FROM expiry WHERE revision = ?", (previous,))
        if write.life is not None:
            self._execute("INSERT INTO expiry VALUES (?, ?, ?)", (revision, write.life.deadline, write.life.ttl))
        self._sum -= previous
        if deleted:
            self._keys -= 1
            self._execute("DELETE FROM live WHERE key = ?", (write.key,))
            events.append(Event("DELETE", write.key, revision, previous=there))
        else:
            self._keys += not previous
            self._sum += revision
            self._execute("INSERT OR REPLACE INTO live VALUES (?, ?)", (write.key, revision))
            events.append(Event("PUT", write.key, revision, write.value, created=created))
        return revision

    def _sweep(self, job: Sweep) -> None:
        """One page of a compaction: rows that a row in it replaced, and its deletions; then queues the next page."""
        try:
            with self._db.explained("compact"), self._unsynced():
                self._execute("BEGIN IMMEDIATE")
                swept = self._facts["swept"]
                page = "SELECT revision FROM history WHERE revision > ? AND revision <= ? ORDER BY revision LIMIT ?"
                rows = self._connection.execute(page, (swept, job.before, SWEEP_PAGE)).fetchall()
                reached = rows[-1][0] if len(rows) == SWEEP_PAGE else max(swept, job.before)
                replaced = "SELECT previous FROM history WHERE revision > ? AND revision <= ? AND previous > 0"
                self._execute(f"DELETE FROM history WHERE revision IN ({replaced})", (swept, reached))
                self._execute("DELETE FROM history WHERE revision > ? AND revision <= ? AND deleted", (swept, reached))
                facts = self._set(compacted=max(self._facts["compacted"], job.before), swept=reached)
                self._execute("COMMIT")
        except Unavailable as error:
            self._roll_back()
            self._deliver(Outcome([(job.done, error)]))
            return
        self._facts = facts
        self.log.written(len(rows) * _OVERHEAD)
        if reached < job.before:
            self.queue.put(job)
        else:
            self._shrinking = True
            self._deliver(Outcome([(job.done, None)]))

    def _shrink(self) -> None:
        """One step: the last pages of the file move into free ones, and the file ends earlier."""
        began = self._clock.monotonic()
        try:
            free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            spare = free - max(FREE_PAGES, (pages - free) // 8)
            if spare > 0:
                with self._unsynced():
                    self._connection.executescript(f"PRAGMA incremental_vacuum ({min(spare, self._step_pages)})")
                left = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
                self.log.written((free - left) * 2 * 4096)
                spare = 0 if left == free else spare  # a file of before incremental vacuum
        except sqlite3.Error:
            spare = 0  # a full disk: after the next compaction it is tried again
        self._stepped = self._clock.monotonic()
        self._shrinking = spare > 0
        took = self._stepped - began
        self._step_pages = max(4, self._step_pages // 2) if took > STEP_SECONDS else min(1024, self._step_pages + 4)

    def _unsynced(self) -> "_Unsynced":
        return _Unsynced(self._connection)

    def _set(self, **changed: int) -> dict[str, int]:
        """Writes some of what `meta` says, and its checksum; all of it, to be kept once it is committed."""
        facts = {**self._facts, **changed}
        changed["checksum"] = seal(facts)
        self._connection.executemany(SET_FACT, [(value, name) for name, value in changed.items()])
        return facts

    def _execute(self, sql: str, values: tuple[object, ...] = ()) -> None:
        self._connection.execute(sql, values)

    def _roll_back(self) -> None:
        # SQLite has often rolled back by itself after a full disk or an I/O error.
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.rollback()


class _Unsynced:
    """What is committed inside is safe against kill -9 at once, and against power loss from the next batch on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.rollback()  # the pragma does nothing inside a transaction
        self._connection.execute("PRAGMA synchronous = FULL")
