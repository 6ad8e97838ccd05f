"""Logs in memory are bounded, and read from where they are."""

import asyncio

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.assembly.simulated import logs
from pybernetes.kubelet.server.logs import LogOptions


def read(log: logs.RunLog, options: LogOptions) -> bytes:
    async def story() -> bytes:
        return b"".join([piece async for piece in log.read(options, lambda: False)])

    return run_simulated(story())


def test_the_older_half_goes_when_a_log_grows_too_large(monkeypatch) -> None:
    monkeypatch.setattr(logs, "_MOST", 500)
    log = logs.RunLog()
    for number in range(20):
        log.write(f"line {number}", "stdout", 0.0)
    text = read(log, LogOptions()).decode()
    assert text.endswith("line 18\nline 19\n")
    assert not text.startswith("line 0\n")
    assert log.dropped + text.count("\n") == 20


def test_a_follower_goes_on_after_lines_were_dropped(monkeypatch) -> None:
    monkeypatch.setattr(logs, "_MOST", 500)

    async def story() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        log, alive, seen = logs.RunLog(), True, []

        async def follow() -> None:
            async for piece in log.read(LogOptions(follow=True), lambda: alive):
                seen.append(piece)

        following = asyncio.create_task(follow())
        for number in range(40):
            log.write(f"line {number}", "stdout", clock.now())
            await clock.sleep(1)
        alive = False
        log.wake()
        await following
        assert b"".join(seen).decode().split() == " ".join(f"line {n}" for n in range(40)).split()

    run_simulated(story())


def test_the_last_words_are_the_end_of_the_log() -> None:
    log = logs.RunLog()
    for number in range(200):
        log.write(f"line {number} " + "x" * 30, "stderr", 0.0)
    words = log.last_words()
    assert len(words.encode()) == 2048
    assert words.endswith("line 199 " + "x" * 30 + "\n")


def test_several_lines_are_written_as_such() -> None:
    log = logs.RunLog()
    log.write("a\n\nb\n", "stdout", 0.0)
    assert read(log, LogOptions()) == b"a\n\nb\n"
    assert read(log, LogOptions(tail=2)) == b"\nb\n"
