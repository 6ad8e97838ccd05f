"""The Store protocol: revisioned keys. memory.py and sqlite.py implement it; tests/suites/store proves them alike.

Keys are laid out as upstream does: /registry/<resource or group/resource>/<namespace>/<name>. The store knows nothing
of objects: values are bytes. One counter serves the whole store: every write gets the next revision.
"""

from collections.abc import Sequence
from typing import Literal, NewType, Protocol

from msgspec import Struct

Revision = NewType("Revision", int)
"""Position in the store's one history; 0 is before the first write."""


class Stored(Struct, frozen=True, gc=False):
    """A key's value at a revision."""

    key: str
    value: bytes
    created: Revision
    revision: Revision


class Event(Struct, frozen=True, gc=False):
    """One write, as a watch delivers it. A delete carries the last value in `previous`."""

    type: Literal["PUT", "DELETE"]
    key: str
    revision: Revision
    value: bytes = b""
    previous: Stored | None = None
    created: Revision = Revision(0)
    """Of a PUT: equal to `revision` where the key is new."""


class Range(Struct, frozen=True):
    """A page of keys in byte order, all as of `revision`."""

    items: Sequence[Stored]
    revision: Revision
    more: bool
    remaining: int
    """Keys after this page, at the same revision."""


class Watch(Protocol):
    """Events after a revision: each once, in revision order. Close it with `aclose()`."""

    def __aiter__(self) -> "Watch": ...

    async def __anext__(self) -> Sequence[Event]:
        """The next batch: all that are there, at least one. Raises Compacted when history is lost, or SlowWatcher."""

    async def aclose(self) -> None: ...


class StoreError(Exception):
    """What a store refuses."""


class KeyExists(StoreError):
    """create() of a key that is there."""


class Mismatch(StoreError):
    """The key is not at the expected revision; `current` is what is there now, None if nothing."""

    def __init__(self, key: str, current: Stored | None) -> None:
        super().__init__(f"{key} is not at the expected revision")
        self.current = current


class Compacted(StoreError):
    """The revision asked for is older than the history kept; `oldest` is the oldest that can be read."""

    def __init__(self, oldest: Revision) -> None:
        super().__init__(f"history before revision {oldest} is compacted")
        self.oldest = oldest


class FutureRevision(StoreError):
    """The revision asked for has not happened."""


class SlowWatcher(StoreError):
    """The watcher fell too far behind and was cut off; it must list again."""


class Unavailable(StoreError):
    """The store cannot answer now (full disk, no quorum, closed). Nothing was acknowledged."""


class OutcomeUnknown(Unavailable):
    """The store was lost while it had a write in hand: it may have been done, or may still be. Only reading tells."""


class TooLarge(StoreError):
    """The store takes no value of this size."""


class Store(Protocol):
    """Revisioned keys. A write that returned survives kill -9 and power loss (memory.py excepted)."""

    shared: bool
    """Whether other processes may use it at the same time."""

    async def get(self, key: str, at: Revision | None = None) -> Stored | None: ...

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, at: Revision | None = None) -> Range:
        """Keys that start with `prefix` and sort after `after`; `limit` 0 is all. Raises Compacted, FutureRevision."""
        ...

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> Revision:
        """With `ttl` the key goes so many seconds later, or a little after that, as a DELETE event. Raises KeyExists."""
        ...

    async def update(self, key: str, value: bytes, expected: Revision, *, ttl: float | None = None) -> Revision:
        """`ttl` counts from now on; without it the key stays, whatever it was given before. Raises Mismatch."""
        ...

    async def delete(self, key: str, expected: Revision) -> Revision:
        """The revision of the deletion. Raises Mismatch."""
        ...

    async def watch(self, prefix: str, after: Revision) -> Watch:
        """Every event of `prefix` after that revision. Raises Compacted, FutureRevision; the watch may, too.

        With an empty prefix every revision is told of, in a store that is shared also by an event without a key: a
        write to what is not ours.
        """
        ...

    async def compact(self, before: Revision) -> None:
        """Forgets history before that revision; the newest value of every live key stays.

        Afterwards get and range answer for that revision and later ones, and a watch can begin after it. An older
        `before` than the last does nothing. Raises FutureRevision.
        """
        ...

    async def revision(self) -> Revision:
        """The newest revision: of all writes that anybody was told of before the call."""
        ...

    def fault(self) -> str:
        """Why the store cannot answer now, as far as it is known without asking; empty when it can."""
        ...

    async def close(self) -> None:
        """Ends all watches (their iteration stops) and releases files; further calls raise Unavailable."""
        ...


class StoreFactory(Struct, frozen=True):
    """What `STORE` in store/<name>.py is: how `--storage-backend=<name>` opens it."""

    name: str
    help: str
    open: "OpenCall"


class OpenCall(Protocol):
    """Opens a store at a location (a path, or endpoints). Raises Unavailable with what to do next."""

    async def __call__(self, location: str) -> Store: ...
