"""gzip of answers (RFC 9110, section 8.4): who takes it, and the work. server_connection.py compresses what is large."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from pybernetes.wire.http import Headers

_IN_THREAD_FROM = 1024 * 1024


class Compressor:
    """gzip, level 1: on a local network more costs more than it saves. Large bodies do not hold up the loop."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    async def compress(self, body: bytes) -> bytes:
        """The body, packed."""
        if len(body) < _IN_THREAD_FROM:
            return _gzip(body)
        return await self._in_thread(_gzip, body)

    def stream(self) -> "Packer":
        """Packs an answer that goes out piece by piece."""
        return Packer(self._in_thread)

    async def _in_thread(self, call: Callable[..., bytes], *arguments: bytes) -> bytes:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="wire-gzip")
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def close(self) -> None:
        """Waits for what is being packed."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)


class Packer:
    """One gzip stream, made in the compressor's thread."""

    def __init__(self, in_thread: Callable[..., Awaitable[bytes]]) -> None:
        self._in_thread = in_thread
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 31)

    async def feed(self, piece: bytes) -> bytes:
        """What can be sent after this piece; often nothing yet."""
        return await self._in_thread(self._packer.compress, piece)

    async def finish(self) -> bytes:
        """What is left."""
        return await self._in_thread(self._packer.flush)


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def takes_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding names gzip, and not to refuse it."""
    for value in headers.all("accept-encoding"):
        for item in value.split(","):
            name, _, parameters = item.partition(";")
            if name.strip().lower() == "gzip" and parameters.replace(" ", "").rstrip("0.") != "q=":
                return True
    return False
