"""What a watcher gets, and when: rounds, bookmarks, slices of a state, the end of a slow one."""

import asyncio

import orjson

from pybernetes.aio.simulation import run_simulated
from pybernetes.aio.turns import Turns
from pybernetes.apiserver import bulk
from pybernetes.apiserver.catalog import discovered
from pybernetes.apiserver.encodings import JsonEncoding
from pybernetes.apiserver.watchcache.entry import entry_of
from pybernetes.apiserver.watchcache.resource_cache import ResourceCache
from pybernetes.apiserver.watchcache.watcher import PACE, WIDE, LateWatcher, Watcher

SERVED = discovered().find("", "v1", "configmaps")
assert SERVED is not None


def entry(name, revision, **labels):
    obj = {"metadata": {"namespace": "n", "name": name, "uid": name, "labels": labels}}
    stored = SERVED.head + b'"metadata":{"namespace":"n","name":"%b","uid":"u"}}' % name.encode()
    return entry_of(SERVED, stored, revision, obj)[0]


def watching(cache, count, match=None):
    watchers = [Watcher(cache, JsonEncoding(SERVED), match=match) for _ in range(count)]
    for watcher in watchers:
        cache.add(watcher)
    return watchers


async def read(watcher, writes):
    async for chunk in watcher:
        writes.append([event(line) for line in chunk.splitlines()])


def event(line):
    decoded = orjson.loads(line)
    return decoded["type"], int(decoded["object"]["metadata"]["resourceVersion"])


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_lone_event_reaches_few_at_once_and_many_after_a_moment():
    async def scenario(count):
        cache, loop = ResourceCache(SERVED), asyncio.get_running_loop()
        watchers = watching(cache, count)
        pending = [asyncio.ensure_future(anext(watcher)) for watcher in watchers]
        await settled()
        begin = loop.time()
        cache.apply("n/a", entry("a", 1), 1)
        await asyncio.gather(*pending)
        return loop.time() - begin

    assert run_simulated(scenario(WIDE - 1)) == 0
    assert 0 < run_simulated(scenario(100)) <= 0.01
    assert 0 < run_simulated(scenario(2000)) <= 0.011


def test_what_happens_in_quick_succession_leaves_in_one_write_and_in_order():
    async def scenario():
        cache, count = ResourceCache(SERVED), 100
        writes = [[] for _ in range(count)]
        tasks = [asyncio.create_task(read(one, seen)) for one, seen in zip(watching(cache, count), writes, strict=True)]
        await settled()
        for revision in range(1, 41):
            cache.apply("n/a", entry("a", revision), revision)
            await asyncio.sleep(PACE * count / 5)
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        return writes

    for seen in run_simulated(scenario()):
        events = [one for write in seen for one in write]
        assert events == [("ADDED", 1), *(("MODIFIED", revision) for revision in range(2, 41))]
        assert len(seen) <= 10


def test_a_round_can_be_told_not_to_wait():
    async def scenario():
        cache, loop = ResourceCache(SERVED), asyncio.get_running_loop()
        pending = [asyncio.ensure_future(anext(watcher)) for watcher in watching(cache, 100)]
        await settled()
        begin = loop.time()
        for number in (1, 2):
            cache.apply("n/a", entry("a", number), number)
            cache.rounds.now()
        await asyncio.gather(*pending)
        assert loop.time() == begin
        assert cache.watching == 100
        writes = []
        reading = asyncio.create_task(read(cache.all_watchers()[0], writes))
        cache.apply("n/a", entry("a", 3), 3)
        await asyncio.sleep(1)
        assert writes == [[("MODIFIED", 3)]], "later rounds come as ever"
        reading.cancel()

    run_simulated(scenario())


def test_a_bookmark_waits_behind_what_it_stands_for_in_filtered_watches_too():
    async def scenario():
        cache, writes = ResourceCache(SERVED), []
        (watcher,) = watching(cache, 1, match=lambda one: one.labels.get("on") == "yes")
        task = asyncio.create_task(read(watcher, writes))
        await settled()
        cache.apply("n/a", entry("a", 1, on="yes"), 1)
        cache.apply("n/b", entry("b", 2, on="no"), 2)
        watcher.bookmark(2)
        cache.apply("n/b", entry("b", 3, on="yes"), 3)
        watcher.bookmark(3)
        cache.apply("n/a", entry("a", 4, on="no"), 4)
        cache.apply("n/c", entry("c", 5, on="no"), 5)
        watcher.bookmark(5)
        await settled()
        task.cancel()
        return [one for write in writes for one in write]

    expected = [("ADDED", 1), ("BOOKMARK", 2), ("ADDED", 3), ("BOOKMARK", 3), ("DELETED", 4), ("BOOKMARK", 5)]
    assert run_simulated(scenario()) == expected


def test_a_state_comes_in_slices_before_the_changes_and_the_bookmark_that_ends_it(monkeypatch):
    monkeypatch.setattr(bulk, "SLICE", 500)
    monkeypatch.setattr(bulk, "TURN", 500)

    async def scenario():
        cache, turns, writes = ResourceCache(SERVED), Turns(), []
        cache.replace([entry(f"a{number}", number) for number in range(1, 31)], 30)
        watcher = Watcher(cache, JsonEncoding(SERVED))
        watcher.begin(cache.select(), turns)
        cache.add(watcher)
        watcher.bookmark(30, initial_end=True)
        cache.apply("n/a1", None, 31)
        task = asyncio.create_task(read(watcher, writes))
        while not (writes and writes[-1][-1] == ("DELETED", 31)):
            await asyncio.sleep(0)
        task.cancel()
        return writes, turns.taken

    writes, taken = run_simulated(scenario())
    events = [one for write in writes for one in write]
    assert sorted(events[:30]) == [("ADDED", number) for number in range(1, 31)]
    assert events[30:] == [("BOOKMARK", 30), ("DELETED", 31)]
    assert taken >= len(writes) - 1 >= 6


def test_frames_are_made_once_for_all_who_read_the_same_form():
    made = []

    class Counting(JsonEncoding):
        def frame(self, kind, one, *, first=False):
            made.append((kind, first))
            return super().frame(kind, one, first=first)

    async def scenario():
        cache = ResourceCache(SERVED)
        for _ in range(50):
            cache.add(Watcher(cache, Counting(SERVED)))
        cache.apply("n/a", entry("a", 1), 1)
        made.clear()  # each one's first has what a table needs
        cache.apply("n/a", entry("a", 2), 2)

    run_simulated(scenario())
    assert made == [("MODIFIED", False)]


def test_exactly_its_backlog_may_be_left_unread(monkeypatch):
    monkeypatch.setattr("pybernetes.apiserver.watchcache.watcher.BACKLOG", 3)

    async def scenario(count):
        cache, writes = ResourceCache(SERVED), []
        (watcher,) = watching(cache, 1)
        for revision in range(1, count + 1):
            cache.apply("n/a", entry("a", revision), revision)
        watcher.end()
        await read(watcher, writes)
        return [one for write in writes for one in write], cache.terminated, cache.watching

    assert run_simulated(scenario(3)) == ([("ADDED", 1), ("MODIFIED", 2), ("MODIFIED", 3)], 0, 0)
    assert run_simulated(scenario(4)) == ([], 1, 0)


def test_a_watcher_that_has_ended_is_told_of_nothing_more():
    async def scenario():
        cache, writes = ResourceCache(SERVED), []
        (watcher,) = watching(cache, 1)
        rung = []
        watcher.timer = asyncio.get_running_loop().call_later(1, rung.append, "bookmark")
        cache.apply("n/a", entry("a", 1), 1)
        watcher.end()
        watcher.fail({"code": 410})
        watcher.bookmark(7)
        await read(watcher, writes)
        await asyncio.sleep(2)
        return writes, rung

    assert run_simulated(scenario()) == ([[("ADDED", 1)]], [])


def test_a_watch_from_a_revision_to_come_begins_right_after_it():
    async def scenario():
        cache, writes = ResourceCache(SERVED), []
        watcher = LateWatcher(cache, JsonEncoding(SERVED), None, None, 5)
        cache.add(watcher)
        for revision in range(3, 8):
            cache.apply("n/a", entry("a", revision), revision)
            watcher.bookmark(revision)
        watcher.end()
        await read(watcher, writes)
        return [one for write in writes for one in write]

    assert run_simulated(scenario()) == [
        ("BOOKMARK", 5), ("MODIFIED", 6), ("BOOKMARK", 6), ("MODIFIED", 7), ("BOOKMARK", 7),
    ]  # fmt: skip


def test_only_the_first_event_of_a_watch_is_framed_as_such():
    """A Table has its columns there."""
    made = []

    class Noting(JsonEncoding):
        def frame(self, kind, one, *, first=False):
            made.append((kind, one.revision, first))
            return super().frame(kind, one, first=first)

    async def scenario(names):
        made.clear()
        cache, writes = ResourceCache(SERVED), []
        cache.replace([entry(name, number) for number, name in enumerate(names, 1)], 2)
        watcher = Watcher(cache, Noting(SERVED))
        watcher.begin(cache.select(), Turns())
        cache.add(watcher)
        cache.apply("n/c", entry("c", 3), 3)
        cache.apply("n/d", entry("d", 4), 4)
        watcher.end()
        await read(watcher, writes)
        return sorted(made, key=lambda one: one[1])

    assert run_simulated(scenario("ab")) == [
        ("ADDED", 1, True), ("ADDED", 2, False), ("ADDED", 3, False), ("ADDED", 4, False),
    ]  # fmt: skip
    assert run_simulated(scenario("")) == [("ADDED", 3, True), ("ADDED", 4, False)]


def test_what_waits_for_many_alike_is_joined_once_and_others_have_their_own():
    async def scenario():
        cache = ResourceCache(SERVED)
        alike, chosen = watching(cache, 3), watching(cache, 2, match=lambda one: one.name == "a")
        found = []
        for turn in (1, 4, 7):
            pending = [asyncio.ensure_future(anext(watcher)) for watcher in (*alike, *chosen)]
            await settled()
            for revision, name in enumerate("aba", turn):
                cache.apply(f"n/{name}", entry(name, revision), revision)
            found.append(await asyncio.gather(*pending))
        return found

    for turn, (first, *others, one, another) in zip((1, 4, 7), run_simulated(scenario()), strict=True):
        assert [event(line)[1] for line in first.splitlines()] == [turn, turn + 1, turn + 2]
        assert [event(line)[1] for line in one.splitlines()] == [turn, turn + 2]
        assert all(same is first for same in others)
        assert another is one
