"""Bulk: large answers in slices. Each takes a turn of the loop, so that short requests are answered between two of them.

encodings.py makes the slices as they are asked for; what fits into one is answered whole.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import orjson

from pybernetes.aio.turns import Turns
from pybernetes.wire.gzip import Packer

SLICE = 256 * 1024
"""Bytes after which a slice ends: about a third of a millisecond of the loop, through TLS."""


class Bulk:
    """The body of an answer that goes out in slices; iterated once. wire's server closes it, however that ends."""

    whole = True
    """It is all there: a peer that does not read it is cut off (wire.server)."""

    def __init__(self, slices: Iterator[bytes], turns: Turns) -> None:
        self._slices = slices
        self._turns = turns
        self._packer: Packer | None = None
        self._at_end: list[Callable[[int], None]] = []
        self.sent = 0
        """Bytes so far, before they are packed."""

    def pack(self, packer: Packer) -> None:
        """Sends it gzipped."""
        self._packer = packer

    def indent(self) -> None:
        """Sends a list in JSON as people like to read it."""
        self._slices = _indented(self._slices)

    def at_end(self, call: Callable[[int], None]) -> None:
        """Calls with the bytes sent, once nothing more is."""
        self._at_end.append(call)

    def __aiter__(self) -> "Bulk":
        return self

    async def __anext__(self) -> bytes:
        while True:
            await self._turns.take()
            piece = next(self._slices, None)
            if piece is None:
                return await self._rest()
            self.sent += len(piece)
            if self._packer is not None and piece:
                piece = await self._packer.feed(piece)
            if piece:
                return piece

    async def _rest(self) -> bytes:
        packer, self._packer = self._packer, None
        if packer is not None:
            return await packer.finish()
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Nothing more is asked for. May be called twice."""
        self._slices = iter(())
        calls, self._at_end = self._at_end, []
        for call in calls:
            call(self.sent)


async def gathered(slices: Iterable[bytes], turns: Turns) -> bytes | Bulk:
    """The whole where it fits into one slice, else a Bulk. An empty slice is a wish for another turn."""
    pieces, begun = list[bytes](), iter(slices)
    for piece in begun:
        if not piece:
            await turns.take()
            continue
        pieces.append(piece)
        if len(pieces) == 2:
            return Bulk(chain(pieces, begun), turns)
    return pieces[0] if pieces else b""


def paced(parts: Iterable[bytes], at_once: int) -> Iterator[bytes]:
    """The parts, with a wish for another turn (an empty one) after so many: each of them is much work to make."""
    for count, part in enumerate(parts, 1):
        yield part
        if not count % at_once:
            yield b""


def joined(head: bytes, separator: bytes, parts: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    """`head`, the parts with separators between them, `end`, in slices that begin and end between two parts.

    An empty part is a wish for another turn, and becomes an empty slice.
    """
    before, batch, size = head, list[bytes](), 0
    for part in parts:
        if not part:
            yield part
            continue
        batch.append(part)
        size += len(part)
        if size >= SLICE:
            batch[0] = before + batch[0]
            yield separator.join(batch)
            before, batch, size = separator, [], 0
    if batch:
        batch[0] = before + batch[0]
        batch[-1] += end
        yield separator.join(batch)
    else:
        yield head + end if before is head else end


def _indented(slices: Iterator[bytes]) -> Iterator[bytes]:
    """Each slice begins and ends between two items, so it is a list of its own once the brackets are there."""
    begin, piece = b"", b""
    for following in slices:
        if not following:
            yield b""
            continue
        if piece:
            yield _as_people_read(begin, piece, last=False)
            begin = b'{"x":['
        piece = following
    if piece:
        yield _as_people_read(begin, piece, last=True)


def _as_people_read(begin: bytes, piece: bytes, *, last: bool) -> bytes:
    items = piece.removeprefix(b",") if begin else piece
    text = orjson.dumps(orjson.loads(begin + items + (b"" if last else b"]}")), option=orjson.OPT_INDENT_2)
    if begin:
        text = _CLOSED if items == b"]}" else b"," + text.removeprefix(_OPENED)
    return text if last else text.removesuffix(_CLOSED)


_OPENED = b'{\n  "x": ['
_CLOSED = b"\n  ]\n}"
