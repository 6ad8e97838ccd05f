"""What the store in memory has beyond the suite of all stores: a beginning that is not empty."""

import asyncio

import pytest

from pybernetes.aio.simulation import run_simulated
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Compacted, Revision, Stored


def stored(key: str, created: int, revision: int) -> Stored:
    return Stored(key, key.encode(), Revision(created), Revision(revision))


ITEMS = (stored("/b", 2, 5), stored("/a", 1, 1), stored("/c", 3, 3))


def test_a_store_begins_with_what_it_is_given_at_its_revision_and_without_history() -> None:
    async def main() -> None:
        store = MemoryStore(ITEMS, Revision(7))
        page = await store.range("/")
        assert ([one.key for one in page.items], page.revision) == (["/a", "/b", "/c"], 7)
        assert page.items[1] is ITEMS[0], "bytes are shared"
        with pytest.raises(Compacted):
            await store.get("/a", at=Revision(6))
        with pytest.raises(Compacted):
            await store.watch("/", Revision(6))
        watch = await store.watch("/", Revision(7))
        assert await store.update("/a", b"x", Revision(1)) == 8
        (event,) = await anext(aiter(watch))
        assert (event.key, event.revision, event.created) == ("/a", 8, 1)
        await watch.aclose()
        await store.close()

    run_simulated(main())


def test_keys_go_when_they_had_to() -> None:
    async def main() -> None:
        store = MemoryStore(ITEMS, Revision(7), {"/a": 60.0, "/b": 120.0})
        await store.create("/d", b"", ttl=300)
        await store.update("/b", b"stays", Revision(5))
        await store.delete("/c", Revision(3))
        await asyncio.sleep(10)
        assert store.lifetimes() == {"/a": 50.0, "/d": 290.0}
        await asyncio.sleep(60)
        assert [one.key for one in (await store.range("/")).items] == ["/b", "/d"]
        await store.close()

    run_simulated(main())
