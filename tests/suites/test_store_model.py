"""Every Store against a simple reference, in any order of calls: writes, pages, watches, compactions, restarts, deaths.

The reference keeps every state there ever was. A watch is resumed after a restart where it was: what it delivers over its
whole life is the history, each event once and in order, or it ends with Compacted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.etcd_servers import Servers
from tests.suites.opening import STORES, opener

from pybernetes.store.protocol import (
    Compacted,
    Event,
    FutureRevision,
    KeyExists,
    Mismatch,
    Revision,
    Store,
    Stored,
    Watch,
)

KEYS = st.sampled_from(["/registry/a", "/registry/a/", "/registry/a/1", "/registry/a/2", "/registry/b", "/registry/é"])
FIRST = (
    "/registry/a/1",
    "/registry/a/2",
    "/registry/a/1",
    "/registry/b",
    "/registry/a/1",
    "/registry/a/2",
    "/registry/b",
)
"""Written in this order at the start, so that short runs have a history, too."""
PREFIXES = st.sampled_from(["/registry/", "/registry/a", "/registry/a/", "/registry/c"])
BACK = st.integers(-1, 8)
"""A revision, counted from the newest."""
SHORT = 0.01


class Reference:
    """Every state and every event there ever was. An etcd begins where other tests have stopped."""

    def __init__(self, begin: Revision) -> None:
        self.begin = self.newest = self.compacted = begin
        self.states: dict[int, dict[str, Stored]] = {begin: {}}
        self.events: list[Event] = []

    @property
    def now(self) -> dict[str, Stored]:
        return self.states[self.newest]

    def back(self, count: int) -> Revision:
        """So many revisions before the newest; -1 is the next one."""
        return Revision(max(self.begin, self.newest - count))

    def put(self, key: str, value: bytes, expected: int | None) -> object:
        """The outcome of create (expected None) or update."""
        current = self.now.get(key)
        if expected is None and current is not None:
            return KeyExists
        if expected is not None and (current is None or current.revision != expected):
            return Mismatch
        revision = Revision(self.newest + 1)
        created = current.created if current else revision
        event = Event("PUT", key, revision, value, created=created)
        return self._next({**self.now, key: Stored(key, value, created, revision)}, event)

    def delete(self, key: str, expected: int) -> object:
        current = self.now.get(key)
        if current is None or current.revision != expected:
            return Mismatch
        event = Event("DELETE", key, Revision(self.newest + 1), previous=current)
        return self._next({k: s for k, s in self.now.items() if k != key}, event)

    def _next(self, state: dict[str, Stored], event: Event) -> Revision:
        self.states[event.revision] = state
        self.events.append(event)
        self.newest = event.revision
        return event.revision

    def page(self, prefix: str, after: str, limit: int, at: int) -> object:
        """(items, remaining), or the refusal."""
        if at < self.compacted:
            return Compacted
        if at > self.newest:
            return FutureRevision
        keys = sorted((k for k in self.states[at] if k.startswith(prefix) and k > after), key=str.encode)
        return [self.states[at][k] for k in keys[: limit or None]], len(keys[limit:]) if limit else 0

    def after(self, prefix: str, revision: int) -> list[Event]:
        return [e for e in self.events if e.revision > revision and e.key.startswith(prefix)]


class Follower:
    """A watch and how far it has been read."""

    def __init__(self, prefix: str, position: int, until: int, watch: Watch) -> None:
        self.prefix = prefix
        self.position = position
        self.pending = (position, until)
        """What it replays from the history at the first read; that may be compacted before."""
        self.watch = watch


async def outcome(call: Awaitable[object]) -> object:
    try:
        return await call
    except (KeyExists, Mismatch, Compacted, FutureRevision) as refused:
        return type(refused)


class StoreMachine(RuleBasedStateMachine):
    """Subclasses say how the store is opened: `open_store` gives the same one again unless it is not `durable`."""

    durable: ClassVar[bool] = True
    short: ClassVar[float | None] = SHORT
    """Seconds of keys that die while the test waits; None: there are none."""
    followers = Bundle("followers")
    cursors = Bundle("cursors")

    def open_store(self) -> Awaitable[Store]:
        raise NotImplementedError

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.followed: list[Follower] = []
        self.store = self.runner.run(self.open_store())
        self.model = Reference(self.runner.run(self.store.revision()))
        for key in FIRST:
            if key in self.model.now:
                self.update(key=key, wrong=0, mortal=False)
            else:
                self.create(key=key, mortal=False)
        self.delete(key=FIRST[1], wrong=0)

    def run(self, call: Awaitable[object]) -> object:
        async def bounded() -> object:
            async with asyncio.timeout(20):
                return await outcome(call)

        return self.runner.run(bounded())

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for follower in self.followed[:]:
                self._follow(follower)
            self.runner.run(self.store.close())
            self.runner.close()

    # --- writes

    @rule(key=KEYS, mortal=st.booleans())
    def create(self, key: str, mortal: bool) -> None:
        value = b"%d" % self.model.newest
        found = self.run(self.store.create(key, value, ttl=3600 if mortal else None))
        assert found == self.model.put(key, value, None)

    @rule(key=KEYS, wrong=st.sampled_from([0, 0, 0, 1]), mortal=st.booleans())
    def update(self, key: str, wrong: int, mortal: bool) -> None:
        expected = Revision((self.model.now[key].revision if key in self.model.now else 0) + wrong)
        value = b"%d" % self.model.newest
        found = self.run(self.store.update(key, value, expected, ttl=3600 if mortal else None))
        assert found == self.model.put(key, value, expected)

    @rule(key=KEYS, wrong=st.sampled_from([0, 0, 0, 1]))
    def delete(self, key: str, wrong: int) -> None:
        expected = Revision((self.model.now[key].revision if key in self.model.now else 0) + wrong)
        assert self.run(self.store.delete(key, expected)) == self.model.delete(key, expected)

    @rule(keys=st.lists(KEYS, min_size=2, max_size=6))
    def write_together(self, keys: list[str]) -> None:
        """Concurrent creations: of each key that is not there exactly one wins, and the order is the store's."""

        async def together() -> list[object]:
            return await asyncio.gather(*(outcome(self.store.create(k, b"%d" % n)) for n, k in enumerate(keys)))

        found = self.runner.run(together())
        won = sorted((revision, n) for n, revision in enumerate(found) if isinstance(revision, int))
        for revision, n in won:
            assert self.model.put(keys[n], b"%d" % n, None) == revision
        assert all(r is KeyExists or isinstance(r, int) for r in found)
        assert {k for k in keys} <= set(self.model.now)

    @precondition(lambda self: self.short is not None)
    @rule(key=KEYS, renewed=st.booleans())
    def live_shortly(self, key: str, renewed: bool) -> None:
        """A key dies by itself; an update without a time would have kept it, one with a time does not."""
        if key in self.model.now:
            return
        first = self.run(self.store.create(key, b"short", ttl=3600 if renewed else self.short))
        assert first == self.model.put(key, b"short", None)
        if renewed:
            second = self.run(self.store.update(key, b"shorter", Revision(self.model.newest), ttl=self.short))
            assert second == self.model.put(key, b"shorter", self.model.newest)
        self._mourn(key)

    def _mourn(self, key: str) -> None:
        async def death() -> Event:
            watch = await self.store.watch(key, Revision(self.model.newest))
            [event] = await anext(watch)
            await watch.aclose()
            return event

        event = self.run(death())
        assert self.model.delete(key, self.model.now[key].revision) == self.model.newest
        assert event == self.model.events[-1]

    # --- reads

    @rule(key=KEYS, back=BACK)
    def get(self, key: str, back: int) -> None:
        at = self.model.back(back)
        page = self.model.page(key, "", 0, at)
        expected = self.model.states[at].get(key) if isinstance(page, tuple) else page
        assert self.run(self.store.get(key, at)) == expected
        assert self.run(self.store.get(key)) == self.model.now.get(key)

    def _page(self, prefix: str, after: str, limit: int, at: Revision | None) -> object:
        found = self.run(self.store.range(prefix, after=after, limit=limit, at=at))
        if isinstance(found, type):
            return found
        assert found.revision == (self.model.newest if at is None else at)  # type: ignore[attr-defined]  # a Range
        assert found.more == bool(found.remaining)  # type: ignore[attr-defined]
        return list(found.items), found.remaining  # type: ignore[attr-defined]

    @rule(
        target=cursors,
        prefix=PREFIXES,
        after=st.one_of(st.just(""), KEYS),
        limit=st.integers(0, 3),
        back=st.one_of(st.none(), BACK),
    )
    def first_page(self, prefix: str, after: str, limit: int, back: int | None) -> tuple[str, str, int, int]:
        at = None if back is None else self.model.back(back)
        seen = self.model.newest if at is None else at
        found = self._page(prefix, after, limit, at)
        assert found == self.model.page(prefix, after, limit, seen)
        last = found[0][-1].key if isinstance(found, tuple) and found[0] else after
        return prefix, last, limit, seen

    @rule(target=cursors, cursor=cursors)
    def next_page(self, cursor: tuple[str, str, int, int]) -> tuple[str, str, int, int]:
        prefix, after, limit, at = cursor
        found = self._page(prefix, after, limit, Revision(at))
        assert found == self.model.page(prefix, after, limit, at)
        last = found[0][-1].key if isinstance(found, tuple) and found[0] else after
        return prefix, last, limit, at

    # --- watches

    @rule(target=followers, prefix=PREFIXES, back=BACK)
    def watch(self, prefix: str, back: int) -> Follower | None:
        after = self.model.back(back)
        return self._watch(prefix, after)

    def _watch(self, prefix: str, after: int) -> Follower | None:
        watch = self.run(self.store.watch(prefix, Revision(after)))
        if after > self.model.newest:
            assert watch is FutureRevision
            return None
        if after < self.model.compacted:
            assert watch is Compacted
            return None
        assert not isinstance(watch, type)
        follower = Follower(prefix, after, self.model.newest, watch)  # type: ignore[arg-type]
        self.followed.append(follower)
        return follower

    @rule(follower=followers)
    def follow(self, follower: Follower | None) -> None:
        if follower in self.followed:
            self._follow(follower)

    def _follow(self, follower: Follower) -> None:
        expected = self.model.after(follower.prefix, follower.position)
        seen: list[Event] = []
        while len(seen) < len(expected):
            batch = self.run(anext(follower.watch))
            if batch is Compacted:
                start, until = follower.pending
                assert start < min(self.model.compacted, until)
                self.followed.remove(follower)
                return
            assert batch
            follower.pending = (0, 0)
            seen.extend(batch)  # type: ignore[arg-type]
        assert seen == expected
        follower.position = self.model.newest

    # --- history and restarts

    @rule(back=BACK)
    def compact(self, back: int) -> None:
        before = self.model.back(back)
        found = self.run(self.store.compact(before))
        if before > self.model.newest:
            assert found is FutureRevision
        else:
            assert found is None
            self.model.compacted = max(self.model.compacted, before)

    @precondition(lambda self: self.durable)
    @rule(key=st.one_of(st.none(), KEYS))
    def restart(self, key: str | None) -> None:
        """Everything is there again; followers go on where they were; a key dies whose time was over meanwhile."""
        if key in self.model.now or self.short is None:
            key = None
        if key is not None:
            assert self.run(self.store.create(key, b"x", ttl=self.short)) == self.model.put(key, b"x", None)
        self.runner.run(self.store.close())
        self.store = self.runner.run(self.open_store())
        if key is not None:
            self._mourn(key)
        for follower in self.followed[:]:
            self.followed.remove(follower)
            resumed = self._watch(follower.prefix, follower.position)
            if resumed is not None:
                self.followed.remove(resumed)
                follower.watch, follower.pending = resumed.watch, resumed.pending
                self.followed.append(follower)

    @invariant()
    def the_revision_is_the_number_of_writes(self) -> None:
        if hasattr(self, "store"):
            assert self.run(self.store.revision()) == self.model.newest


@pytest.mark.parametrize("name", STORES)
def test_a_store_does_what_the_reference_does(name: str, servers: Callable[[], Servers]) -> None:
    with TemporaryDirectory() as folder:
        count = iter(range(1_000_000))

        class Machine(StoreMachine):
            durable = name != "memory"
            short = None if name == "etcd" else SHORT  # its leases last seconds at least

            def open_store(self) -> Awaitable[Store]:
                if not hasattr(self, "again"):
                    self.again = opener(name, f"{folder}/{next(count)}", servers)
                return self.again()

        few = settings(max_examples=30, stateful_step_count=50)
        run_state_machine_as_test(Machine, settings=few)
