"""Links between members of an etcd cluster that can be cut without touching the machine's network.

A member dials its peers through the proxy that HTTPS_PROXY names, as Go's net/http does for every host that is not called
127.0.0.1 or localhost; so peers advertise the name below. Each member has a proxy of its own, which therefore knows who
calls whom. A cut link is silent, as one whose packets are lost: nothing is refused, and all arrives once it is mended.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

HOST = "LOCALHOST"
"""Resolves as localhost does, and is dialled through a proxy all the same."""
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Links:
    """Of members that listen for their peers on these ports of loopback. `close()` in the end."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="etcd-links", daemon=True)
        self._thread.start()
        self._passing: dict[tuple[int, int], asyncio.Event] = {}
        """By who dials and who is dialled."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._proxies = self._do(self._open(list(ports)))

    def proxy(self, port: int) -> str:
        """What the member that listens there is given as HTTPS_PROXY."""
        return f"http://127.0.0.1:{self._proxies[port]}"

    def cut(self, ports: Iterable[int]) -> None:
        """Members that listen there hear nothing of the others any more, nor the others of them."""
        self._do(self._set(set(ports)))

    def mend(self) -> None:
        """All hear each other."""
        self._do(self._set(set()))

    def close(self) -> None:
        """Ends all connections."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _open(self, ports: list[int]) -> dict[int, int]:
        found = {}
        for port in ports:
            for other in ports:
                self._passing[port, other] = passing = asyncio.Event()
                passing.set()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dialer: int = port) -> None:
                task = asyncio.current_task()
                assert task is not None
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await self._serve(reader, writer, dialer)

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            self._servers.append(server)
            found[port] = server.sockets[0].getsockname()[1]
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dialer: int) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            port = int(request.split()[1].rpartition(b":")[2])
            passing = self._passing[dialer, port]
            await passing.wait()
            there, back = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_ESTABLISHED)
                ways = [asyncio.create_task(_pass(*way, passing)) for way in ((reader, back), (there, writer))]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
            finally:
                back.transport.abort()
        finally:
            writer.transport.abort()

    async def _set(self, apart: set[int]) -> None:
        for (one, other), passing in self._passing.items():
            if (one in apart) != (other in apart):
                passing.clear()
            else:
                passing.set()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            await passing.wait()
            writer.write(data)
            await writer.drain()
