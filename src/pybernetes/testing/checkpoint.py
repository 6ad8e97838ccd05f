"""Checkpoints: the whole state of a cluster, taken in one step, put back into a running one, begun with, kept in a file.

state = await cluster.checkpoint()
...
await cluster.restore(state)        # what came since is gone; whoever watches sees it as changes
Cluster(state=state)                # another cluster that begins there
state.save(path); Checkpoint.load(path)

Objects come back with their uids; resourceVersions only rise. What is in the store comes back, time does not: Leases,
deadlines and timestamps are as old as they were written, Events have as long as they had left. The world outside of the
store (Pods' processes, other clients' memory) is not taken.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import orjson
from msgspec import Struct

from pybernetes.aio.clock import rfc3339, seconds_of
from pybernetes.assembly.controlplane import ControlPlane
from pybernetes.store.dump import EVENTS, ROOT, Dump, DumpError, Head, Writer
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Revision, Stored
from pybernetes.testing.errors import OptionError
from pybernetes.testing.traffic import Traffic
from pybernetes.wire.pki.certificates import Authority
from pybernetes.wire.pki.files import write_private
from pybernetes.wire.pki.keys import PrivateKey

_QUIET = 20
"""Turns of the loop without anything under way, after which nothing follows by itself."""
_PATIENCE = 5000
"""Turns of the loop that are waited for what may never come: a request that a fault delays, an informer that is cut off."""
_SLICE = 2000
"""Changes after which whoever watches gets time to read."""
_CREATED = re.compile(rb'"creationTimestamp":"([^"]+)"')


class Trust(Struct, frozen=True):
    """What signs for a cluster, so that certificates and tokens are good in one that begins with its state."""

    authority: Authority
    signing_key: PrivateKey
    """Of ServiceAccounts' tokens."""


class Checkpoint:
    """The state of a cluster at one moment. Cheap: it shares its bytes with the cluster that it is from."""

    def __init__(
        self,
        items: Sequence[Stored],
        revision: Revision,
        *,
        source: str = "memory",
        time: float | None = None,
        lifetimes: Mapping[str, float] | None = None,
        trust: Trust | None = None,
    ) -> None:
        self.items = items
        """All keys of the store in byte order, with their values."""
        self.revision = revision
        """Of the store when it was taken."""
        self.source = source
        """The kind of store it is from."""
        self.time = time
        """When it was taken, in seconds since 1970 of that cluster's clock; None where that is not known."""
        self.trust = trust
        """Of the cluster that it is from; None for one that was loaded."""
        self._lifetimes = lifetimes or {}

    def __repr__(self) -> str:
        taken = f" at {rfc3339(self.time)}" if self.time is not None else ""
        return f"<Checkpoint of {len(self.items)} keys at revision {self.revision}{taken}>"

    def save(self, path: Path | str) -> None:
        """Writes it in the format of `pybernetes store dump`, for its owner alone: Secrets are in it. Raises OptionError."""
        content = BytesIO()
        writer = Writer(Head(self.revision, self.source, self.time), content)
        writer.put(self.items)
        writer.end()
        try:
            write_private(Path(path), content.getvalue())
        except OSError as error:
            raise OptionError(f"cannot write {path}: {error.strerror}") from None

    @classmethod
    def load(cls, path: Path | str) -> "Checkpoint":
        """What save() wrote, or `pybernetes store dump` of any cluster. Raises OptionError for a file that is neither."""
        try:
            dump = Dump(Path(path))
            items = tuple(dump)
        except DumpError as error:
            raise OptionError(str(error)) from None
        time = dump.head.time if dump.head.time is not None else _newest(items)
        return cls(items, dump.head.revision, source=dump.head.source, time=time)

    def store(self, event_seconds: float) -> MemoryStore:
        """A new store that begins with it. Events have what they had left, else so many seconds."""
        return MemoryStore(self.items, self.revision, self.lifetimes(event_seconds))

    def lifetimes(self, event_seconds: float) -> dict[str, float]:
        """Seconds that Events have."""
        keys = (stored.key for stored in self.items if stored.key.startswith(EVENTS))
        return {key: self._lifetimes.get(key, event_seconds) for key in keys}


def _newest(items: Iterable[Stored]) -> float | None:
    """When the newest object was made: a file of before files said when they were taken."""
    found = (match[1].decode() for stored in items for match in _CREATED.finditer(stored.value))
    return max((seconds_of(stamp) for stamp in found), default=None)


class Parts(Struct, frozen=True):
    """A running cluster, as far as its state concerns it."""

    store: MemoryStore
    plane: ControlPlane
    traffic: Traffic
    trust: Trust


async def take(parts: Parts) -> Checkpoint:
    """The state as it is now."""
    page, store = await parts.store.range(ROOT), parts.store
    return Checkpoint(
        page.items, page.revision, time=parts.plane.clock.now(), lifetimes=store.lifetimes(), trust=parts.trust
    )


async def put_back(state: Checkpoint, parts: Parts) -> int:
    """Brings a running cluster to a state; how many changes that were.

    Meanwhile its own components decide nothing: what they have begun ends before, and they go on once they have seen all
    of it, so that no decision comes from a mixture of two states. Requests of others that are under way are done before
    or after.
    """
    nodes = parts.plane.nodes
    with parts.plane.pause.holding():
        await _quiet(parts)
        with nodes.holding() if nodes is not None else nullcontext():
            changes = await _change(state, parts)
            await _seen(parts)
    return changes


async def _quiet(parts: Parts) -> None:
    """Until what components have begun is done."""
    quiet = 0
    for _ in range(_PATIENCE):
        quiet = 0 if parts.plane.pause.under_way or parts.traffic.under_way else quiet + 1
        if quiet == _QUIET:
            return
        await asyncio.sleep(0)


async def _seen(parts: Parts) -> None:
    """Until the API server serves what there is, and components know of it."""
    revision = await parts.store.revision()
    await parts.plane.api.cache.taken_in(revision)
    await _until(lambda: parts.plane.api.settled)
    parts.plane.api.handlers.reads.bookmark_now()
    await _until(lambda: not any(informers.behind(revision) for informers in parts.plane.informers))


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(_PATIENCE):
        if holds():
            return
        await asyncio.sleep(0)


class Change(Struct, frozen=True):
    """One step towards a state: `wanted` None is a deletion."""

    key: str
    wanted: Stored | None = None


def plan(now: Sequence[Stored], then: Sequence[Stored]) -> list[Change]:
    """What is to be written, in an order in which it could have come about.

    First what is gone, the newest first (a Pod before its ReplicaSet, objects before their definition and their
    namespace), then what is to be there, the oldest first. An object under the name of another goes before that comes.
    """
    wanted, gone, there = {stored.key: stored for stored in then}, list[Stored](), list[Stored]()
    for stored in now:
        other = wanted.pop(stored.key, None)
        if other is None:
            gone.append(stored)
        elif not same(other, stored):
            there.append(other)
            if _uid(other) != _uid(stored):
                gone.append(stored)
    there += wanted.values()
    gone.sort(key=lambda stored: (-stored.created, stored.key))
    there.sort(key=lambda stored: (stored.created, stored.key))
    return [*(Change(stored.key) for stored in gone), *(Change(stored.key, stored) for stored in there)]


def same(one: Stored, other: Stored) -> bool:
    """Whether two are the same state, whatever their revisions."""
    return one.value is other.value or one.value == other.value


def _uid(stored: Stored) -> str:
    """Of an object; empty for what is none (claims of node ports)."""
    try:
        return str(orjson.loads(stored.value)["metadata"]["uid"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


async def _change(state: Checkpoint, parts: Parts) -> int:
    """A memory store never waits, so each slice is one step: nobody writes between two of its changes."""
    store, api = parts.store, parts.plane.api
    lifetimes = state.lifetimes(api.config.times.event)
    changes = plan((await store.range(ROOT)).items, state.items)
    for start in range(0, len(changes), _SLICE):
        for change in changes[start : start + _SLICE]:
            await _write(store, change, lifetimes)
        await api.cache.taken_in(await store.revision())
        api.handlers.reads.bookmark_now()
        for _ in range(_QUIET):
            await asyncio.sleep(0)
    return len(changes)


async def _write(store: MemoryStore, change: Change, lifetimes: Mapping[str, float]) -> None:
    current, wanted = await store.get(change.key), change.wanted
    if wanted is None:
        if current is not None:
            await store.delete(change.key, current.revision)
    elif current is None:
        await store.create(change.key, wanted.value, ttl=lifetimes.get(change.key))
    elif not same(current, wanted):
        await store.update(change.key, wanted.value, current.revision, ttl=lifetimes.get(change.key))
