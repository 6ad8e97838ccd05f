"""What every component's command does alike: logs, uvloop, garbage collection, an orderly end on TERM, errors in one line.

kube_proxy.py is the shortest example; _leading.py adds leadership and health.
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop

from pybernetes.cmd import GC_THRESHOLDS

_SETTLED = 10.0
"""Seconds after which a component has loaded what it keeps: modules, tables, the objects of a store or of informers."""


if TYPE_CHECKING:
    from pybernetes.client.kubeconfig import Connection


class StartError(RuntimeError):
    """Why the command does not start or go on, in one line that says what to do."""


def run(name: str, verbosity: int, work: Callable[[], Awaitable[None]], *expected: type[Exception]) -> int:
    """Runs `work` until it ends, or TERM or INT cancels it; the exit code.

    A StartError, or an error of the `expected` types, alone or in a group, is one line on stderr and code 1.
    """
    level = logging.DEBUG if verbosity >= 4 else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname).1s %(name)s %(message)s")
    try:
        uvloop.run(_until_stopped(work))
    except Exception as error:  # sorted on the next line: what is not expected is raised again
        told = _first(error)
        if not isinstance(told, (StartError, *expected)):
            raise
        print(f"{name}: {told}", file=sys.stderr)
        return 1
    return 0


def transport_of(path: str, *, bare: bool = False) -> "Connection":
    """The API server of a component's kubeconfig; `bare`: as nobody. Raises StartError."""
    from pybernetes.client import kubeconfig  # the API server has none

    try:
        return kubeconfig.transport_of(kubeconfig.load(path or None), bare=bare)
    except kubeconfig.ConfigError as error:
        raise StartError(f"{error}; name a kubeconfig with --kubeconfig") from None
    except OSError as error:
        raise StartError(f"cannot read {error.filename}: {error.strerror}") from None


async def _until_stopped(work: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.current_task()
    assert task is not None
    collect_rarely()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await work()


def collect_rarely() -> None:
    """Keeps the garbage collector from walking what lives as long as the process, again and again."""
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()  # what is imported
    asyncio.get_running_loop().call_later(_SETTLED, settle)


def settle() -> None:
    """What lives now lives as long as the process: the collector need not walk it again."""
    gc.collect()
    gc.freeze()


def _first(error: BaseException) -> BaseException:
    """The error, or the first one in a group of any depth."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
