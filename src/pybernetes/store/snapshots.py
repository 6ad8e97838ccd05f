"""Snapshots of a SQLite store: whole files, taken from a running server, proven, listed, put back. cmd/_store.py.

One is taken in one read transaction (VACUUM INTO), so it is consistent, and writers do not wait for it. All calls block.
"""

import fcntl
import os
import re
import sqlite3
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.store._halt import Halt
from pybernetes.store._sqlite_file import Explained, keep_names, place, sync, why
from pybernetes.store._sqlite_format import FORMAT, DamagedError, ForeignError, check_shape, prepare, verify, version_of
from pybernetes.store._sqlite_restore import BUMP, Replacement, Restored, remove
from pybernetes.store.protocol import Revision, Unavailable

_NAME = re.compile(r"(.+)-(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\dZ)-r(\d+)\.db")
_PARTIAL = ".partial-"
_BACKUP_PAGES = 4096


class Snapshot(Struct, frozen=True):
    """A snapshot in its folder."""

    path: Path
    taken: float
    """Seconds since 1970, from its name."""
    revision: Revision
    size: int

    @property
    def name(self) -> str:
        """What restore is told."""
        return self.path.name


def folder_of(store: Path) -> Path:
    """Where a store's snapshots are unless a flag says otherwise."""
    return store.parent / "snapshots"


def save(store: Path, folder: Path, now: float, halt: Halt | None = None) -> Snapshot:
    """Takes a snapshot, of a running server's store as well. Raises Unavailable, Halted."""
    if not place(store).exists():
        raise Unavailable(f"there is no store at {store}; name it with --storage-path")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder)
        partial = folder / f"{_PARTIAL}{os.getpid()}"
        held = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            revision = _copied(store, partial, halt or Halt())
            stamp = rfc3339(now).replace(":", "-")
            path = folder / f"{store.stem}-{stamp}-r{revision}.db"
            os.replace(partial, path)
            keep_names(folder)
        finally:
            remove(partial)
            os.close(held)
        return Snapshot(path, float(int(now)), revision, path.stat().st_size)
    except OSError as error:
        raise Unavailable(f"cannot write a snapshot to {folder}: {error.strerror}; check the folder") from None


def _sweep(folder: Path) -> None:
    """Deletes what savers have left that were killed: nobody holds its lock."""
    for path in folder.glob(f"{_PARTIAL}*"):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


def _copied(store: Path, partial: Path, halt: Halt) -> Revision:
    with Explained(store, "copy"):
        source = sqlite3.connect(f"{store.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=10.0)
        try:
            version = version_of(source)
            if version > FORMAT:
                raise Unavailable(f"{store} was written by a newer version (format {version}); upgrade")
            if version < FORMAT:
                raise Unavailable(f"{store} is of an older version; start its API server once, which takes it over")
            with halt.watching(source):
                source.execute("VACUUM INTO ?", (str(partial),))
        finally:
            source.close()
    with Explained(store, "copy"):
        copy = sqlite3.connect(partial, isolation_level=None)
        try:
            with halt.watching(copy):
                revision = Revision(verify(copy, values=True)["revision"])
        finally:
            copy.close()
    sync(partial)
    return revision


def listed(folder: Path) -> list[Snapshot]:
    """The snapshots of a folder, the newest first. Raises Unavailable for a folder that cannot be read."""
    found = []
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise Unavailable(f"cannot read the snapshots in {folder}: {error.strerror}; check the folder") from None
    for name in names:
        match, path = _NAME.fullmatch(name), folder / name
        if match:
            _, day, hour, minute, second, revision = match.groups()
            taken = parse_time(f"{day}{hour}:{minute}:{second}")
            with suppress(FileNotFoundError):  # one that was too many went meanwhile
                found.append(Snapshot(path, taken, Revision(int(revision)), path.stat().st_size))
    return sorted(found, key=lambda one: (one.taken, one.revision), reverse=True)


def prune(folder: Path, keep: int) -> list[Snapshot]:
    """Deletes all but the newest `keep`; those that went. Raises Unavailable."""
    gone = listed(folder)[keep:]
    try:
        for one in gone:
            one.path.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot delete old snapshots in {folder}: {error.strerror}; check the folder") from None
    return gone


def fault(path: Path, halt: Halt | None = None) -> str:
    """What is wrong with a snapshot, every row of it read; empty if nothing. Raises Halted."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        try:
            version = version_of(connection)
            if version > FORMAT:
                return f"it was written by a newer version (format {version})"
            if version == 0:
                return "it is empty"
            if version == FORMAT:
                with (halt or Halt()).watching(connection):
                    verify(connection, values=True)
            else:  # as far as that format can tell; restore() proves the rest
                check_shape(connection)
        finally:
            connection.close()
    except DamagedError as error:
        return str(error)
    except ForeignError:
        return "it is a database of another program"
    except sqlite3.Error as error:
        return f"it is damaged: {error}"
    return ""


def restore(snapshot: Path, store: Path, now: float, *, bump: int = BUMP, halt: Halt | None = None) -> Restored:
    """Puts a snapshot in place of the store, which nobody may have open.

    Raises Unavailable, Halted; then nothing has changed.
    """
    halt = halt or Halt()
    if not place(snapshot).exists():
        raise Unavailable(f"there is no snapshot {snapshot}; see `pybernetes store snapshot list`")
    wrong = fault(snapshot, halt)
    if wrong:
        raise Unavailable(f"the snapshot {snapshot} cannot be used: {wrong}; choose another one")
    with Replacement(store, now) as replacement:
        connection = replacement.connect()
        try:
            source = sqlite3.connect(f"{snapshot.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            try:
                source.backup(connection, pages=_BACKUP_PAGES, progress=lambda *_: halt.check())
            finally:
                source.close()
            version = version_of(connection)
            if version < FORMAT:
                with halt.watching(connection):
                    prepare(connection, version, now)
            keys = connection.execute("SELECT count(*) FROM live").fetchone()[0]
            connection.execute("DELETE FROM history WHERE revision NOT IN (SELECT revision FROM live)")
            revision, kept = replacement.put(connection, bump, halt)
        except sqlite3.Error as error:
            raise Unavailable(f"cannot restore to {store}: {why(error, store)}") from None
        finally:
            connection.close()
    return Restored(keys, revision, kept)
