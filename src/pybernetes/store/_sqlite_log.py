"""Upkeep of SQLite's log (the -wal file), on a thread of its own, so that neither writes nor reads wait for the disk.

The log is folded into the file every few megabytes, beside the writes. It begins anew once everything in it is folded in
and nobody reads from it; readers that never pause would keep it growing for ever. So once it is long, new reads wait for
those that run, and the writer, who then has next to nothing to fold in, begins it anew.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pybernetes.store._sqlite_file import SqliteFile

FOLD_BYTES = 8 << 20
"""Written bytes after which the log is folded into the file."""
LONG_PAGES = 16_384
"""Pages (of 4 KiB) in the log from which on new reads wait until it has begun anew."""
_DRAIN_SECONDS = 2.0
"""How long new reads wait for old ones, at most; after that the log grows on until it is folded in next."""


class LogKeeper:
    """`written` is told by the writer; every read is inside `reading()`; `restart` asks the writer for restart()."""

    def __init__(self, database: SqliteFile, ask_restart: Callable[[], None]) -> None:
        self._db = database
        self._ask_restart = ask_restart
        self._state = threading.Condition()
        self._written = 0
        self._reading = 0
        self._draining = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="sqlite-log", daemon=True)
        self._thread.start()

    def written(self, size: int) -> None:
        """So many bytes were committed."""
        # The writer thread alone adds; an addition that is lost to a reset is made up by the next.
        self._written += size
        if self._written >= FOLD_BYTES:
            with self._state:
                self._state.notify_all()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A read on a reader thread."""
        with self._state:
            self._state.wait_for(lambda: not self._draining)
            self._reading += 1
        try:
            yield
        finally:
            with self._state:
                self._reading -= 1
                if not self._reading:
                    self._state.notify_all()

    def restart(self) -> None:
        """On the writer thread: folds in the rest, begins the log anew if nobody reads from it, lets readers go on."""
        connection = self._db.writer
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA wal_checkpoint (RESTART)").fetchone()
        finally:
            connection.execute("PRAGMA busy_timeout = 10000")
            with self._state:
                self._draining = False
                self._state.notify_all()

    def stop(self) -> None:
        """Ends the thread."""
        with self._state:
            self._stopped = True
            self._draining = False
            self._state.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._stopped or self._written >= FOLD_BYTES)
                if self._stopped:
                    return
                self._written = 0
            if self._fold() >= LONG_PAGES:
                self._begin_anew()

    def _fold(self) -> int:
        """Folds in what no reader needs; pages in the log."""
        try:
            pages: int = self._db.reader().execute("PRAGMA wal_checkpoint (PASSIVE)").fetchone()[1]
        except sqlite3.Error:
            return 0  # a full disk: the log stays, and is folded in later
        return pages

    def _begin_anew(self) -> None:
        with self._state:
            self._draining = True
            if not self._state.wait_for(lambda: self._stopped or not self._reading, _DRAIN_SECONDS):
                self._draining = False
                self._state.notify_all()
                return
        self._fold()  # now that nobody reads, next to nothing is left to the writer
        self._ask_restart()
        with self._state:
            self._state.wait_for(lambda: self._stopped or not self._draining)
