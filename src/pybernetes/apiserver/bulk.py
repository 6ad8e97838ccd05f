"""Bulk: large answers in slices. Some of them take a turn of the loop, and short requests are answered between two turns.

encodings.py makes the slices as they are asked for; what fits into one is answered whole.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain

import orjson

from pybernetes.aio.turns import Turns
from pybernetes.wire.gzip import Packer

SLICE = 64 * 1024
"""Bytes after which a slice ends: few enough to stay in the processor's cache until they are sent."""
TURN = 1024 * 1024
"""Bytes that go out in one turn: about half a millisecond of the loop, through TLS."""


class Slices:
    """Slices that are made when they are asked for; an empty one only lets others have their turn."""

    def __init__(self, slices: Iterator[bytes], size: int | None = None) -> None:
        self._slices = slices
        self.size = size
        """Bytes of all, where that is known before all are made: at the latest when the first is there."""

    def __iter__(self) -> "Slices":
        return self

    def __next__(self) -> bytes:
        return next(self._slices)


class Bulk:
    """The body of an answer that goes out in slices; iterated once. wire's server closes it, however that ends."""

    whole = True
    """It is all there: a peer that does not read it is cut off (wire.server)."""

    def __init__(self, slices: Slices, turns: Turns) -> None:
        self.length = slices.size
        """Bytes that will come, where that is known: the server frames them so."""
        self._slices: Iterator[bytes] = slices
        self._turns = turns
        self._left = 0  # bytes of the turn at hand
        self._packer: Packer | None = None
        self._at_end: list[Callable[[int], None]] = []
        self.sent = 0
        """Bytes so far, before they are packed."""

    def pack(self, packer: Packer) -> None:
        """Sends it gzipped."""
        self._packer = packer
        self.length = None

    def indent(self) -> None:
        """Sends a list in JSON as people like to read it."""
        self._slices = _indented(self._slices)
        self.length = None

    def at_end(self, call: Callable[[int], None]) -> None:
        """Calls with the bytes sent, once nothing more is."""
        self._at_end.append(call)

    def __aiter__(self) -> "Bulk":
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._left <= 0:
                await self._turns.take()
                self._left = TURN
            piece = next(self._slices, None)
            if piece is None:
                return await self._rest()
            self._left -= len(piece) or TURN
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


async def gathered(slices: Slices, turns: Turns) -> bytes | Bulk:
    """The whole where it fits into one slice, else a Bulk. An empty slice is a wish for another turn."""
    pieces = list[bytes]()
    for piece in slices:
        if not piece:
            await turns.take()
            continue
        pieces.append(piece)
        if len(pieces) == 2:
            return Bulk(Slices(chain(pieces, slices), slices.size), turns)
    return pieces[0] if pieces else b""


def paced(parts: Iterable[bytes], at_once: int) -> Iterator[bytes]:
    """The parts, with a wish for another turn (an empty one) after so many: each of them is much work to make."""
    for count, part in enumerate(parts, 1):
        yield part
        if not count % at_once:
            yield b""


def joined(head: bytes, separator: bytes, parts: Iterable[bytes], end: bytes) -> Slices:
    """`head`, the parts with separators between them, `end`, in slices that begin and end between two parts.

    The size is known when the parts are a list. Of others an empty part is a wish for another turn, and becomes an empty
    slice.
    """
    if not isinstance(parts, list):
        return Slices(_joined(head, separator, _made(parts), end))
    ends = list(accumulate(map(len, parts)))
    size = len(head) + (ends[-1] + len(separator) * (len(parts) - 1) if parts else 0) + len(end)
    return Slices(_joined(head, separator, _cut(parts, ends), end), size)


def _joined(head: bytes, separator: bytes, batches: Iterator[list[bytes]], end: bytes) -> Iterator[bytes]:
    before, batch = head, list[bytes]()
    for following in batches:
        if not following:
            yield b""
            continue
        if batch:
            batch[0] = before + batch[0]
            yield separator.join(batch)
            before = separator
        batch = following
    if batch:
        batch[0] = before + batch[0]
        batch[-1] += end
        yield separator.join(batch)
    else:
        yield head + end


def _cut(parts: list[bytes], ends: list[int]) -> Iterator[list[bytes]]:
    """The parts of each slice, found by where each part ends."""
    begin, sent = 0, 0
    while begin < len(parts):
        finish = min(bisect_left(ends, sent + SLICE) + 1, len(parts))
        yield parts[begin:finish]
        begin, sent = finish, ends[finish - 1]


def _made(parts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The same of parts that are made one after another; an empty batch is a wish for another turn."""
    batch, size = list[bytes](), 0
    for part in parts:
        if not part:
            yield []
            continue
        batch.append(part)
        size += len(part)
        if size >= SLICE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


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
