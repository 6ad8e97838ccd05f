"""Objects that volumes read are followed once each, for as long as a Pod uses them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.unit.client.fake import Script, event, status

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import Client
from pybernetes.kubelet.followed import Followed

KEY = Key("default", "m")


def config(revision: int, **fields: object) -> dict[str, object]:
    meta = {"name": "m", "namespace": "default", "resourceVersion": str(revision)}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta, **fields}


def listed(revision: int, *items: dict[str, object]) -> dict[str, object]:
    return {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": str(revision)}, "items": items}


@asynccontextmanager
async def following(script: Script) -> AsyncIterator[tuple[Followed, list[str]]]:
    changed: list[str] = []
    client = Client(script, clock=SimulatedClock(asyncio.get_running_loop()))
    followed = Followed(client, changed.append)
    task = asyncio.create_task(followed.run())
    try:
        yield followed, changed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_pods_share_one_list_and_one_watch_and_read_from_memory() -> None:
    async def main() -> None:
        script = Script(listed(5, config(3, data={"a": "1"})), [event("MODIFIED", config(6, data={"a": "2"})), ...])
        async with following(script) as (followed, changed):
            first, second = await asyncio.gather(
                *(followed.read(core_v1.ConfigMap, KEY, uid) for uid in ("one", "two"))
            )
            assert first.data == second.data == {"a": "1"}
            await asyncio.sleep(1)
            assert sorted(changed) == ["one", "two"]
            assert (await followed.read(core_v1.ConfigMap, KEY, "three")).data == {"a": "2"}
            assert (await followed.read(core_v1.ConfigMap, KEY, "")).data == {"a": "2"}
            assert len(script.requests) == 2
            assert all("fieldSelector=metadata.name%3Dm" in asked for asked in script.asked())
            assert "watch=true" in script.asked()[1]

    run_simulated(main())


def test_what_is_missing_is_told_when_it_comes() -> None:
    async def main() -> None:
        script = Script(listed(5), [event("ADDED", config(6)), ...])
        async with following(script) as (followed, changed):
            with pytest.raises(NotFound, match=r'^configmap "m" not found$'):
                await followed.read(core_v1.ConfigMap, KEY, "one")
            await asyncio.sleep(1)
            assert changed == ["one"]

    run_simulated(main())


def test_what_has_gone_is_asked_for_once_more() -> None:
    async def main() -> None:
        script = Script(listed(5), [...], config(6, data={"a": "1"}))
        async with following(script) as (followed, _):
            with pytest.raises(NotFound):
                await followed.read(core_v1.ConfigMap, KEY, "one")
            await asyncio.sleep(1)
            assert (await followed.read(core_v1.ConfigMap, KEY, "one")).data == {"a": "1"}

    run_simulated(main())


def test_what_cannot_change_is_not_followed_and_not_read_again() -> None:
    async def main() -> None:
        script = Script(listed(5, config(3, immutable=True)))
        async with following(script) as (followed, _):
            for uid in ("one", "two", "one"):
                await followed.read(core_v1.ConfigMap, KEY, uid)
            await asyncio.sleep(1)
            assert len(script.requests) == 1

    run_simulated(main())


def test_who_has_no_user_is_let_go_with_the_next_sweep() -> None:
    async def main() -> None:
        script = Script(listed(5, config(3)), [...], listed(9, config(8)), [event("MODIFIED", config(10)), ...])
        async with following(script) as (followed, changed):
            await followed.read(core_v1.ConfigMap, KEY, "one")
            await asyncio.sleep(1)
            followed.sweep()
            followed.forget("one")
            await followed.read(core_v1.ConfigMap, KEY, "two")
            assert len(script.requests) == 2
            followed.forget("two")
            followed.sweep()
            assert (await followed.read(core_v1.ConfigMap, KEY, "three")).metadata.resourceVersion == "8"
            await asyncio.sleep(1)
            assert changed == ["three"]

    run_simulated(main())


def test_an_error_reaches_the_reader_and_the_next_read_tries_again() -> None:
    async def main() -> None:
        script = Script((403, status(403, "Forbidden", "not yours"), {}), listed(5, config(3)), [...])
        async with following(script) as (followed, _):
            with pytest.raises(ApiError, match="not yours"):
                await followed.read(core_v1.ConfigMap, KEY, "one")
            assert (await followed.read(core_v1.ConfigMap, KEY, "one")).metadata.name == "m"

    run_simulated(main())


def test_beyond_the_bound_objects_are_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        script = Script(listed(5, config(3)), [...], config(4), config(4))
        async with following(script) as (followed, _):
            await followed.read(core_v1.ConfigMap, KEY, "one")
            await asyncio.sleep(1)
            for _ in range(2):
                await followed.read(core_v1.ConfigMap, Key("default", "n"), "one")
            assert script.asked()[2:] == ["GET /api/v1/namespaces/default/configmaps/n"] * 2

    monkeypatch.setattr("pybernetes.kubelet.followed._MOST", 1)
    run_simulated(main())
