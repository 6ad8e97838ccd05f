"""When keys go: on virtual time, and by a wall clock that jumps."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.aio.simulation import run_simulated
from pybernetes.store._expiry import Expiry, left
from pybernetes.store.protocol import Revision


def test_keys_are_due_after_their_time_and_together_where_they_may() -> None:
    calls: list[tuple[float, Sequence[tuple[str, Revision]]]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        expiry = Expiry(lambda due: calls.append((loop.time(), due)))
        expiry.add("/late", Revision(1), 7200)
        for n in range(3):
            expiry.add(f"/{n}", Revision(2 + n), 3600)
            await asyncio.sleep(0.2)
        expiry.add("/1", Revision(9), 7000)
        await asyncio.sleep(3601)
        assert [[key for key, _ in due] for _, due in calls] == [["/0"], ["/2"]]
        assert [at for at, _ in calls] == [3600, 3601]
        await asyncio.sleep(3601)
        assert [due for _, due in calls[2:]] == [[("/1", 9)], [("/late", 1)]]
        expiry.add("/x", Revision(10), 10)
        expiry.close()
        await asyncio.sleep(20)
        assert len(calls) == 4

    run_simulated(scenario())


def test_what_is_left_is_known_of_the_newest_time_of_each_key() -> None:
    async def scenario() -> None:
        expiry = Expiry(lambda due: None)
        expiry.add("/a", Revision(1), 100)
        expiry.add("/b", Revision(2), 50)
        expiry.add("/a", Revision(3), 200)
        await asyncio.sleep(30)
        assert expiry.remaining() == {("/a", 3): 170, ("/b", 2): 20}
        await asyncio.sleep(30)
        assert expiry.remaining() == {("/a", 3): 140}
        expiry.close()

    run_simulated(scenario())


@given(ttl=st.floats(1, 1e6), passed=st.floats(0, 1e6), jump=st.floats(-1e9, 1e9))
def test_a_jump_of_the_clock_costs_no_more_than_itself_and_keeps_nothing_for_ever(
    ttl: float, passed: float, jump: float
) -> None:
    wrote = 1e9
    remaining = left(wrote + ttl, ttl, wrote + passed + jump)
    true = max(0.0, ttl - passed)
    assert 0 <= remaining <= ttl
    assert remaining >= true - max(0.0, jump) - 1e-3
    if jump == 0:
        assert remaining == pytest.approx(true, abs=1e-3)
