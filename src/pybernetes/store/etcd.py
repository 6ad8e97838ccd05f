"""The store in etcd v3, shared by several API servers. Next: _etcd_client.py, _etcd_leases.py, _hub.py.

Revisions are etcd's own. One watch on all keys feeds the Hub, so every revision is seen here, those of other programs'
keys, too: a reader waits until the watch has come to the revision that etcd names (linearizable), and a writer until it
has come to its own. After a break the watch goes on where it was.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any

from pybernetes.store._etcd_client import Client, Location, Refused, diagnosis, parsed
from pybernetes.store._etcd_leases import Leases
from pybernetes.store._etcd_messages import (
    COMPACT,
    DELETE,
    EQUAL,
    MOD,
    RANGE,
    TXN,
    CompactionRequest,
    Compare,
    RangeRequest,
    RequestOp,
    TxnRequest,
    WatchCreateRequest,
)
from pybernetes.store._hub import Hub
from pybernetes.store.protocol import (
    Compacted,
    Event,
    FutureRevision,
    KeyExists,
    Mismatch,
    OutcomeUnknown,
    Range,
    Revision,
    Store,
    Stored,
    StoreFactory,
    TooLarge,
    Unavailable,
    Watch,
)

log = logging.getLogger(__name__)

SEEN_SECONDS = 10.0
"""How long a reader waits for the watch to come to a revision."""
_REPLAY_PAGE = 2000
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_FIRST = b"\0"


class Keys:
    """How keys are called here and in etcd (--etcd-prefix)."""

    def __init__(self, root: str, prefix: str) -> None:
        self._root = root.rstrip("/")
        self._prefix = prefix.rstrip("/").encode()
        self._own = self._prefix + b"/"

    def there(self, key: str) -> bytes:
        """etcd's name of a key, or of a prefix of keys."""
        rest = key.removeprefix(self._root) if f"{key}/".startswith(self._root + "/") else key
        return self._prefix + (rest or "/").encode()

    def span(self, prefix: str) -> tuple[bytes, bytes]:
        """First key and end of those with that prefix, in etcd."""
        first = self.there(prefix)
        return first, first[:-1] + bytes([first[-1] + 1])  # a key's last byte is never 255: it is UTF-8

    def here(self, key: bytes) -> str:
        """Our name; empty for a key that is somebody else's."""
        if not key.startswith(self._own):
            return ""
        try:
            return self._root + key[len(self._prefix) :].decode()
        except UnicodeDecodeError:
            return ""

    def stored(self, pair: Any) -> Stored:
        """A KeyValue of ours."""
        return Stored(self.here(pair.key), pair.value, Revision(pair.create_revision), Revision(pair.mod_revision))


class EtcdStore:
    """Store in etcd. Made by open_etcd()."""

    shared = True

    def __init__(self, client: Client, keys: Keys, revision: Revision) -> None:
        self._client = client
        self._keys = keys
        self._hub = Hub(revision)
        self._compacted = Revision(0)
        """As far as it is known: others compact as well."""
        self._leases = Leases(client)
        self._newest = _Shared(self._ask_revision)
        self._fault = ""
        self._following = asyncio.get_running_loop().create_task(self._follow(), name="etcd.watch")

    # --- reads

    async def get(self, key: str, at: Revision | None = None) -> Stored | None:
        self._check(at)
        answer = await self._range(RangeRequest(key=self._keys.there(key), revision=_at(at)), at)
        if not answer.kvs:
            return None
        found = self._keys.stored(answer.kvs[0])
        await self._seen(found.revision)
        return found

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, at: Revision | None = None) -> Range:
        self._check(at)
        first, end = self._keys.span(prefix)
        if after >= prefix:
            first = max(first, self._keys.there(after) + b"\0")
        # Where nothing can be between them, etcd is still asked about the revision.
        request = RangeRequest(key=first, range_end=max(end, first + b"\0"), limit=limit, revision=_at(at))
        answer = await self._range(request, at)
        revision = Revision(answer.header.revision) if at is None else at
        if at is None:
            await self._seen(revision)
        if first >= end:
            return Range((), revision, False, 0)
        items = tuple(self._keys.stored(pair) for pair in answer.kvs)
        left = answer.count - len(items)
        return Range(items, revision, left > 0, left)

    async def revision(self) -> Revision:
        self._check(None)
        revision = await self._newest()
        await self._seen(revision)
        return revision

    def fault(self) -> str:
        """Why etcd cannot be asked now; empty when it can."""
        return "the store is closed" if self._hub.closed else self._fault

    # --- writes

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> Revision:
        answer = await self._put(key, value, Revision(0), ttl)
        if isinstance(answer, Mismatch):
            raise KeyExists(key)
        return answer

    async def update(self, key: str, value: bytes, expected: Revision, *, ttl: float | None = None) -> Revision:
        if expected <= 0:  # to etcd that is a key that is not there
            raise Mismatch(key, await self.get(key))
        answer = await self._put(key, value, expected, ttl)
        if isinstance(answer, Mismatch):
            raise answer
        return answer

    async def delete(self, key: str, expected: Revision) -> Revision:
        if expected <= 0:
            raise Mismatch(key, await self.get(key))
        there = self._keys.there(key)
        answer = await self._write(key, expected, RequestOp(request_delete_range={"key": there}))
        if isinstance(answer, Mismatch):
            raise answer
        return answer

    async def compact(self, before: Revision) -> None:
        self._check(None)
        if before > self._hub.revision and before > await self.revision():
            raise FutureRevision(f"revision {before} has not happened, the newest is {self._hub.revision}")
        if before <= self._compacted or before < 1:
            return
        try:
            await self._client.ask(COMPACT, CompactionRequest(revision=before), repeat=True)
        except Refused as refused:
            if "compacted" not in refused.details:  # another server was faster
                raise Unavailable(refused.explained()) from None
        self._compacted = max(self._compacted, before)

    # --- watch

    async def watch(self, prefix: str, after: Revision) -> Watch:
        self._check(None)
        if after < self._compacted:
            raise Compacted(self._compacted)
        if after > self._hub.revision:
            await self.revision()  # another server may have written it
        return self._hub.watch(prefix, after, self._replay)

    async def close(self) -> None:
        if self._hub.closed:
            return
        self._hub.close()
        self._following.cancel()
        await self._client.close()
        with suppress(asyncio.CancelledError):
            await self._following

    # --- inside

    def _check(self, at: Revision | None) -> None:
        if self._hub.closed:
            raise Unavailable("the store is closed")
        if at is not None and at < self._compacted:
            raise Compacted(self._compacted)

    async def _range(self, request: Any, at: Revision | None) -> Any:
        try:
            return await self._client.ask(RANGE, request, repeat=True)
        except Refused as refused:
            if at is not None and "has been compacted" in refused.details:
                raise Compacted(await self._oldest(at)) from None
            if at is not None and "future revision" in refused.details:
                raise FutureRevision(f"revision {at} has not happened, the newest is {self._hub.revision}") from None
            raise Unavailable(refused.explained()) from None

    async def _oldest(self, at: Revision) -> Revision:
        """What another has compacted to: etcd tells those who watch from before that."""
        async with aclosing(self._changes(at)) as changes:
            async for answer in changes:
                if answer.compact_revision:
                    self._compacted = max(self._compacted, Revision(answer.compact_revision))
                if answer.canceled or answer.events:
                    break
        return max(self._compacted, Revision(at + 1))

    async def _put(self, key: str, value: bytes, expected: Revision, ttl: float | None) -> Revision | Mismatch:
        self._check(None)
        put = {"key": self._keys.there(key), "value": value}
        while True:
            lease = await self._leases.of(ttl) if ttl is not None else 0
            try:
                return await self._write(key, expected, RequestOp(request_put={**put, "lease": lease}))
            except _LeaseGone:
                self._leases.forget()

    async def _write(self, key: str, expected: Revision, operation: Any) -> Revision | Mismatch:
        """Does it if the key is at `expected`; 0: if it is not there."""
        self._check(None)
        there = self._keys.there(key)
        request = TxnRequest(
            compare=[Compare(result=EQUAL, target=MOD, key=there, mod_revision=expected)],
            success=[operation],
            failure=[RequestOp(request_range={"key": there})],
        )
        try:
            answer = await self._client.ask(TXN, request, repeat=False)
        except Refused as refused:
            revision = await self._settled(key, expected, operation, refused)
        else:
            if not answer.succeeded:
                found = answer.responses[0].response_range.kvs
                return Mismatch(key, self._keys.stored(found[0]) if found else None)
            revision = Revision(answer.header.revision)
        with suppress(Unavailable):  # it is written, however late the watch tells of it
            await self._seen(revision)
        return revision

    async def _settled(self, key: str, expected: Revision, operation: Any, refused: Refused) -> Revision:
        """The revision of a write that etcd has refused and has done. Raises Unavailable, TooLarge: it has not."""
        details = refused.details
        if "requested lease not found" in details:
            raise _LeaseGone
        if "too large" in details or "larger than max" in details:
            raise TooLarge(f"etcd takes no request of {operation.ByteSize()} bytes (its --max-request-bytes)")
        if not refused.space:
            raise Unavailable(refused.explained())
        # The alarm is set by a write that crosses the limit, and that one is done.
        try:
            found = await self.get(key)
        except Unavailable as error:
            raise OutcomeUnknown(f"{refused.explained()}; the last write may have been done ({error})") from error
        if found is None or found.revision <= expected or found.value != operation.request_put.value:
            raise Unavailable(refused.explained())
        return found.revision

    async def _ask_revision(self) -> Revision:
        # Of one key, and no count of all: that would walk etcd's whole index.
        request = RangeRequest(key=self._keys.there(""), count_only=True)
        return Revision((await self._range(request, None)).header.revision)

    async def _seen(self, revision: Revision) -> None:
        """Waits until the watch has come there. Raises Unavailable when it does not in time."""
        if self._hub.revision >= revision:
            return
        try:
            async with asyncio.timeout(SEEN_SECONDS):
                await self._hub.reached(revision)
        except TimeoutError:
            raise Unavailable(
                f"etcd's changes do not arrive: it is at revision {revision}, its watch at {self._hub.revision}"
            ) from None

    async def _follow(self) -> None:
        """Feeds the hub until cancelled."""
        pause = _PAUSE
        while True:
            began = self._hub.revision
            try:
                await self._follow_once()
            except Unavailable as error:
                self._fault = str(error)
                log.warning("watch on etcd is lost and begun again revision=%d cause=%s", self._hub.revision, error)
            pause = _PAUSE if self._hub.revision > began else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _follow_once(self) -> None:
        """Until the watch breaks or history is lost. Raises Unavailable."""
        newest = await self._ask_revision()
        if newest < self._hub.revision:
            # An older copy of the data was put in place: what was told since is not true any more.
            log.warning("etcd has gone back revision=%d before=%d", newest, self._hub.revision)
            self._hub.lose(Compacted(newest), newest)
        async with aclosing(self._changes(self._hub.revision)) as changes:
            async for answer in changes:
                if answer.compact_revision:
                    oldest = Revision(answer.compact_revision)
                    self._compacted = max(self._compacted, oldest)
                    self._hub.lose(Compacted(oldest), max(oldest, await self._ask_revision()))
                    return
                if answer.canceled:
                    raise Unavailable(f"etcd ends the watch: {answer.cancel_reason}")
                self._fault = ""
                self._hub.publish(self._events(answer.events, self._hub.revision))

    def _changes(self, after: Revision) -> Any:
        """Answers of a watch of all keys from `after` on: inclusive, for so etcd tells when history is gone up to there.

        After a compaction at R it would begin at R without a word, though a deletion at R is forgotten.
        """
        return self._client.watch(
            WatchCreateRequest(key=_FIRST, range_end=_FIRST, start_revision=max(1, after), prev_kv=True)
        )

    def _events(self, found: Sequence[Any], after: Revision) -> list[Event]:
        """Events of our keys; if the last write was to another's key, an event without a key says so."""
        events = [self._event(event) for event in found if event.kv.mod_revision > after]
        return [event for event in events[:-1] if event.key] + events[-1:]

    def _event(self, event: Any) -> Event:
        pair = event.kv
        key, revision = self._keys.here(pair.key), Revision(pair.mod_revision)
        if not key:
            return Event("PUT", "", revision)
        if event.type == DELETE:
            previous = self._keys.stored(event.prev_kv) if event.prev_kv.mod_revision else None
            return Event("DELETE", key, revision, previous=previous)
        return Event("PUT", key, revision, pair.value, created=Revision(pair.create_revision))

    async def _replay(self, prefix: str, after: Revision, until: Revision) -> tuple[Sequence[Event], Revision]:
        """A page of history. As long as etcd cannot be asked, this waits."""
        while until > 1:  # revision 1 is the empty etcd, and no write
            try:
                return await self._page(prefix, after, until)
            except Unavailable as error:
                self._check(None)
                log.warning("history of etcd is read again after=%d cause=%s", after, error)
                await asyncio.sleep(_LONGEST_PAUSE)
        return (), until

    async def _page(self, prefix: str, after: Revision, until: Revision) -> tuple[Sequence[Event], Revision]:
        newest = await self._ask_revision()
        if newest < until:
            raise Compacted(newest)  # etcd has gone back: that will never come
        found: list[Event] = []
        reached = after
        async with aclosing(self._changes(after)) as changes:
            async for answer in changes:
                if answer.compact_revision:
                    self._compacted = max(self._compacted, Revision(answer.compact_revision))
                    raise Compacted(self._compacted)
                if answer.canceled:
                    raise Unavailable(f"etcd ends the watch: {answer.cancel_reason}")
                for event in self._events(answer.events, reached):
                    reached = event.revision
                    if event.revision <= until and event.key.startswith(prefix):
                        found.append(event)
                if reached >= until:
                    return found, until
                if len(found) >= _REPLAY_PAGE:
                    break
        return found, reached


class _LeaseGone(Exception):
    """The lease of a write is not known to etcd; the write was not done."""


class _Shared:
    """One question for all who ask while the last one is on its way: each gets an answer to one put after it asked."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask
        self._running: asyncio.Task[Revision] | None = None
        self._next: asyncio.Task[Revision] | None = None

    async def __call__(self) -> Revision:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run(self._running), name="etcd.revision")
            self._next.add_done_callback(_heard)
        return await asyncio.shield(self._next)

    async def _run(self, before: "asyncio.Task[Revision] | None") -> Revision:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        found: Revision = await self._ask()
        return found


def _heard(task: "asyncio.Task[Revision]") -> None:
    """Those who asked may all have gone: then nobody is told of a failure."""
    if not task.cancelled():
        task.exception()


def _at(at: Revision | None) -> int:
    """The revision of a RangeRequest: 0 is the newest there, and our 0 is before the first write."""
    return 0 if at is None else max(1, at)


async def open_etcd(location: str) -> Store:
    """The store at `https://a:2379,https://b:2379?cafile=...&certfile=...&keyfile=...`. Raises Unavailable."""
    found: Location = parsed(location)
    client = Client(found)
    keys = Keys(found.root, found.prefix)
    try:
        answer = await client.ask(RANGE, RangeRequest(key=keys.there(""), count_only=True), repeat=True)
    except (Unavailable, Refused) as error:
        await client.close()
        raise Unavailable(f"{error} ({await diagnosis(found)})") from error
    return EtcdStore(client, keys, Revision(answer.header.revision))


STORE = StoreFactory("etcd", "etcd v3, on this machine or others, for one API server or several", open_etcd)
