"""Dumps: all keys of a store as lines of JSON, and from one store into another. cmd/_store.py is the command.

The file (docs/reference/store-dump.md): a line that says what it is, a line a key in byte order, and a last line with
the number of keys and the SHA-256 of everything before it. Nothing is taken from a file whose last line does not fit.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from pybernetes.aio.clock import parse_time, rfc3339_micro
from pybernetes.store._halt import Halt
from pybernetes.store.protocol import Compacted, KeyExists, Revision, Store, Stored, StoreError

FORMAT = "pybernetes-store-dump"
VERSION = 1
ROOT = "/registry/"
"""Where a cluster's keys are; others in an etcd are somebody else's."""
EVENTS = "/registry/events/"
_PAGE = 500
_LONGEST_LINE = 64 << 20

Lifetime = Callable[[str], float | None]
"""Seconds that a key is given where it is put back; None: it stays."""


class DumpError(Exception):
    """A file that is no dump, or not a whole one; or a store that cannot take one. Says what to do."""


class Head(Struct, frozen=True):
    """What a dump says of itself."""

    revision: Revision
    """Of the store when it was taken: all keys are as they were then."""
    source: str
    """The kind of store it is from."""
    time: float | None = None
    """When it was taken, in seconds since 1970; None where it does not say."""


async def keys_of(store: Store, at: Revision) -> AsyncIterator[Sequence[Stored]]:
    """Every key of the cluster as of a revision, in pages, in byte order. Raises DumpError."""
    after = ""
    while True:
        try:
            page = await store.range(ROOT, after=after, limit=_PAGE, at=at)
        except Compacted:
            raise DumpError("the store forgot its history while it was read; try again when less is written") from None
        yield page.items
        if not page.more:
            return
        after = page.items[-1].key


class Writer:
    """Writes a dump: the head at once, then put() all keys in byte order, then end()."""

    def __init__(self, head: Head, out: BinaryIO) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self._count = 0
        said = {"format": FORMAT, "version": VERSION, "revision": head.revision, "source": head.source}
        if head.time is not None:
            said["time"] = rfc3339_micro(head.time)
        self._write(orjson.dumps(said) + b"\n")

    def put(self, items: Sequence[Stored]) -> None:
        """The next keys."""
        self._write(b"".join(_line(stored) for stored in items))
        self._count += len(items)

    def end(self) -> int:
        """The last line; how many keys there are."""
        self._out.write(orjson.dumps({"keys": self._count, "sha256": self._digest.hexdigest()}) + b"\n")
        self._out.flush()
        return self._count

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._out.write(data)


async def write(store: Store, source: str, time: float, out: BinaryIO) -> tuple[Revision, int]:
    """Dumps a store; its revision and the number of keys."""
    revision = await store.revision()
    writer = Writer(Head(revision, source, time), out)
    async for page in keys_of(store, revision):
        await asyncio.to_thread(writer.put, page)
    return revision, writer.end()


def _line(stored: Stored) -> bytes:
    line: dict[str, Any] = {"key": stored.key, "created": stored.created, "revision": stored.revision}
    try:
        line["value"] = stored.value.decode()
    except UnicodeDecodeError:
        line["base64"] = b64encode(stored.value).decode()
    return orjson.dumps(line) + b"\n"


class _Line(Struct, frozen=True):
    """A key of a dump."""

    key: str
    created: Annotated[int, Meta(ge=1)]
    revision: Annotated[int, Meta(ge=1)]
    value: str | None = None
    base64: bytes | None = None


_LINES = Decoder(_Line)


class Dump:
    """A dump in a file. Making one reads all of it once, so that no half of a file is ever put back.

    Raises DumpError, Halted.
    """

    def __init__(self, path: Path, name: str = "", halt: Halt | None = None) -> None:
        self._path = path
        self._name = name or str(path)
        self._halt = halt or Halt()
        try:
            self.head, self.keys = self._proven()
        except OSError as error:
            raise DumpError(f"cannot read {self._name}: {error.strerror}") from None

    def __iter__(self) -> Iterator[Stored]:
        with self._path.open("rb") as file:
            file.readline(_LONGEST_LINE)
            for _ in range(self.keys):
                said = _LINES.decode(file.readline(_LONGEST_LINE))
                value = said.base64 if said.value is None else said.value.encode()
                yield Stored(said.key, value or b"", Revision(said.created), Revision(said.revision))

    def _proven(self) -> tuple[Head, int]:
        digest, count, last, key, wrong = hashlib.sha256(), 0, b"", "", ""
        with self._path.open("rb") as file:
            first = file.readline(_LONGEST_LINE)
            head = self._head(first)
            for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
                digest.update(last or first)
                if last and not wrong:
                    key, wrong = self._checked(last, key, head)
                    wrong = wrong and f"line {count + 1} of {self._name} cannot be put back: {wrong}"
                count, last = count + 1, line
                self._halt.check()
        try:
            end = orjson.loads(last)
            whole = last.endswith(b"\n") and end == {"keys": count - 1, "sha256": digest.hexdigest()}
        except orjson.JSONDecodeError:
            whole = False
        if not whole:
            raise DumpError(f"{self._name} is damaged, or not all of it is there; take another copy or another dump")
        if wrong:
            raise DumpError(wrong)
        return head, count - 1

    def _checked(self, line: bytes, before: str, head: Head) -> tuple[str, str]:
        """The key of a line, and what is wrong with it though it is as it was written."""
        try:
            said = _LINES.decode(line)
        except DecodeError as error:
            return "", str(error)
        key, wrong = said.key, ""
        if not key.startswith(ROOT):
            wrong = f"{key} is not below {ROOT}"
        elif key.encode() <= before.encode():
            wrong = f"{key} is not after {before} in byte order"
        elif not said.created <= said.revision <= head.revision:
            wrong = (
                f"{key} was created at {said.created} and written at {said.revision}, the store was at {head.revision}"
            )
        elif (said.value is None) == (said.base64 is None):
            wrong = f"{key} has no value, or two"
        return key, wrong

    def _head(self, line: bytes) -> Head:
        try:
            said = orjson.loads(line)
            if said["format"] != FORMAT:
                raise ValueError(said)
            version, revision = said["version"], said["revision"]
            if type(version) is not int or type(revision) is not int or not 0 <= revision < 1 << 63:
                raise ValueError(said)
            time = parse_time(said["time"]) if "time" in said else None
            head = Head(Revision(revision), str(said["source"]), time)
        except (ValueError, KeyError, TypeError):
            raise DumpError(f"{self._name} is no dump of a store; `pybernetes store dump` writes one") from None
        if version != VERSION:
            raise DumpError(f"{self._name} was written by a newer version (format {version}); upgrade")
        return head


def lifetime(events: float) -> Lifetime:
    """Events go so many seconds after they were put back; everything else stays."""
    return lambda key: events if key.startswith(EVENTS) else None


async def pages(records: Iterable[Stored]) -> AsyncIterator[Sequence[Stored]]:
    """A dump as keys_of() gives a store."""
    page: list[Stored] = []
    for stored in records:
        page.append(stored)
        if len(page) == _PAGE:
            yield page
            page = []
            await asyncio.sleep(0)  # it may be called off
    yield page


async def put_back(store: Store, keys: AsyncIterator[Sequence[Stored]], life: Lifetime) -> int:
    """Creates all keys in an empty store, at revisions of its own; how many. Raises DumpError."""
    count = 0
    if (await store.range(ROOT, limit=1)).items:
        raise DumpError("the store is not empty; name an empty one, or remove what it has under /registry/ first")
    async for page in keys:
        writes = (store.create(stored.key, stored.value, ttl=life(stored.key)) for stored in page)
        for outcome in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(outcome, KeyExists):
                raise DumpError("somebody else writes to the store; stop the API server, empty the store and try again")
            if isinstance(outcome, StoreError):
                raise DumpError(f"{outcome}; then empty the store and try again")
            if isinstance(outcome, BaseException):
                raise outcome
        count += len(page)
    return count
