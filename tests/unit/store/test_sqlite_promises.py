"""What the SQLite store promises beyond its answers: what is forgotten to the row, what is synced, and when anybody is told."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pybernetes.store import _sqlite_writer
from pybernetes.store._sqlite_writer import Write
from pybernetes.store.protocol import Compacted, Event, Revision, Store, Unavailable
from pybernetes.store.sqlite import open_sqlite

FULL = 2
"""PRAGMA synchronous: each commit is synced."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def query(store: Store, sql: str) -> list[Any]:
    """On the writer's own connection, which is at rest."""
    return list(store._db.writer.execute(sql))  # type: ignore[attr-defined]  # looks inside


# --- compaction, to the row

STEPS = "create a, create b, update a, delete b, update a, create b, create c, update b, delete c, delete a, create a"


async def lived(store: Store) -> tuple[list[Event], int]:
    """A history of every kind of step; its events."""
    watch = await store.watch("/", Revision(0))
    for step in STEPS.split(", "):
        verb, key = step.split()
        there = await store.get(f"/{key}")
        if verb == "create":
            await store.create(f"/{key}", b"")
        elif verb == "update":
            await store.update(f"/{key}", b"", there.revision)  # type: ignore[union-attr]  # there
        else:
            await store.delete(f"/{key}", there.revision)  # type: ignore[union-attr]  # there
    newest, events = await store.revision(), list[Event]()
    while len(events) < newest:
        events.extend(await anext(watch))
    await watch.aclose()
    return events, newest


def kept(events: list[Event], before: int) -> list[int]:
    """The rows that a compaction leaves: what came later, and what was there at `before`."""
    there: dict[str, int] = {}
    for event in events[:before]:
        there.pop(event.key, None)
        if event.type == "PUT":
            there[event.key] = event.revision
    return sorted([*there.values(), *(event.revision for event in events[before:])])


@pytest.mark.parametrize("page", [1, 2, 3, 4])
async def test_a_compaction_forgets_neither_a_row_too_many_nor_one_too_few(
    path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(_sqlite_writer, "SWEEP_PAGE", page)
    store = await open_sqlite(str(path))
    events, newest = await lived(store)
    await store.close()
    data = path.read_bytes()
    for first in range(newest + 1):
        path.write_bytes(data)
        Path(f"{path}.acknowledged").unlink(missing_ok=True)
        store = await open_sqlite(str(path))
        for before in sorted({first, min(first + 2, newest), newest}):
            async with asyncio.timeout(10):
                await store.compact(Revision(before))
            rows = [revision for (revision,) in query(store, "SELECT revision FROM history ORDER BY revision")]
            assert rows == kept(events, before), f"compacted to {first}, then to {before}"
            swept = dict(query(store, "SELECT name, value FROM meta"))
            assert (swept["compacted"], swept["swept"]) == (before, before)
        await store.close()


async def test_of_two_compactions_at_once_the_newer_one_counts(path: Path) -> None:
    store = await open_sqlite(str(path))
    await lived(store)
    await asyncio.gather(store.compact(Revision(8)), store.compact(Revision(5)))
    for after in (5, 7):
        with pytest.raises(Compacted) as refused:
            await store.watch("/", Revision(after))
        assert refused.value.oldest == 8
    await store.close()


async def test_a_watch_that_waits_at_the_edge_of_what_is_forgotten_is_told(path: Path) -> None:
    store = await open_sqlite(str(path))
    await lived(store)
    edge, inside = await store.watch("/", Revision(4)), await store.watch("/", Revision(5))
    await store.compact(Revision(5))
    with pytest.raises(Compacted):
        await anext(edge)
    assert (await anext(inside))[0].revision == 6
    await store.close()


async def test_times_go_with_their_revisions(path: Path) -> None:
    store = await open_sqlite(str(path))
    first = await store.create("/updated", b"", ttl=1000)
    await store.update("/updated", b"", await store.update("/updated", b"", first, ttl=2000))
    await store.delete("/deleted", await store.create("/deleted", b"", ttl=1000))
    last = await store.create("/there", b"", ttl=3000)
    assert query(store, "SELECT revision, ttl FROM expiry") == [(last, 3000.0)]
    await store.close()


# --- what is synced


async def test_commits_are_synced_also_after_upkeep_that_is_not(path: Path) -> None:
    store = await open_sqlite(str(path))
    assert query(store, "PRAGMA synchronous") == [(FULL,)]
    await lived(store)
    await store.compact(Revision(5))
    async with asyncio.timeout(10):
        while store._writer._shrinking:  # type: ignore[attr-defined]  # looks inside
            await asyncio.sleep(0.01)
    assert query(store, "PRAGMA synchronous") == [(FULL,)]
    await store.close()


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that Python syncs, by name. (SQLite syncs its own.)"""
    names: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return names


async def test_a_new_store_s_name_is_synced(path: Path, synced: list[str]) -> None:
    await (await open_sqlite(str(path))).close()
    assert str(path.parent) in synced
    synced.clear()
    await (await open_sqlite(str(path))).close()
    assert synced == []


# --- batches


async def test_a_batch_is_bounded_in_bytes_and_everybody_in_one_that_fails_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_sqlite(str(path))
    writer, sizes = store._writer, list[list[int]]()  # type: ignore[attr-defined]  # looks inside
    real: Callable[[list[Write]], None] = writer._commit

    def commit(writes: list[Write]) -> None:
        sizes.append([len(write.value) for write in writes])
        real(writes)

    monkeypatch.setattr(writer, "_commit", commit)
    await asyncio.gather(*(store.create(f"/{n}", bytes(2 << 20)) for n in range(30)))
    assert sum(map(len, sizes)) == 30
    assert max(sum(batch[:-1]) for batch in sizes) < 8 << 20
    monkeypatch.setattr(writer, "_apply", fail)
    results = asyncio.gather(*(store.create(f"/more/{n}", b"") for n in range(30)), return_exceptions=True)
    assert {type(result) for result in await asyncio.wait_for(results, 10)} == {Unavailable}
    monkeypatch.undo()
    assert await store.create("/after", b"") == 31
    await store.close()


def fail(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


async def test_writes_that_wait_when_the_store_closes_are_done_or_refused_and_nothing_else(path: Path) -> None:
    store = await open_sqlite(str(path))
    writes = [asyncio.ensure_future(store.create(f"/{n}", bytes(1000))) for n in range(2000)]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), 10)
    done = sorted(outcome for outcome in outcomes if isinstance(outcome, int))
    assert {type(outcome) for outcome in outcomes} <= {int, Unavailable}
    again = await open_sqlite(str(path))
    there = {stored.revision for stored in (await again.range("/")).items}
    assert set(done) <= there
    await again.close()


# --- nobody knows a revision that watches do not


class Held:
    """The loop, as the writer sees it: what it is told waits until it is let go."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.told: list[tuple[Callable[..., object], Any]] = []

    def call_soon_threadsafe(self, call: Callable[..., object], argument: Any) -> None:
        self.told.append((call, argument))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def let_go(self) -> None:
        for call, argument in self.told:
            call(argument)


@pytest.mark.parametrize("verb", ["get", "range"])
async def test_a_read_that_sees_a_commit_first_waits_until_watches_have_it(path: Path, verb: str) -> None:
    store = await open_sqlite(str(path))
    first = await store.create("/a", b"1")
    watch = await store.watch("/", first)
    loop = asyncio.get_running_loop()
    held = store._loop = Held(loop)  # type: ignore[attr-defined]  # looks inside
    writing = asyncio.ensure_future(store.update("/a", b"2", first))
    async with asyncio.timeout(10):
        while not held.told:
            await asyncio.sleep(0.001)
    reading = asyncio.ensure_future(store.get("/a") if verb == "get" else store.range("/"))
    await asyncio.wait([reading], timeout=0.3)
    assert not reading.done()
    held.let_go()
    store._loop = loop  # type: ignore[attr-defined]  # looks inside
    seen = asyncio.ensure_future(anext(watch))
    assert (await reading).revision == await writing == 2  # type: ignore[attr-defined]  # of both kinds
    assert [event.revision for event in await seen] == [2]
    await store.close()


# --- the file


async def test_some_pages_stay_free_for_the_next_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite_writer, "FREE_PAGES", 100)
    store = await open_sqlite(str(path))
    revisions = await asyncio.gather(*(store.create(f"/{n}", bytes(6000)) for n in range(600)))
    await asyncio.gather(*(store.delete(f"/{n}", revision) for n, revision in enumerate(revisions)))
    await store.compact(await store.revision())
    async with asyncio.timeout(30):
        while store._writer._shrinking:  # type: ignore[attr-defined]  # looks inside
            await asyncio.sleep(0.01)
    [(free,)] = query(store, "PRAGMA freelist_count")
    [(pages,)] = query(store, "PRAGMA page_count")
    assert free == 100
    assert pages < 200
    await store.close()


async def test_revisions_of_one_store_only_rise(path: Path) -> None:
    """Over everything that puts numbers together: batches, refusals, restarts, compactions."""
    seen = [0]
    for _ in range(3):
        store = await open_sqlite(str(path))
        seen.append(await store.create(f"/{len(seen)}", b""))
        await store.compact(Revision(seen[-1]))
        results = await asyncio.gather(*(store.create("/same", b"") for _ in range(5)), return_exceptions=True)
        seen += [result for result in results if isinstance(result, int)]
        for stored in (await store.range("/")).items:
            seen.append(await store.delete(stored.key, stored.revision))
        await store.close()
    assert [later - earlier for earlier, later in pairwise(seen)] == [1] * (len(seen) - 1)
