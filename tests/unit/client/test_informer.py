import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.client.fake import Script, bookmark, event, pod, pods, status

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.informer import Cache, Informer
from pybernetes.client.rest import Client

WEB = Key("default", "web")


@asynccontextmanager
async def following(script: Script) -> AsyncIterator[tuple[Informer[core_v1.Pod], list[str]]]:
    clock = SimulatedClock(asyncio.get_running_loop())
    informer = Informer(Client(script, clock=clock).of(core_v1.Pod), clock)
    seen: list[str] = []

    def handler(old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        verb = "add" if old is None else "gone" if new is None else "change"
        pod = new or old
        assert pod
        seen.append(f"{verb} {pod.metadata.name} {pod.metadata.resourceVersion}")

    informer.on_change(handler)
    task = asyncio.create_task(informer.run())
    try:
        await informer.synced.wait()
        yield informer, seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_handlers_hear_of_every_change_once():
    async def main() -> None:
        script = Script(
            pods(5, pod("web", 3)),
            [event("ADDED", pod("db", 6)), event("MODIFIED", pod("web", 7)), event("DELETED", pod("web", 8)), ...],
        )
        async with following(script) as (informer, seen):
            await asyncio.sleep(1)
            assert seen == ["add web 3", "add db 6", "change web 7", "gone web 8"]
            assert informer.cache.keys() == (Key("default", "db"),)
            assert informer.revision == "8"

    run_simulated(main())


def test_who_set_which_field_is_not_kept():
    def owned(name: str, revision: int) -> dict[str, Any]:
        made: dict[str, Any] = {**pod(name, revision)}
        made["metadata"] = {
            **made["metadata"],
            "labels": {"a": "b"},
            "managedFields": [{"manager": "m", "fieldsV1": {}}],
        }
        return made

    async def main() -> None:
        async with following(Script(pods(5, owned("web", 3)), [event("ADDED", owned("db", 6)), ...])) as (informer, _):
            await asyncio.sleep(1)
            metas = [found.metadata for found in informer.cache]
            assert [(meta.name, meta.labels, meta.managedFields) for meta in metas] == [
                ("web", {"a": "b"}, ()),
                ("db", {"a": "b"}, ()),
            ]

    run_simulated(main())


def test_a_watch_that_ends_goes_on_from_the_last_bookmark_without_listing():
    async def main() -> None:
        script = Script(pods(5), [bookmark(9)], [event("ADDED", pod("web", 10)), ...])
        async with following(script) as (_, seen):
            await asyncio.sleep(1)
            assert seen == ["add web 10"]
            assert "resourceVersion=9" in script.asked()[2]
            assert "allowWatchBookmarks=true" in script.asked()[1]

    run_simulated(main())


def test_a_lost_connection_is_tried_again_from_the_same_revision():
    async def main() -> None:
        script = Script(pods(5, pod("web", 3)), ConnectionError("refused"), ConnectionError("refused"), [...])
        async with following(script) as (_, seen):
            await asyncio.sleep(60)
            assert seen == ["add web 3"]
            assert [("watch" in target) for target in script.asked()] == [False, True, True, True]

    run_simulated(main())


def test_even_a_fault_of_the_transport_does_not_end_it():
    async def main() -> None:
        script = Script(pods(5, pod("web", 3)), RuntimeError("a fault"), [event("ADDED", pod("db", 6)), ...])
        async with following(script) as (_, seen):
            await asyncio.sleep(60)
            assert seen == ["add web 3", "add db 6"]

    run_simulated(main())


def test_410_lists_again_and_what_vanished_meanwhile_is_gone():
    async def main() -> None:
        script = Script(
            pods(5, pod("web", 3), pod("db", 4)),
            [event("ERROR", status(410, "Expired"))],
            pods(20, pod("db", 4), pod("new", 19)),
            [...],
        )
        async with following(script) as (informer, seen):
            await asyncio.sleep(1)
            assert seen == ["add web 3", "add db 4", "gone web 3", "add new 19"]
            assert informer.revision == "20"

    run_simulated(main())


def test_a_server_whose_history_is_shorter_than_ours_is_listed_again():
    async def main() -> None:
        late = (504, status(504, "Timeout", "Too large resource version: 900, current: 7"), {"retry-after": "1"})
        script = Script(pods(900, pod("web", 3)), *[late] * 11, pods(7, pod("web", 5)), [...])
        async with following(script) as (informer, seen):
            await asyncio.sleep(60)
            assert seen == ["add web 3", "change web 5"]
            assert informer.revision == "7"

    run_simulated(main())


def test_an_object_that_does_not_decode_is_skipped_and_its_deletion_is_heard():
    async def main() -> None:
        bad = {**pod("web", 7), "spec": {"containers": 3}}
        script = Script(
            pods(5, {**pod("bad", 2), "spec": 3}, pod("web", 3)),
            [event("MODIFIED", bad), event("DELETED", {**bad, "metadata": pod("web", 8)["metadata"]}), ...],
        )
        async with following(script) as (informer, seen):
            await asyncio.sleep(1)
            assert seen == ["add web 3", "gone web 3"]
            assert informer.revision == "8"

    run_simulated(main())


def test_a_failing_handler_does_not_stop_the_others():
    async def main() -> None:
        script = Script(pods(5), [event("ADDED", pod("web", 6)), ...])
        async with following(script) as (informer, seen):

            def fails(old: object, new: object) -> None:
                raise ZeroDivisionError

            informer.on_change(fails)
            informer.on_change(lambda old, new: seen.append("second"))
            await asyncio.sleep(1)
            assert seen == ["add web 6", "second"]

    run_simulated(main())


def test_an_object_that_an_index_cannot_read_does_not_end_the_stream():
    async def main() -> None:
        script = Script(pods(5, pod("a", 1)), [event("MODIFIED", pod("a", 6)), event("ADDED", pod("b", 7)), ...])
        clock = SimulatedClock(asyncio.get_running_loop())
        informer = Informer(Client(script, clock=clock).of(core_v1.Pod), clock)

        def picky(obj: core_v1.Pod) -> tuple[str, ...]:
            if obj.metadata.resourceVersion == "6":
                raise ZeroDivisionError
            return (obj.metadata.name,)

        informer.cache.add_index("picky", picky)
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(1)
        assert [found.metadata.resourceVersion for found in informer.cache.by("picky", "a")] == ["1"]
        assert [found.metadata.resourceVersion for found in informer.cache.by("picky", "b")] == ["7"]
        assert informer.revision == "7"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_simulated(main())


def test_an_index_follows_changes():
    cache: Cache[core_v1.Pod] = Cache()
    cache.put(WEB, on_node("a"))
    cache.add_index("node", lambda p: (p.spec.nodeName,))
    assert cache.by("node", "a") == [on_node("a")]
    cache.put(WEB, on_node("b"))
    assert (cache.by("node", "a"), cache.by("node", "b")) == ([], [on_node("b")])
    assert len(cache.of("default")) == 1
    cache.put(WEB, None)
    assert cache.of("default") == cache.by("node", "b") == []


def test_the_name_of_an_index_means_one_function():
    def by_node(pod: core_v1.Pod) -> tuple[str, ...]:
        return (pod.spec.nodeName,)

    cache: Cache[core_v1.Pod] = Cache()
    cache.add_index("node", by_node)
    cache.put(WEB, on_node("a"))
    cache.add_index("node", by_node)
    with pytest.raises(ValueError, match='"node" already'):
        cache.add_index("node", lambda pod: (pod.metadata.name,))
    assert cache.by("node", "a") == [on_node("a")]


def on_node(node: str) -> core_v1.Pod:
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name="web", namespace="default"), spec=core_v1.PodSpec(nodeName=node)
    )
