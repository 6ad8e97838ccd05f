"""The file of sqlite.py: its tables, its lock, its connections, and the words for what goes wrong with it."""

import fcntl
import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

from pybernetes.store.protocol import Unavailable

_FORMAT = 2
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS history (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, previous INTEGER NOT NULL,
    deleted INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS live (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expiry (revision INTEGER PRIMARY KEY, deadline REAL NOT NULL, ttl REAL NOT NULL);
INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('compacted', 0), ('swept', 0);
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
_EVENT_TTL = 3600.0
_EVENTS_OF_FORMAT_1 = """INSERT OR IGNORE INTO expiry SELECT revision, ?, ? FROM live
    WHERE key >= '/registry/events/' AND key < '/registry/events0'"""
"""Format 1 left it to the API server to look for old Events."""


class SqliteFile:
    """A connection for writes, on the writer thread, and one for reads on each reader thread."""

    def __init__(self, path: Path, now: float) -> None:
        self.path = path
        self._lock = _locked(path)
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        try:
            with self.explained("open"):
                self.writer = self._connect()
                self._prepare(now)
        except Unavailable:
            os.close(self._lock)
            raise

    def reader(self) -> sqlite3.Connection:
        """This thread's own connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
            self._readers.append(found)
        return found

    def close(self) -> None:
        """The last to close folds the log into the file."""
        for connection in (*self._readers, self.writer):
            with suppress(sqlite3.Error):
                connection.close()
        os.close(self._lock)

    def explained(self, doing: str) -> "_Explained":
        """Turns SQLite's errors into Unavailable with what to do next."""
        return _Explained(self.path, doing)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10.0)
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA cache_size = -16384")
        return connection

    def _prepare(self, now: float) -> None:
        version = self.writer.execute("PRAGMA user_version").fetchone()[0]
        if version > _FORMAT:
            raise Unavailable(f"the store at {self.path} was written by a newer version (format {version}); upgrade")
        if version < _FORMAT:
            self.writer.executescript(_SCHEMA)
        if version == 1:
            self.writer.execute(_EVENTS_OF_FORMAT_1, (now + _EVENT_TTL, _EVENT_TTL))


class _Explained:
    def __init__(self, path: Path, doing: str) -> None:
        self._path = path
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            why = "the disk is full; free some space and try again"
        elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            why = f"the file is damaged ({error}); put back a copy of it"
        elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            why = f"{error}; check that its folder exists and may be written"
        else:
            why = f"{error}; check the disk's free space and health"
        raise Unavailable(f"cannot {self._doing} the store at {self._path}: {why}") from None


def _locked(path: Path) -> int:
    """Takes the store for this process: an flock, released by the kernel whatever ends us."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            _keep_names(path.parent)
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"cannot open the store at {path}: {error.strerror}; check its folder") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        holder = f"process {owner}" if owner else "another process"
        raise Unavailable(f"the store at {path} is in use by {holder}; stop it first, or name another file") from None
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _keep_names(folder: Path) -> None:
    """Makes a new file's name survive power loss; SQLite does so only for files that it makes itself."""
    for place in (folder, folder.parent):
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
