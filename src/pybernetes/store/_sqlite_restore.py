"""Puts a SQLite store in place of another, all at once, and keeps the one before beside it. snapshots.py, cmd use it."""

import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import count as count_up
from pathlib import Path
from secrets import randbits

from msgspec import Struct

from pybernetes.aio.clock import rfc3339
from pybernetes.store._halt import Halt, in_thread
from pybernetes.store._sqlite_file import Explained, FileLock, acknowledged, keep_names, place, sync
from pybernetes.store._sqlite_format import ADD_ROW, counted, new_row, prepare, verify, write_facts
from pybernetes.store.dump import Lifetime
from pybernetes.store.protocol import Revision, Stored, Unavailable

NEWEST = (1 << 63) - 1
"""No revision is greater, in SQLite or anywhere else (int64)."""
BUMP = 1_000_000_000
"""How far revisions are moved on by default when an older state is put back: beyond all that clients may have seen."""


class Restored(Struct, frozen=True):
    """What was put in place."""

    keys: int
    revision: Revision
    """Where the store goes on; watches of before are told to list anew."""
    kept: Path | None
    """Where the store of before is now."""
    renumbered: int = 0
    """Keys that shared their revision with another one and were given one of their own."""


class Replacement:
    """A new file for `path`: fill `connection`, then put(). The lock is held meanwhile. Raises Unavailable."""

    def __init__(self, path: Path, now: float) -> None:
        self.path = path = place(path)
        self._now = now
        self._lock = FileLock(path)
        self.new = Path(f"{path}.restoring")
        remove(self.new)

    def __enter__(self) -> "Replacement":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        remove(self.new)
        if kind is not None and self._lock.made:
            self.path.unlink(missing_ok=True)  # an empty file would be taken for a new store
        self._lock.release()
        if isinstance(error, OSError):
            raise Unavailable(f"cannot restore to {self.path}: {error.strerror}; check its folder") from None

    def connect(self) -> sqlite3.Connection:
        """To the new file, which is nobody's yet: nothing is synced before put()."""
        os.close(os.open(self.new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.new, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def put(self, connection: sqlite3.Connection, bump: int, halt: Halt) -> tuple[Revision, Path | None]:
        """Proves the new file and puts it in place; where it goes on, and where the old one is. Raises Halted."""
        facts = counted(connection)
        # History is not taken over: whoever watched before lists anew, and so cannot miss what was lost.
        newest = connection.execute("SELECT value FROM meta WHERE name = 'revision'").fetchone()[0]
        if bump:
            newest = max(newest, acknowledged(self.path)) + bump
        facts.update(revision=newest, compacted=newest, swept=newest, identity=randbits(61))
        if newest > NEWEST:
            raise Unavailable(f"the store would go on at revision {newest}, more than {NEWEST}; give a smaller bump")
        write_facts(connection, facts)
        with halt.watching(connection):
            verify(connection, values=True)
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        connection.close()
        sync(self.new)
        halt.check()
        with _Aside(self.path, self._now) as kept:
            os.replace(self.new, self.path)
        Path(f"{self.path}.acknowledged").unlink(missing_ok=True)
        keep_names(self.path.parent)
        return Revision(newest), kept


def remove(path: Path) -> None:
    """A database and what SQLite keeps beside it."""
    for end in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{end}").unlink(missing_ok=True)


class _Aside:
    """Keeps the old store under another name, which it gives; what fails inside leaves everything as it was.

    Its log goes before the new file comes: SQLite would take it for the new file's. Killed in between, the old file is
    refused for want of its log, and restore is to be repeated.
    """

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        stamp = rfc3339(now).replace("-", "").replace(":", "")
        names = (Path(f"{path}.before-{stamp}{f'-{number}' if number else ''}") for number in count_up())
        self._kept = next(name for name in names if not name.exists())
        self._moved: list[str] = []
        self._linked = False

    def __enter__(self) -> Path | None:
        try:
            if self._path.stat().st_size:
                os.link(self._path, self._kept)
                self._linked = True
            for end in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.rename(f"{self._path}{end}", f"{self._kept}{end}")
                    self._moved.append(end)
        except OSError:
            self._undo()
            raise
        return self._kept if self._linked else None

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._undo()

    def _undo(self) -> None:
        for end in self._moved:
            os.rename(f"{self._kept}{end}", f"{self._path}{end}")
        if self._linked:
            self._kept.unlink()


async def restore_keys(
    path: Path, keys: AsyncIterator[Sequence[Stored]], revision: Revision, life: Lifetime, *, bump: int, now: float
) -> Restored:
    """A store with these keys at their own revisions, in place of what is at `path`. Raises Unavailable."""
    keys_put, renumbered = 0, 0
    with Replacement(path, now) as replacement, Explained(replacement.new, "write"):
        connection = replacement.connect()
        try:
            prepare(connection, 0, now)
            connection.execute("BEGIN")
            seen: set[int] = set()
            async for page in keys:
                for stored in page:
                    number = int(stored.revision)
                    if number in seen:  # etcd writes several keys at one revision if it is told to; a row has its own
                        renumbered += 1
                        number = revision + renumbered
                    seen.add(number)
                    _add(connection, stored, number, life(stored.key), now)
                keys_put += len(page)
            newest = revision + renumbered
            write_facts(connection, {"revision": newest})
            connection.execute("COMMIT")
            reached, kept = await in_thread(partial(replacement.put, connection, bump))
        finally:
            connection.close()
    return Restored(keys_put, reached, kept, renumbered)


def _add(connection: sqlite3.Connection, stored: Stored, revision: int, ttl: float | None, now: float) -> None:
    connection.execute(ADD_ROW, new_row(stored.key, stored.value, stored.created, revision, 0, 0))
    connection.execute("INSERT INTO live VALUES (?, ?)", (stored.key, revision))
    if ttl is not None:
        connection.execute("INSERT INTO expiry VALUES (?, ?, ?)", (revision, now + ttl, ttl))
