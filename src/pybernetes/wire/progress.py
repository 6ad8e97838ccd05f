"""Progress: whether a peer takes what it is sent. An honest one may be slow; one that takes nothing, or drips, is cut off.

server.py's sweep asks, through each connection, and only about connections that have something to send.
"""

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress


class Taking:
    """What one peer has taken, in windows of `seconds`: `rate` bytes a second at least."""

    __slots__ = ("_rate", "_seconds", "_since", "_unsent")

    def __init__(self, seconds: float, rate: int) -> None:
        self._seconds = seconds
        self._rate = rate
        self._since = -1.0
        self._unsent = 0

    def reset(self) -> None:
        """It has taken all that waited for it."""
        self._since = -1.0

    def late(self, transport: asyncio.Transport, now: float) -> bool:
        """Whether it took too little since the window began; nothing was written in between."""
        if self._since < 0:
            self._since, self._unsent = now, unsent(transport)
        elif now - self._since >= self._seconds:
            left = unsent(transport)
            if self._unsent - left < self._rate * (now - self._since):
                return True
            self._since, self._unsent = now, left
        return False


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that have not arrived at the peer's machine: those that wait here, and in the kernel (tcp(7), SIOCOUTQ)."""
    size = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError, ValueError):  # closed meanwhile
            (queued,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
            size += queued
    return size
