"""Limits: what one server lets its peers send, and how long it waits for them. server_connection.py holds them to it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server: bytes and seconds. The defaults are upstream's, where it has one."""

    body: int = 3 * 1024 * 1024
    """Largest request body; more is answered 413."""
    head: int = 128 * 1024
    """Request line and headers together; more is answered 431."""
    head_seconds: float = 32.0
    """From the first byte of a request to the end of its headers, and from the last byte of its body to the next."""
    body_seconds: float = 60.0
    """From the end of the headers to the last byte of the body (upstream's time for a whole request); one that takes longer
    must have come at `slowest` bytes a second since."""
    slowest: int = 1024
    """Bytes a second that a peer must send of a long body, and take of an answer that is whole."""
    idle_seconds: float = 120.0
    """An unused connection. Longer than our clients keep theirs, so that they close first and no request is lost."""
    write_seconds: float = 60.0
    """A peer that takes less than `slowest` of a whole body for so long is cut off. One that pauses in a stream (a log in a
    pager) holds one chunk, and may."""
    handshake_seconds: float = 10.0
    linger_seconds: float = 2.0
    """How long a refused sender may go on sending before the socket is closed under it."""
