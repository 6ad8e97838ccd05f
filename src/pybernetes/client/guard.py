"""Guard: the one place of a process that catches every exception, so that one fault never ends a loop that serves all.

Used around handlers of informers and reconciles of controllers; everything else names what it expects.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType

from pybernetes.api.errors import Refused

log = logging.getLogger(__name__)


class Guard:
    """Context manager: logs what went wrong with the name of the place and goes on; `error` tells the caller.

    Refusals (of the API, of a runtime) and lost connections are facts of life and are logged in one line; anything else is a fault of
    ours and is logged with its traceback. Cancellation passes through; also one that has come and was lost: asyncio.gather
    raises the error of one call instead, when both happen in the same moment, and whoever cancelled would wait for ever.
    """

    def __init__(self, place: str, *, quiet: Callable[[Exception], bool] = lambda error: False) -> None:
        self.error: Exception | None = None
        self._place = place
        self._quiet = quiet

    def __enter__(self) -> "Guard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        if self._quiet(error):
            log.debug("%s: %s", self._place, error)
        elif isinstance(error, Refused | OSError):
            log.warning("%s: %s: %s", self._place, type(error).__name__, error)
        else:
            log.error("%s failed", self._place, exc_info=error)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return True
