"""A Connection makes its writers wait while the peer takes nothing, and tells all of them when it does again or is gone."""

import asyncio

import pytest

from pybernetes.wire.streams import Connection, ConnectionClosedError


class Closed(asyncio.Transport):
    def is_closing(self) -> bool:
        return True


@pytest.fixture
def connection() -> Connection:
    made = Connection()
    made.connection_made(Closed())
    made.pause_writing()
    return made


async def waiting(*calls: "asyncio.Future[None]") -> None:
    """Every task has run as far as it can."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(call.done() for call in calls)


async def test_all_who_wait_go_on_when_the_peer_takes_something(connection: Connection) -> None:
    first, second = (asyncio.ensure_future(connection.drain()) for _ in range(2))
    await waiting(first, second)
    connection.resume_writing()
    await asyncio.gather(first, second)
    await connection.drain()


async def test_who_gives_up_waiting_takes_nobody_along(connection: Connection) -> None:
    first, second = (asyncio.ensure_future(connection.drain()) for _ in range(2))
    await waiting(first, second)
    first.cancel()
    await waiting(second)
    connection.resume_writing()
    await second
    assert first.cancelled()


async def test_who_was_woken_waits_on_when_the_peer_is_slow_again(connection: Connection) -> None:
    draining = asyncio.ensure_future(connection.drain())
    await waiting(draining)
    connection.resume_writing()
    connection.pause_writing()
    await waiting(draining)
    connection.resume_writing()
    await draining


async def test_the_end_is_told_to_who_waits_for_it_and_to_who_wants_to_send(connection: Connection) -> None:
    draining, gone = asyncio.ensure_future(connection.drain()), asyncio.ensure_future(connection.gone())
    await waiting(draining, gone)
    connection.resume_writing()
    await draining
    await waiting(gone)
    connection.pause_writing()
    draining = asyncio.ensure_future(connection.drain())
    await waiting(draining, gone)
    connection.connection_lost(None)
    await gone
    with pytest.raises(ConnectionClosedError):
        await draining
    with pytest.raises(ConnectionClosedError):
        await connection.drain()
    await connection.gone()
    assert connection.lost
