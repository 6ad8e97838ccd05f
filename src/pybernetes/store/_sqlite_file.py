"""The file of sqlite.py: its lock, its connections, and the words for what goes wrong with it. Next: _sqlite_format.py.

Beside the file lies `<file>.acknowledged` with the newest revision that callers were told of. A file that ends before it
has lost writes (a torn or missing log, an old copy): it is refused instead of being served.
"""

import fcntl
import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

from pybernetes.store._sqlite_format import FORMAT, DamagedError, ForeignError, prepare, verify, version_of
from pybernetes.store.protocol import Revision, Unavailable

_IDENTITY = b"%020d "
_IDENTITY_SIZE = 21
_NO_TEXT = "Could not decode to UTF-8"
"""Python's words for a text of the file that is none; they come without SQLite's code."""


class SqliteFile:
    """A connection for writes, on the writer thread, one for reads on each reader thread, one for the log's upkeep."""

    def __init__(self, path: Path, now: float) -> None:
        self.path = path = place(path)
        self._lock = FileLock(path)
        self._local = threading.local()
        self._others: list[sqlite3.Connection] = []
        self._acknowledged = -1
        try:
            with self.explained("open"):
                self.writer = self._connect()
                self.facts = self._prepare(now)
                """What `meta` says; the writer keeps it up."""
                self._acknowledged = self._mark()
        except Unavailable:
            self.close()
            raise

    def reader(self) -> sqlite3.Connection:
        """This thread's own connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = self._connect()
            self._others.append(found)
        return found

    def acknowledge(self, revision: Revision) -> None:
        """Notes that callers are about to be told of `revision`, which is safe. Not synced: too low does no harm."""
        os.pwrite(self._acknowledged, b"%020d\n" % revision, _IDENTITY_SIZE)

    def close(self) -> None:
        """The last to close folds the log into the file."""
        for connection in (*self._others, *([self.writer] if hasattr(self, "writer") else [])):
            with suppress(sqlite3.Error):
                connection.close()
        if self._acknowledged >= 0:
            os.close(self._acknowledged)
        self._lock.release()

    def explained(self, doing: str) -> "Explained":
        """Turns SQLite's errors into Unavailable with what to do next."""
        return Explained(self.path, doing)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10.0)
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # _sqlite_log.py does it, beside the writes
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA secure_delete = FAST")
        return connection

    def _prepare(self, now: float) -> dict[str, int]:
        version, reached = version_of(self.writer), acknowledged(self.path)
        if version > FORMAT:
            raise Unavailable(f"the store at {self.path} was written by a newer version (format {version}); upgrade")
        if version == 0 and reached and not self._lock.made:
            raise DamagedError(
                f"it is empty, but revision {reached} was acknowledged; to begin anew delete {self.path}.acknowledged"
            )
        if version < FORMAT:
            prepare(self.writer, version, now)
        return verify(self.writer)

    def _mark(self) -> int:
        """Opens the note of what was acknowledged; compares it. A note of another file's is written anew."""
        revision, note = self.facts["revision"], Path(f"{self.path}.acknowledged")
        identity = _IDENTITY % self.facts["identity"]
        try:
            descriptor = os.open(note, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            said = os.pread(descriptor, 64, 0)
            reached = said[_IDENTITY_SIZE:].strip()
            if said.startswith(identity) and reached.isdigit() and int(reached) > revision:
                os.close(descriptor)
                raise DamagedError(
                    f"it ends at revision {revision}, but revision {int(reached)} was acknowledged: its log "
                    f"({self.path.name}-wal) is torn or missing, or it is an old copy; to go on with what it has, "
                    f"and lose what came after, delete {note}"
                )
            os.pwrite(descriptor, identity + b"%020d\n" % revision, 0)
        except OSError as error:
            raise Unavailable(f"cannot write {note}: {error.strerror}; check its folder") from None
        return descriptor


class Explained:
    """A context that turns SQLite's errors into Unavailable with what to do next."""

    def __init__(self, path: Path, doing: str) -> None:
        self._path = path
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise Unavailable(f"cannot {self._doing} the store at {self._path}: {why(error, self._path)}") from None


def why(error: sqlite3.Error, path: Path) -> str:
    """What is wrong, and what to do next."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return "the disk is full; free some space and try again"
    torn = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or str(error).startswith(_NO_TEXT)
    if torn or isinstance(error, DamagedError):
        return (
            f"the file is damaged ({error}); stop what uses it and put back a snapshot with "
            f"`pybernetes store snapshot restore --storage-path {path}`, or a dump with `pybernetes store restore`"
        )
    if isinstance(error, ForeignError):
        return "it is a database of another program; name another file"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{error}; check that its folder exists and may be written"
    return f"{error}; check the disk's free space and health"


def acknowledged(path: Path) -> int:
    """The newest revision that callers were told of by the store at `path`; 0 where nothing says so."""
    try:
        said = Path(f"{path}.acknowledged").read_bytes()[_IDENTITY_SIZE:].strip()
    except OSError:
        return 0
    return int(said) if said.isdigit() else 0


def place(path: Path) -> Path:
    """Where a store's file is or will be, links followed: so it has one lock. Raises Unavailable for what is no file."""
    try:
        found = path.resolve() if path.is_symlink() else path
        if found.exists() and not found.is_file():
            raise Unavailable(f"{path} is no file, but a {'folder' if found.is_dir() else 'device'}; name a file")
    except OSError as error:
        raise Unavailable(f"cannot open the store at {path}: {error.strerror}; check its folder") from None
    return found


class FileLock:
    """A store is one process's: an flock on `<file>.lock`, released by the kernel whatever ends us. Raises Unavailable."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.made = not path.exists()
            """Whether there was no file."""
            if self.made:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
                keep_names(path.parent)
            lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"cannot open the store at {path}: {error.strerror}; check its folder") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            holder = f"process {owner}" if owner else "another process"
            raise Unavailable(
                f"the store at {path} is in use by {holder}; stop it first, or name another file"
            ) from None
        with suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = lock

    def release(self) -> None:
        """Another may take it."""
        os.close(self._descriptor)


def keep_names(folder: Path) -> None:
    """Makes a new file's name survive power loss; SQLite does so only for files that it makes itself."""
    for one in (folder, folder.parent):
        sync(one)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, survive power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
