"""The shared suite of every Store: what store/protocol.py promises, claim by claim; test_store_model.py has all at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.etcd_servers import Servers
from tests.suites.opening import STORES, new_store

from pybernetes.store.protocol import (
    Compacted,
    Event,
    FutureRevision,
    KeyExists,
    Mismatch,
    Revision,
    Store,
    Stored,
    Unavailable,
    Watch,
)

TTL = 0.3
"""Seconds of a key that is to go."""


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, servers: Callable[[], Servers]) -> AsyncIterator[Store]:
    opened = await new_store(request.param, tmp_path, servers)
    yield opened
    await opened.close()


@pytest.fixture
async def begin(store: Store) -> Revision:
    """The store's revision before the test's first write: etcd has served other tests."""
    return await store.revision()


async def read(watch: Watch, count: int) -> list[Event]:
    """The next `count` events."""
    events: list[Event] = []
    async with asyncio.timeout(10):
        while len(events) < count:
            events.extend(await anext(watch))
    assert len(events) == count
    return events


async def test_a_created_key_reads_back_at_its_revision(store: Store, begin: Revision) -> None:
    revision = await store.create("/a", b"1")
    assert await store.get("/a") == Stored("/a", b"1", revision, revision)
    assert revision == await store.revision() == begin + 1


async def test_an_update_keeps_the_revision_of_creation(store: Store) -> None:
    first = await store.create("/a", b"1")
    second = await store.update("/a", b"2", first)
    assert await store.get("/a") == Stored("/a", b"2", first, second)
    assert second == first + 1


async def test_creating_twice_is_refused(store: Store) -> None:
    await store.create("/a", b"1")
    with pytest.raises(KeyExists):
        await store.create("/a", b"2")


async def test_a_write_at_another_revision_is_refused_with_what_is_there(store: Store) -> None:
    first = await store.create("/a", b"1")
    second = await store.update("/a", b"2", first)
    for write in (store.update("/a", b"3", first), store.delete("/a", first)):
        with pytest.raises(Mismatch) as refused:
            await write
        assert refused.value.current == Stored("/a", b"2", first, second)
    assert await store.revision() == second


async def test_a_write_to_a_missing_key_is_refused(store: Store) -> None:
    for write in (store.update("/a", b"3", Revision(0)), store.delete("/a", Revision(1))):
        with pytest.raises(Mismatch) as refused:
            await write
        assert refused.value.current is None


async def test_a_key_deleted_and_created_again_is_another_one(store: Store) -> None:
    first = await store.create("/a", b"1")
    await store.delete("/a", first)
    third = await store.create("/a", b"1")
    assert await store.get("/a") == Stored("/a", b"1", third, third)
    with pytest.raises(Mismatch):
        await store.update("/a", b"2", first)


async def test_of_writers_at_one_revision_exactly_one_wins(store: Store) -> None:
    first = await store.create("/a", b"")
    writes = [store.update("/a", str(n).encode(), first) for n in range(20)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [r for r in results if not isinstance(r, Mismatch)] == [first + 1]


async def test_acknowledged_writes_are_read_at_once(store: Store) -> None:
    async def own(n: int) -> None:
        revision = await store.create(f"/{n}", b"")
        for _ in range(5):
            seen = await store.get(f"/{n}")
            assert seen is not None
            assert seen.revision == revision
            revision = await store.update(f"/{n}", b"", revision)

    await asyncio.gather(*(own(n) for n in range(20)))


async def test_ranges_are_in_byte_order_and_of_the_prefix(store: Store, begin: Revision) -> None:
    for key in ("/b/2", "/b/10", "/b/é", "/b/Z", "/a/1", "/c", "/b", "/b/\U0001f600", "/b/\ufffd"):
        await store.create(key, b"")
    page = await store.range("/b/")
    wanted = sorted(["/b/2", "/b/10", "/b/é", "/b/Z", "/b/\U0001f600", "/b/\ufffd"], key=str.encode)
    assert [s.key for s in page.items] == wanted
    assert (page.more, page.remaining, page.revision) == (False, 0, begin + 9)


async def test_pages_of_one_revision_ignore_later_writes(store: Store) -> None:
    revisions = [await store.create(f"/{n}", b"old") for n in range(5)]
    first = await store.range("/", limit=2)
    assert ([s.key for s in first.items], first.more, first.remaining) == (["/0", "/1"], True, 3)
    await store.update("/2", b"new", revisions[2])
    await store.delete("/3", revisions[3])
    await store.create("/30", b"new")
    second = await store.range("/", after="/1", limit=2, at=first.revision)
    assert [(s.key, s.value, s.revision) for s in second.items] == [
        ("/2", b"old", revisions[2]),
        ("/3", b"old", revisions[3]),
    ]
    assert (second.more, second.remaining, second.revision) == (True, 1, first.revision)
    third = await store.range("/", after="/3", limit=2, at=first.revision)
    assert ([s.key for s in third.items], third.more, third.remaining) == (["/4"], False, 0)
    old = await store.get("/3", at=first.revision)
    assert old is not None
    assert old.value == b"old"
    assert await store.get("/30", at=first.revision) is None


async def test_a_page_that_fits_exactly_has_nothing_after_it(store: Store) -> None:
    for n in range(2):
        await store.create(f"/{n}", b"")
    page = await store.range("/", limit=2)
    assert (len(page.items), page.more, page.remaining) == (2, False, 0)


async def test_a_watch_replays_and_goes_on_without_gap(store: Store, begin: Revision) -> None:
    first = await store.create("/a/1", b"1")
    await store.create("/b/1", b"x")
    watch = await store.watch("/a/", begin)
    second = await store.update("/a/1", b"2", first)
    third = await store.delete("/a/1", second)
    assert await read(watch, 3) == [
        Event("PUT", "/a/1", first, b"1", created=first),
        Event("PUT", "/a/1", second, b"2", created=first),
        Event("DELETE", "/a/1", third, previous=Stored("/a/1", b"2", first, second)),
    ]
    later = await store.watch("/a/", second)
    assert [e.revision for e in await read(later, 1)] == [third]


async def test_concurrent_writes_arrive_once_each_in_order(store: Store, begin: Revision) -> None:
    watch = await store.watch("/", begin)
    await asyncio.gather(*(store.create(f"/{n}", b"") for n in range(300)))
    live = await read(watch, 300)
    assert [e.revision for e in live] == list(range(begin + 1, begin + 301))
    replayed = await store.watch("/", Revision(begin + 100))
    assert [e.revision for e in await read(replayed, 200)] == list(range(begin + 101, begin + 301))


async def test_a_watch_sees_a_write_no_later_than_its_writer(store: Store, begin: Revision) -> None:
    watch = await store.watch("/", begin)
    await store.create("/a", b"")
    reading = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert reading.done()
    assert [e.key for e in reading.result()] == ["/a"]


async def test_a_read_wait_that_is_given_up_loses_no_event(store: Store, begin: Revision) -> None:
    watch = await store.watch("/", begin)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await store.create("/a", b"")
    assert len(await read(watch, 1)) == 1


async def test_a_closed_watch_ends(store: Store, begin: Revision) -> None:
    watch = await store.watch("/", begin)
    await watch.aclose()
    await store.create("/a", b"")
    assert [batch async for batch in watch] == []


async def test_compaction_forgets_history_and_keeps_the_living(store: Store) -> None:
    first = await store.create("/a", b"1")
    second = await store.update("/a", b"2", first)
    third = await store.create("/b", b"1")
    fourth = await store.delete("/b", third)
    await store.compact(third)
    with pytest.raises(Compacted) as refused:
        await store.watch("/", second)
    assert refused.value.oldest == third
    for read_old in (store.get("/a", at=second), store.range("/", at=second)):
        with pytest.raises(Compacted):
            await read_old
    assert [s.key for s in (await store.range("/", at=third)).items] == ["/a", "/b"]
    watch = await store.watch("/", third)
    assert await read(watch, 1) == [Event("DELETE", "/b", fourth, previous=Stored("/b", b"1", third, third))]
    await store.compact(fourth)
    await store.compact(first)
    assert await store.get("/a") == Stored("/a", b"2", first, second)
    assert await store.revision() == fourth


async def test_a_key_with_a_time_goes_when_it_is_over_and_not_before(store: Store) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = await store.create("/a", b"1", ttl=TTL)
    watch = await store.watch("/", first)
    gone = Event("DELETE", "/a", Revision(first + 1), previous=Stored("/a", b"1", first, first))
    assert await read(watch, 1) == [gone]
    assert loop.time() - began > TTL - 0.01
    assert await store.get("/a") is None
    assert await store.get("/a", at=first) == Stored("/a", b"1", first, first)
    assert await store.create("/a", b"2") == first + 2


async def test_an_update_gives_a_key_a_new_time_or_none(store: Store) -> None:
    loop = asyncio.get_running_loop()
    stays = await store.create("/stays", b"", ttl=TTL)
    longer = await store.create("/longer", b"", ttl=TTL)
    await store.update("/stays", b"", stays)
    began = loop.time()
    last = await store.update("/longer", b"", longer, ttl=2 * TTL)
    watch = await store.watch("/", last)
    assert [(e.type, e.key) for e in await read(watch, 1)] == [("DELETE", "/longer")]
    assert loop.time() - began > 2 * TTL - 0.01
    assert [s.key for s in (await store.range("/")).items] == ["/stays"]


async def test_a_deleted_key_takes_its_time_with_it(store: Store) -> None:
    await store.delete("/a", await store.create("/a", b"", ttl=TTL))
    again = await store.create("/a", b"")
    last = await store.create("/b", b"", ttl=TTL)
    watch = await store.watch("/", last)
    assert [e.key for e in await read(watch, 1)] == ["/b"]
    assert await store.get("/a") == Stored("/a", b"", again, again)


async def test_the_future_cannot_be_asked_for(store: Store, begin: Revision) -> None:
    future = Revision(begin + 1)
    for ask in (
        store.get("/a", at=future),
        store.range("/", at=future),
        store.watch("/", future),
        store.compact(future),
    ):
        with pytest.raises(FutureRevision):
            await ask


async def test_a_closed_store_answers_nothing_and_its_watches_end(store: Store, begin: Revision) -> None:
    watch = await store.watch("/", begin)
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await store.close()
    assert await waiting is None
    for call in (store.get("/a"), store.range("/"), store.create("/a", b""), store.revision(), store.watch("/", 0)):
        with pytest.raises(Unavailable, match="closed"):
            await call
    await store.close()
