"""A thread with an event loop of its own, for code that has none: work is handed to it from anywhere."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError as WorkCancelled
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Factory = Callable[[], asyncio.AbstractEventLoop]


class EndedError(ConnectionError):
    """The loop has ended before the work was done."""


class ForkedError(RuntimeError):
    """The loop runs in the process that this one was forked from: nobody here would ever answer."""


class LoopThread:
    """start() and stop() are called once each. The thread is a daemon: it never keeps a process from ending."""

    def __init__(self, name: str, factory: Factory) -> None:
        self._factory = factory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        """Whatever is handed over before the end is: the loop cancels it."""
        self._begun: Future[None] = Future()
        self._end: asyncio.Event
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._process = os.getpid()

    def start(self) -> None:
        """Returns once the loop runs. Raises what making the loop raises."""
        self._thread.start()
        self._begun.result()

    def stop(self) -> None:
        """Cancels what is left, waits for it, ends the thread. Any thread but its own may call it, also twice.

        In a child of os.fork() it does nothing.
        """
        if os.getpid() != self._process:
            return  # what it would wake is not here
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    @property
    def inside(self) -> bool:
        """Whether this is its thread."""
        return threading.current_thread() is self._thread

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs the work in the loop and waits for it. Raises what it raises, EndedError, ForkedError; RuntimeError in its own thread."""
        if self.inside:
            work.close()
            raise RuntimeError("a loop cannot wait for itself")
        future = self._submit(work)
        try:
            return future.result()
        except WorkCancelled:
            raise EndedError("the loop has ended") from None
        except BaseException:
            future.cancel()  # an interrupt of the thread that waits ends the work, too
            raise

    async def acall(self, work: Coroutine[Any, Any, T]) -> T:
        """The same for the code of another loop."""
        future = asyncio.wrap_future(self._submit(work))
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise EndedError("the loop has ended") from None

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        if os.getpid() != self._process:
            work.close()
            raise ForkedError("the loop runs in the process that this one was forked from")
        with self._lock:
            if self._loop is not None:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise EndedError("the loop has ended")

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._factory) as runner:
                runner.run(self._main())
        except BaseException as error:  # noqa: BLE001  # start() waits, and raises it
            if not self._begun.done():
                self._begun.set_exception(error)

    async def _main(self) -> None:
        self._end = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._begun.set_result(None)
        await self._end.wait()


async def done(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """A plain call as a coroutine."""
    return work(*args, **named)
