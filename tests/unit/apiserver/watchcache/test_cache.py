"""The law of the watch cache: a list and the watch that follows it are the store, whatever happened in between."""

import asyncio
import gc

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import GatewayTimeout
from pybernetes.apiserver.catalog import Catalog, built
from pybernetes.apiserver.encodings import JsonEncoding
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.watchcache import cache as caches
from pybernetes.apiserver.watchcache.cache import WatchCache
from pybernetes.apiserver.watchcache.entry import Entry, entry_of, stored_bytes
from pybernetes.apiserver.watchcache.watcher import Watcher
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Compacted, Unavailable

CATALOG = Catalog([built(Resource(group="", plural="configmaps"))])
SERVED = CATALOG.find("", "v1", "configmaps")
assert SERVED is not None

WRITES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["put", "delete", "label", "settle"])), min_size=1, max_size=30
)


def config_map(name, labels):
    metadata = {"name": name, "namespace": "n", "uid": name, "labels": labels}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {}}


async def write(store, name, kind, value):
    key = SERVED.key("n", name)
    stored = await store.get(key)
    if kind == "delete":
        if stored is not None:
            await store.delete(key, stored.revision)
        return
    labels = {"on": "yes"} if kind == "put" else {"on": "no", "turn": str(value)}
    body = stored_bytes(SERVED, config_map(name, labels))
    if stored is None:
        await store.create(key, body)
    else:
        await store.update(key, body, stored.revision)


def selected(entry: Entry) -> bool:
    return entry.labels.get("on") == "yes"


@settings(max_examples=60)
@given(WRITES, st.integers(0, 30), st.booleans())
def test_a_list_and_its_watch_end_where_the_store_is(writes, begin_at, choosing):
    async def scenario():
        store = MemoryStore()
        cache = WatchCache(store, CATALOG)
        await cache.open()
        following = asyncio.create_task(cache.run())
        resource = cache.of(SERVED)
        match = selected if choosing else None
        known: dict[str, int] = {}
        watcher = None
        for number, (name, kind) in enumerate(writes):
            if watcher is None and number >= begin_at:
                await cache.fresh()
                known = {e.name: e.revision for e in resource.select() if match is None or match(e)}
                watcher = Watcher(resource, JsonEncoding(SERVED), match=match)
                resource.add(watcher)
            if kind == "settle":
                await cache.fresh()
            else:
                await write(store, name, kind, number)
        await cache.fresh()
        if watcher is not None:
            watcher.bookmark(cache.revision)
            watcher.end()
            last = 0
            async for chunk in watcher:
                for line in chunk.splitlines():
                    last = apply(known, orjson.loads(line), last)
            wanted = {e.name: e.revision for e in resource.select() if match is None or match(e)}
            assert known == wanted
            assert last == cache.revision
        following.cancel()

    run_simulated(scenario())


def apply(known, event, last):
    metadata = event["object"]["metadata"]
    revision = int(metadata["resourceVersion"])
    if event["type"] == "BOOKMARK":
        assert revision >= last
        return revision
    assert revision > last
    name = metadata["name"]
    match event["type"]:
        case "ADDED":
            assert name not in known
            known[name] = revision
        case "MODIFIED":
            assert name in known
            known[name] = revision
        case "DELETED":
            del known[name]
    return revision


def test_an_entry_is_its_bytes_with_the_revision_in_its_place():
    obj = config_map("a", {})
    entry, _ = entry_of(SERVED, stored_bytes(SERVED, obj), 7)
    assert entry.object() == {**obj, "metadata": {**obj["metadata"], "resourceVersion": "7"}}
    later = entry.at(1234)
    assert later.object()["metadata"]["resourceVersion"] == "1234"
    assert (later.key, later.uid) == ("n/a", "a")


def test_keys_are_in_byte_order_across_namespaces():
    async def scenario():
        store = MemoryStore()
        for namespace, name in (("a-b", "x"), ("a", "y"), ("a", "b"), ("a0", "z")):
            obj = config_map(name, {})
            obj["metadata"]["namespace"] = namespace
            await store.create(SERVED.key(namespace, name), stored_bytes(SERVED, obj))
        cache = WatchCache(store, CATALOG)
        await cache.open()
        resource = cache.of(SERVED)
        assert [entry.key for entry in resource.select()] == ["a-b/x", "a/b", "a/y", "a0/z"]
        assert [entry.key for entry in resource.select("a")] == ["a/b", "a/y"]
        assert [entry.key for entry in resource.select("a", after="a/b")] == ["a/y"]

    run_simulated(scenario())


def test_bytes_that_are_not_ours_are_left_out():
    async def scenario():
        store = MemoryStore()
        await store.create(SERVED.key("n", "broken"), b"not json")
        await store.create("/registry/unknown/x", b"{}")
        await store.create(SERVED.key("n", "good"), stored_bytes(SERVED, config_map("good", {})))
        cache = WatchCache(store, CATALOG)
        await cache.open()
        assert list(cache.of(SERVED).entries) == ["n/good"]

    run_simulated(scenario())


def test_a_lost_store_watch_reloads_and_ends_watches_with_410():
    async def scenario():
        store = MemoryStore()
        cache = WatchCache(store, CATALOG)
        await cache.open()
        for number in range(5):
            await write(store, "a", "label", number)
        await store.compact(await store.revision())
        resource = cache.of(SERVED)
        watcher = Watcher(resource, JsonEncoding(SERVED))
        resource.add(watcher)
        following = asyncio.create_task(cache.run())
        event = orjson.loads(await anext(watcher))
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert list(resource.entries) == ["n/a"]
        following.cancel()

    run_simulated(scenario())


class Away(MemoryStore):
    """Cannot be read a few times: its servers elect a leader."""

    failures = 0

    async def range(self, *words, **more):
        if self.failures:
            self.failures -= 1
            raise Unavailable("no leader")
        return await super().range(*words, **more)


def test_a_store_that_is_away_while_the_cache_reloads_is_asked_again():
    async def scenario():
        store = Away()
        cache = WatchCache(store, CATALOG)
        await cache.open()
        for number in range(5):
            await write(store, "a", "label", number)
        await store.compact(await store.revision())
        store.failures = 3
        following = asyncio.create_task(cache.run())
        await cache.taken_in(await store.revision())
        assert (store.failures, list(cache.of(SERVED).entries)) == (0, ["n/a"])
        following.cancel()

    run_simulated(scenario())


def test_entries_share_what_is_alike_and_are_none_of_the_collectors_business():
    made = [stored_bytes(SERVED, config_map(name, {"on": "y" * 40})) for name in "ab"]
    (one, _), (two, _) = (entry_of(SERVED, value, 7) for value in made)
    assert one.namespace is two.namespace
    assert one.labels["on"] is two.labels["on"]
    assert not gc.is_tracked(one)
    assert one != two


def test_who_listens_from_the_start_is_told_once_of_what_is_there():
    async def scenario():
        store = MemoryStore()
        for name in "ab":
            await write(store, name, "put", 0)
        cache = WatchCache(store, CATALOG)
        told = []
        cache.of(SERVED).subscribe(lambda kind, obj: told.append((kind, obj)))
        await cache.open()
        seen = [(kind, obj["metadata"]["name"], obj["metadata"]["resourceVersion"]) for kind, obj in told]
        assert seen == [("ADDED", "a", "1"), ("ADDED", "b", "2")]
        assert [obj for _, obj in told] == [entry.object() for entry in cache.of(SERVED).select()]

        await write(store, "a", "delete", 0)
        await cache.open()  # as after a lost watch
        seen = [(kind, obj["metadata"]["name"]) for kind, obj in told[2:]]
        assert seen == [("DELETED", "a"), ("MODIFIED", "b")]

    run_simulated(scenario())


class Interrupted(MemoryStore):
    """Somebody writes between two pages."""

    between: list[str] = []

    async def range(self, *words, **more):
        page = await super().range(*words, **more)
        if self.between:
            await write(self, self.between.pop(), "put", 0)
        return page


def test_a_state_is_read_in_pages_of_one_moment(monkeypatch):
    monkeypatch.setattr(caches, "_PAGE", 2)

    async def scenario():
        store = Interrupted()
        for name in "abcde":
            await write(store, name, "put", 0)
        begin = await store.revision()
        store.between = ["c", "f"]
        cache = WatchCache(store, CATALOG)
        await cache.open()
        assert cache.revision == begin
        assert [(e.key, e.revision) for e in cache.of(SERVED).select()] == [
            (f"n/{k}", n + 1) for n, k in enumerate("abcde")
        ]
        resource = cache.of(SERVED)
        watcher = Watcher(resource, JsonEncoding(SERVED))
        resource.add(watcher)
        following = asyncio.create_task(cache.run())
        await cache.fresh()
        await write(store, "g", "put", 0)
        seen = []
        while len(seen) < 3:
            seen += [orjson.loads(line)["type"] for line in (await anext(watcher)).splitlines()]
        assert sorted(seen) == ["ADDED", "ADDED", "MODIFIED"]
        following.cancel()

    run_simulated(scenario())


def test_only_revisions_that_have_been_here_have_a_past():
    async def scenario():
        store = MemoryStore()
        cache = WatchCache(store, CATALOG)
        await cache.open()
        following = asyncio.create_task(cache.run())
        for number in range(6):
            await write(store, "a", "label", number)
        await cache.fresh()
        await cache.compact(3)
        assert [cache.past(SERVED, revision) is not None for revision in range(8)] == [False] * 3 + [True] * 4 + [False]
        with pytest.raises(Compacted):
            await store.range("/", at=2)
        following.cancel()

    run_simulated(scenario())


def test_a_revision_is_waited_for_until_it_is_there():
    async def scenario():
        store = MemoryStore()
        cache = WatchCache(store, CATALOG)
        await cache.open()
        following = asyncio.create_task(cache.run())
        waiting = [asyncio.ensure_future(cache.taken_in(revision)) for revision in (1, 2, 3)]
        for revision in (1, 2, 3):
            assert not waiting[revision - 1].done()
            await write(store, "a", "label", revision)
            for _ in range(20):
                await asyncio.sleep(0)
            assert [task.done() for task in waiting] == [number <= revision for number in (1, 2, 3)]
        await cache.reached(3)
        with pytest.raises(GatewayTimeout, match="Too large resource version: 4, current: 3"):
            await cache.reached(4)
        following.cancel()

    run_simulated(scenario())


def test_what_a_writer_hands_over_is_let_go_when_it_is_done():
    cache = WatchCache(MemoryStore(), CATALOG)
    obj = config_map("a", {})
    value = stored_bytes(SERVED, obj)
    with cache.handing_over(value, obj):
        assert cache._handed == {value: obj}
        assert cache.entry(SERVED, value, 3).revision == 3
    assert cache._handed == {}
