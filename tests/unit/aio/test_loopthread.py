"""Work is handed to a loop in a thread of its own, and nobody waits for ever when it ends."""

import asyncio
import threading
import time

import pytest

from pybernetes.aio.loopthread import EndedError, LoopThread


@pytest.fixture
def home():
    made = LoopThread("test-loop", asyncio.new_event_loop)
    made.start()
    yield made
    made.stop()


async def where() -> str:
    return threading.current_thread().name


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_work_runs_in_the_thread_and_its_answer_comes_back(home):
    assert home.call(where()) == "test-loop"
    assert not home.inside


def test_what_the_work_raises_is_raised(home):
    async def failing() -> None:
        raise KeyError("as raised")

    with pytest.raises(KeyError, match="as raised"):
        home.call(failing())


async def test_another_loop_may_wait_for_it(home):
    assert await home.acall(where()) == "test-loop"


async def test_who_gives_up_waiting_ends_the_work(home):
    ended = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await home.acall(work())
    assert await asyncio.to_thread(ended.wait, 10)


def test_work_that_is_not_done_at_the_end_is_told_to_who_waits(home):
    told = []

    def waiting() -> None:
        try:
            home.call(for_ever())
        except EndedError as error:
            told.append(str(error))

    thread = threading.Thread(target=waiting)
    thread.start()
    while home.call(tasks()) < 3:  # the loop's own, the one that waits, and the one that counts
        time.sleep(0.001)
    home.stop()
    thread.join()
    assert told == ["the loop has ended"]
    with pytest.raises(EndedError):
        home.call(where())


async def tasks() -> int:
    return len(asyncio.all_tasks())


async def test_the_other_loop_is_told_as_well(home):
    waiting = asyncio.create_task(home.acall(for_ever()))
    await asyncio.sleep(0)
    home.stop()
    with pytest.raises(EndedError):
        await waiting


def test_the_loop_does_not_wait_for_itself(home):
    async def inside() -> None:
        home.call(where())

    with pytest.raises(RuntimeError, match="wait for itself"):
        home.call(inside())


def test_a_loop_that_cannot_be_made_is_told_at_the_start():
    def failing() -> asyncio.AbstractEventLoop:
        raise OSError("no more files")

    with pytest.raises(OSError, match="no more files"):
        LoopThread("test-loop", failing).start()
