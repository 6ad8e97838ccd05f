"""Time moves by hand: timer by timer, over real sockets, and never past what is under way."""

import asyncio
import socket
import threading

import pytest

from pybernetes.aio.loopthread import LoopThread
from pybernetes.aio.manual import ManualClock, ManualLoop


def run(main):
    with asyncio.Runner(loop_factory=ManualLoop) as runner:
        return runner.run(main)


def manual() -> ManualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ManualLoop)
    return loop


def test_time_stands_still_but_for_advance():
    async def main() -> None:
        loop = manual()
        fired: list[float] = []
        loop.call_later(0.001, lambda: fired.append(loop.time()))
        left, right = socket.socketpair()
        left.setblocking(False)
        threading.Timer(0.05, right.send, [b"x"]).start()  # real time passes until then
        assert await loop.sock_recv(left, 1) == b"x"
        assert (fired, loop.time()) == ([], 0.0)
        await loop.advance(1)
        assert (fired, loop.time()) == ([0.001], 1.0)
        left.close()
        right.close()

    run(main())


def test_timers_fire_one_after_the_other_and_what_they_start_is_done_in_between():
    async def main() -> list[tuple[str, float]]:
        loop, seen = manual(), list[tuple[str, float]]()

        async def work(name: str, every: float, times: int) -> None:
            for _ in range(times):
                await asyncio.sleep(every)
                for _ in range(10):
                    await asyncio.sleep(0)
                seen.append((name, loop.time()))

        tasks = [asyncio.create_task(work("slow", 100, 2)), asyncio.create_task(work("quick", 60, 3))]
        await loop.advance(200)  # the last timer is due at its very end
        assert all(task.done() for task in tasks)
        return seen

    assert run(main()) == [("quick", 60), ("slow", 100), ("quick", 120), ("quick", 180), ("slow", 200)]


def test_timers_after_the_end_wait_for_the_next_advance():
    async def main() -> None:
        loop = manual()
        timer = asyncio.create_task(asyncio.sleep(61))
        await loop.advance(60)
        assert not timer.done()
        await loop.advance(1)
        assert timer.done()
        await loop.advance(7 * 24 * 3600)  # the loop asks for a day at a time
        assert loop.time() == 61 + 7 * 24 * 3600

    run(main())


def test_two_who_advance_do_so_one_after_the_other():
    async def main() -> float:
        await asyncio.gather(manual().advance(30), manual().advance(30))
        return manual().time()

    assert run(main()) == 60


def test_time_does_not_pass_a_thread_that_works():
    async def main() -> None:
        loop = manual()
        go, order = threading.Event(), list[str]()

        async def work() -> None:
            await asyncio.to_thread(go.wait)
            order.append("thread")

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        loop.call_later(1, order.append, "timer")
        threading.Timer(0.05, go.set).start()
        await loop.advance(2)
        assert order == ["thread", "timer"]
        await task

    run(main())


def test_time_waits_for_what_is_under_way():
    async def main() -> None:
        loop, order = manual(), list[str]()
        left, right = socket.socketpair()
        left.setblocking(False)
        loop.busy = lambda: not order

        async def arriving() -> None:
            await loop.sock_recv(left, 1)
            order.append("request")

        task = asyncio.create_task(arriving())
        await asyncio.sleep(0)
        loop.call_later(1, order.append, "timer")
        threading.Timer(0.05, right.send, [b"x"]).start()
        await loop.advance(2)
        assert order == ["request", "timer"]
        await task
        left.close()
        right.close()

    run(main())


def test_time_does_not_wait_for_ever_for_what_never_comes(monkeypatch):
    monkeypatch.setattr("pybernetes.aio.manual.PATIENCE", 0.01)

    async def main() -> float:
        manual().busy = lambda: True
        await manual().advance(2)
        return manual().time()

    assert run(main()) == 2


def test_who_gives_up_advancing_stops_time():
    async def main() -> None:
        loop = manual()
        stuck = asyncio.create_task(asyncio.to_thread(go.wait))
        await asyncio.sleep(0)
        task = asyncio.create_task(loop.advance(10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await stuck
        assert loop.time() == 0
        await loop.advance(1)
        assert loop.time() == 1

    go = threading.Event()
    run(main())


def test_another_thread_advances_it():
    home = LoopThread("manual", ManualLoop)
    home.start()

    async def clock() -> ManualClock:
        return ManualClock(manual(), seed=7)

    async def advance() -> None:
        await manual().advance(60)

    made = home.call(clock())
    before = made.now()
    home.call(advance())
    assert made.now() - before == pytest.approx(60)
    assert made.monotonic() == 60
    home.stop()
