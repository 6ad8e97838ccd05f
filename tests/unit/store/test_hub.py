"""Watches that read too slowly, and reads that overtake publication."""

import asyncio
from collections.abc import Sequence

import pytest

from pybernetes.store._hub import Hub
from pybernetes.store.protocol import Compacted, Event, Revision, SlowWatcher


async def nothing(prefix: str, after: Revision, until: Revision) -> tuple[Sequence[Event], Revision]:
    return (), until


def put(revision: int) -> Event:
    return Event("PUT", "/a", Revision(revision), b"")


async def test_a_watcher_that_does_not_read_is_cut_off_and_the_others_go_on() -> None:
    hub = Hub(Revision(0), backlog=3)
    slow, quick = hub.watch("/", Revision(0), nothing), hub.watch("/", Revision(0), nothing)
    for revision in range(1, 5):
        hub.publish([put(revision)])
        assert [e.revision for e in await anext(quick)] == [revision]
    for _ in range(2):
        with pytest.raises(SlowWatcher):
            await anext(slow)


async def test_lost_events_end_every_watch_and_new_ones_begin_where_it_goes_on() -> None:
    hub = Hub(Revision(5))
    old, waiting = hub.watch("/", Revision(5), nothing), asyncio.ensure_future(hub.reached(Revision(7)))
    await asyncio.sleep(0)
    hub.lose(Compacted(Revision(7)), Revision(8))
    await waiting
    with pytest.raises(Compacted):
        await anext(old)
    new = hub.watch("/", Revision(8), nothing)
    hub.publish([put(9)])
    assert [e.revision for e in await anext(new)] == [9]


async def test_a_read_that_overtook_its_publication_waits_for_it() -> None:
    hub = Hub(Revision(0))
    waiting = asyncio.ensure_future(hub.reached(Revision(2)))
    await asyncio.sleep(0)
    hub.publish([put(1)])
    await asyncio.sleep(0)
    assert not waiting.done()
    hub.publish([put(2)])
    await waiting


async def test_a_page_of_history_without_its_events_does_not_end_the_replay() -> None:
    pages = {0: ((), 5), 5: ((put(7),), 8), 8: ((), 10)}

    async def replay(prefix: str, after: Revision, until: Revision) -> tuple[Sequence[Event], Revision]:
        events, reached = pages[after]
        return events, Revision(reached)

    hub = Hub(Revision(10))
    watch = hub.watch("/", Revision(0), replay)
    hub.publish([put(11)])
    assert [e.revision for e in await anext(watch)] == [7]
    assert [e.revision for e in await anext(watch)] == [11]


async def test_a_watcher_may_leave_exactly_its_backlog_unread() -> None:
    hub = Hub(Revision(0), backlog=3)
    watch = hub.watch("/", Revision(0), nothing)
    for revision in range(1, 4):
        hub.publish([put(revision)])
    assert [e.revision for e in await anext(watch)] == [1, 2, 3]
