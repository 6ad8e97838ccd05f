"""Resources that come, change and go while the cache runs: nothing is missed, listeners go on, watches end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import NotFound
from pybernetes.apiserver.catalog import Catalog, built
from pybernetes.apiserver.encodings import JsonEncoding
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.watchcache.cache import WatchCache
from pybernetes.apiserver.watchcache.entry import stored_bytes
from pybernetes.apiserver.watchcache.watcher import Watcher
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Event, Range, Revision, Watch

SERVED = Catalog([built(Resource(group="", plural="configmaps"))]).find("", "v1", "configmaps")
assert SERVED is not None


async def write(store: MemoryStore, name: str, value: str) -> None:
    key = SERVED.key("n", name)
    metadata = {"name": name, "namespace": "n", "uid": name}
    body = stored_bytes(SERVED, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"v": value}})
    stored = await store.get(key)
    if value == "gone":
        if stored is not None:
            await store.delete(key, stored.revision)
    elif stored is None:
        await store.create(key, body)
    else:
        await store.update(key, body, stored.revision)


async def of_store(store: MemoryStore) -> dict[str, int]:
    page = await store.range(SERVED.prefix)
    return {item.key.removeprefix(SERVED.prefix): item.revision for item in page.items}


class Slow(MemoryStore):
    """Answers and tells of changes some turns of the loop later, as a store on a disk or another machine does."""

    def __init__(self, turns: Callable[[], int]) -> None:
        super().__init__()
        self._turns = turns

    async def _wait(self) -> None:
        for _ in range(self._turns()):
            await asyncio.sleep(0)

    async def revision(self) -> Revision:
        await self._wait()
        return await super().revision()

    async def range(self, prefix: str, **more: Any) -> Range:  # type: ignore[override]  # the same
        found = await super().range(prefix, **more)
        await self._wait()
        return found

    async def watch(self, prefix: str, after: Revision) -> Watch:
        return Late(await super().watch(prefix, after), self._wait)


class Late:
    """A watch whose events are under way for a while."""

    def __init__(self, watch: Watch, wait: Callable[[], Awaitable[None]]) -> None:
        self._watch = watch
        self._wait = wait

    def __aiter__(self) -> "Late":
        return self

    async def __anext__(self) -> Sequence[Event]:
        events = await anext(self._watch)
        await self._wait()
        return events

    async def aclose(self) -> None:
        await self._watch.aclose()


WRITES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "2", "gone", "put", "lose"])), max_size=20)


@given(WRITES, st.integers(0, 999))
@settings(max_examples=150)
def test_a_resource_that_is_read_anew_misses_nothing(writes: list[tuple[str, str]], seed: int) -> None:
    async def run() -> None:
        chance = Random(seed)
        store = Slow(lambda: chance.randrange(12))
        cache = WatchCache(store, ())
        await cache.open()
        running = asyncio.create_task(cache.run())
        await cache.put(SERVED)
        heard: dict[str, Any] = {}

        def listen(kind: str, obj: dict[str, Any]) -> None:
            name = obj["metadata"]["name"]
            assert kind != "DELETED" or name in heard
            if kind == "DELETED":
                del heard[name]
            else:
                heard[name] = obj["metadata"]["resourceVersion"]

        cache.of(SERVED).subscribe(listen)
        reading, one = list[asyncio.Task[None]](), asyncio.Lock()

        async def put() -> None:
            async with one:  # as who establishes definitions does
                await cache.put(SERVED)

        for name, value in writes:
            if value == "put":
                reading.append(asyncio.create_task(put()))
                await asyncio.sleep(0)
            elif value == "lose":
                await cache.open()
            else:
                await write(store, name, value)
        await asyncio.gather(*reading)
        await cache.fresh()
        entries = cache.of(SERVED).entries
        wanted = await of_store(store)
        assert {key: entry.revision for key, entry in entries.items()} == wanted
        assert {f"n/{name}": int(version) for name, version in heard.items()} == wanted
        running.cancel()

    run_simulated(run())


def test_watches_end_when_their_resource_is_read_anew_or_goes() -> None:
    async def run() -> None:
        store = MemoryStore()
        cache = WatchCache(store, ())
        await cache.open()
        running = asyncio.create_task(cache.run())
        await cache.put(SERVED)
        for end in (cache.put, cache.drop):
            watcher = Watcher(cache.of(SERVED), JsonEncoding(SERVED))
            cache.of(SERVED).add(watcher)
            ended = end(SERVED)
            if ended is not None:
                await ended
            with pytest.raises(StopAsyncIteration):
                await anext(watcher)
        with pytest.raises(NotFound):
            cache.of(SERVED)
        running.cancel()

    run_simulated(run())
