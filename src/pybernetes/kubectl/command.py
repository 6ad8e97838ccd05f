"""What a kubectl command is. Each file of commands/ exports one `COMMAND`; main.py imports only the one that is asked for."""

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybernetes.kubectl.flags import Flags

if TYPE_CHECKING:
    from pybernetes.kubectl.session import Session


class Refused(Exception):
    """Ends the command with `error: <text>` and its exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of kubectl: its flags and what it does."""

    help: str
    """One line for the list of commands."""
    usage: str
    """Without the leading `kubectl`."""
    examples: str = ""
    flags: Callable[[Flags], None]
    run: Callable[["Session", argparse.Namespace], Awaitable[int]]
    """Returns the exit code. Raises ApiError, Refused or ConnectionError: main.py prints them as kubectl does."""
