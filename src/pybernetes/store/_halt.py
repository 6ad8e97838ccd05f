"""Blocking work that can be called off: `pybernetes store` does its work so, and Ctrl-C ends it at once and changes nothing."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_STEPS = 20_000
"""Steps of SQLite's machine after which it looks: some milliseconds."""


class Halted(Exception):
    """The work was called off before it changed anything."""


class Halt:
    """The wish that some work ends; the work looks at it now and then."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """From any thread."""
        self._asked.set()

    def check(self) -> None:
        """Raises Halted if it was asked for."""
        if self._asked.is_set():
            raise Halted

    @contextmanager
    def watching(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Statements of this connection look as well. Raises Halted."""
        connection.set_progress_handler(self._asked.is_set, _STEPS)
        try:
            yield
        except sqlite3.OperationalError:
            self.check()
            raise
        finally:
            connection.set_progress_handler(None, 0)


async def in_thread(work: Callable[[Halt], T]) -> T:
    """Does work on a thread; being cancelled calls it off, and is forgotten if that comes too late."""
    halt = Halt()
    working = asyncio.create_task(asyncio.to_thread(work, halt))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        halt.ask()
        try:
            return await working
        except Halted:
            raise asyncio.CancelledError from None
