"""Dialing a name with several addresses, as of a control plane without a load balancer before it."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from pybernetes.wire.dial import Dialer, DialError, TimedOutError

AWAY = "127.0.0.9"
"""Somebody is there who takes no connections, and does not refuse them either."""


class Named(Dialer):
    """Its name has the addresses that the test gives."""

    def __init__(self, addresses: list[str], port: int, timeout: float) -> None:
        super().__init__("name.test", port, ssl=None, server_name="name.test", unix_path=None, timeout=timeout)
        self.addresses = addresses

    async def _resolve(self) -> list[str]:
        return self.addresses


@pytest.fixture
def away() -> Iterator[int]:
    """A port of AWAY whose queue of connections is full: what more comes is dropped, as by a machine without power."""
    with socket.create_server((AWAY, 0), backlog=0) as listening:
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
            waiting.append(sock)
        yield listening.getsockname()[1]
        for sock in waiting:
            sock.close()


async def test_an_address_that_is_silent_leaves_time_for_the_next(away: int) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", away)
    began = asyncio.get_running_loop().time()
    made = await Named([AWAY, "127.0.0.1"], away, timeout=2.0).dial(asyncio.Protocol)
    assert made is not None
    assert asyncio.get_running_loop().time() - began >= 1.0, "the first had its share"
    server.close()


async def test_what_the_first_address_said_is_told_if_none_answers(away: int) -> None:
    with pytest.raises(TimedOutError, match=f"dial tcp {AWAY}:{away}: i/o timeout"):
        await Named([AWAY, "127.0.0.1"], away, timeout=0.4).dial(asyncio.Protocol)
    with pytest.raises(DialError, match=f"dial tcp 127.0.0.1:{away}: connect: connection refused"):
        await Named(["127.0.0.1", AWAY], away, timeout=0.4).dial(asyncio.Protocol)
