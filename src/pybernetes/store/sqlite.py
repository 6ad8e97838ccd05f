"""The embedded store: one SQLite file, safe against kill -9 and power loss. Next: _sqlite_writer.py, _sqlite_file.py, _hub.py.

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
from functools import partial
from pathlib import Path
from typing import TypeVar

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.store._expiry import Expiry, left
from pybernetes.store._hub import Hub
from pybernetes.store._sqlite_file import SqliteFile
from pybernetes.store._sqlite_read import MORTAL, current, range_at, replay
from pybernetes.store._sqlite_writer import Kind, Life, Outcome, Stop, Sweep, Write, Writer
from pybernetes.store.protocol import (
    Compacted,
    Event,
    FutureRevision,
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

_EXPIRE_AGAIN = 10.0
"""Seconds until a key is tried again that could not be deleted in its time (full disk)."""


class SqliteStore:
    """Store in one SQLite file. Made by open_sqlite()."""

    shared = False

    def __init__(self, database: SqliteFile, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._db = database
        self._loop = loop
        self._clock = clock
        self._hub = Hub(Revision(database.facts["revision"]))
        self._compacted = Revision(database.facts["compacted"])
        self._expiry = Expiry(self._expire)
        now = clock.now()
        for key, revision, deadline, ttl in database.writer.execute(MORTAL):
            self._expiry.add(key, Revision(revision), left(deadline, ttl, now))
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="sqlite-reader")
        self._writer = Writer(database, self._deliver, clock)
        self._queue = self._writer.queue
        threading.Thread(target=self._writer.run, name="sqlite-writer", daemon=True).start()

    async def get(self, key: str, at: Revision | None = None) -> Stored | None:
        if at is not None and at != self._hub.revision:
            found = await self._read(lambda c: range_at(c, key, key + "\0", at, 0))
            return found.items[0] if found.items else None
        now = await self._read(lambda c: current(c, key))
        if now is not None and now.revision > self._hub.revision:
            await self._hub.reached(now.revision)
        return now

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, at: Revision | None = None) -> Range:
        low = after + "\0" if after >= prefix else prefix
        found = await self._read(lambda c: range_at(c, low, prefix + "\U0010ffff", at, limit))
        if found.revision > self._hub.revision:
            await self._hub.reached(found.revision)
        return found

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> Revision:
        return await self._write("create", key, value, Revision(0), ttl)

    async def update(self, key: str, value: bytes, expected: Revision, *, ttl: float | None = None) -> Revision:
        return await self._write("update", key, value, expected, ttl)

    async def delete(self, key: str, expected: Revision) -> Revision:
        return await self._write("delete", key, b"", expected, None)

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
        self._queue.put(Sweep(before, done))
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
        self._expiry.close()
        self._hub.close()
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(Stop(done))
        await asyncio.shield(done)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._writer.log.stop()
        self._pool.shutdown()
        self._db.close()

    def _check(self) -> None:
        if self._hub.closed:
            raise Unavailable("the store is closed")

    async def _write(self, kind: Kind, key: str, value: bytes, expected: Revision, ttl: float | None) -> Revision:
        self._check()
        done: asyncio.Future[Revision] = self._loop.create_future()
        life = None if ttl is None else Life(ttl, self._clock.now() + ttl)
        self._queue.put(Write(kind, key, value, expected, done, life))
        return await done

    def _expire(self, due: Sequence[tuple[str, Revision]]) -> None:
        """Queues the deletion of keys whose time is over; those that were written meanwhile are refused by it."""
        for key, revision in due:
            done: asyncio.Future[Revision] = self._loop.create_future()
            done.add_done_callback(partial(self._expired, key, revision))
            self._queue.put(Write("delete", key, b"", revision, done))

    def _expired(self, key: str, revision: Revision, done: "asyncio.Future[Revision]") -> None:
        if isinstance(done.exception(), Unavailable) and not self._hub.closed:
            self._expiry.add(key, revision, _EXPIRE_AGAIN)

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        self._check()

        def run() -> T:
            with self._db.explained("read"), self._writer.log.reading():
                return query(self._db.reader())

        return await self._loop.run_in_executor(self._pool, run)

    async def _replay(self, prefix: str, after: Revision, until: Revision) -> tuple[Sequence[Event], Revision]:
        return await self._read(lambda c: replay(c, prefix, after, until))

    def _deliver(self, outcome: Outcome) -> None:
        """Called on the writer thread, once a batch."""
        # A closed loop means nobody is left to hear it: the process is ending.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answer, outcome)

    def _answer(self, outcome: Outcome) -> None:
        if not self._hub.closed:
            for key, revision, ttl in outcome.mortal:
                self._expiry.add(key, revision, ttl)
            self._hub.publish(outcome.events)
        for done, result in outcome.answers:
            if done.done():
                continue
            if isinstance(result, StoreError):
                done.set_exception(result)
            else:
                done.set_result(result)


async def open_sqlite(location: str, clock: Clock | None = None) -> Store:
    """The store at that path, made if it is not there. One process at a time. Raises Unavailable.

    `clock` tells when keys with a ttl go whose deadline passed while nobody had the file open.
    """
    clock = clock or SystemClock()
    database = await asyncio.to_thread(SqliteFile, Path(location), clock.now())
    return SqliteStore(database, asyncio.get_running_loop(), clock)


STORE = StoreFactory("sqlite", "one file on this machine; every acknowledged write survives power loss", open_sqlite)
