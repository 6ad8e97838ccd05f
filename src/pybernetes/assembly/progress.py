"""Progress on the terminal: one line a step, with how long it took. Long work shows where it is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from pybernetes.aio.clock import Clock


class Progress:
    """Prints steps as they begin and end. `quiet` prints nothing."""

    def __init__(self, clock: Clock, out: TextIO = sys.stdout, *, quiet: bool = False) -> None:
        self._clock = clock
        self._out = out
        self._quiet = quiet
        self._began = clock.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock.monotonic() - self._began

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """A step: its name now, its time when it ends well."""
        began = self._clock.monotonic()
        interactive = self._out.isatty() and not self._quiet
        if interactive:
            self._write(f"  ...  {what}", end="\r")
        try:
            yield
        except BaseException:
            self._write(f"  FAIL {what} ({self._clock.monotonic() - began:.1f} s)")
            raise
        self._write(f"  ok   {what} ({self._clock.monotonic() - began:.1f} s)")

    def title(self, text: str) -> None:
        """A new part of the work."""
        self._write(f"\n[{self.elapsed:5.1f} s] {text}")

    def show(self, text: str) -> None:
        """Something to read, indented."""
        for line in text.splitlines():
            self._write(f"       {line}".rstrip())

    def _write(self, text: str, end: str = "\n") -> None:
        if not self._quiet:
            self._out.write(text + end)
            self._out.flush()
