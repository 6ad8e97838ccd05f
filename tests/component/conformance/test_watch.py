"""Watches: upstream's apimachinery/watch.go."""

import asyncio

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
LABEL = "watch-this-configmap"


def config_map(name, label, **data):
    return {"metadata": {"name": name, "labels": {LABEL: label}}, "data": data}


def selecting(*labels):
    return f"{MAPS}?watch=1&labelSelector={LABEL}%20in%20%28{'%2C'.join(labels)}%29"


async def mutate(api, name, value):
    return await api.ok("PATCH", f"{MAPS}/{name}", {"data": {"mutation": value}})


@pytest.mark.conformance(
    "[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps [Conformance]"
)
async def test_each_watcher_sees_what_it_selects_and_nothing_else(api):
    watches = {"a": await api.watch(selecting("a")), "b": await api.watch(selecting("b"))}
    both = await api.watch(selecting("a", "b"))
    for label in ("a", "b"):
        seen = []
        await api.ok("POST", MAPS, config_map(label, label))
        for value in ("1", "2"):
            await mutate(api, label, value)
        await api.ok("DELETE", f"{MAPS}/{label}")
        for watch in (watches[label], both):
            seen = [await watch.next() for _ in range(4)]
            assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
            assert [obj.get("data", {}).get("mutation") for _, obj in seen] == [None, "1", "2", "2"]
            assert {obj["metadata"]["name"] for _, obj in seen} == {label}


@pytest.mark.conformance(
    "[sig-api-machinery] Watchers should be able to start watching from a specific resource version [Conformance]"
)
async def test_a_watch_begins_after_the_version_it_names(api):
    await api.ok("POST", MAPS, config_map("a", "a"))
    first = await mutate(api, "a", "1")
    await mutate(api, "a", "2")
    await api.ok("DELETE", f"{MAPS}/a")
    watch = await api.watch(f"{selecting('a')}&resourceVersion={first['metadata']['resourceVersion']}")
    kind, obj = await watch.next()
    assert (kind, obj["data"]["mutation"]) == ("MODIFIED", "2")
    assert (await watch.next())[0] == "DELETED"


@pytest.mark.conformance(
    "[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the "
    "previous watch [Conformance]"
)
async def test_a_watch_goes_on_where_another_ended(api):
    watch = await api.watch(selecting("a"))
    await api.ok("POST", MAPS, config_map("a", "a"))
    await mutate(api, "a", "1")
    assert (await watch.next())[0] == "ADDED"
    last = (await watch.next())[1]["metadata"]["resourceVersion"]
    await mutate(api, "a", "2")
    await api.ok("DELETE", f"{MAPS}/a")
    again = await api.watch(f"{selecting('a')}&resourceVersion={last}")
    kind, obj = await again.next()
    assert (kind, obj["data"]["mutation"]) == ("MODIFIED", "2")
    assert (await again.next())[0] == "DELETED"


@pytest.mark.conformance(
    "[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the selector "
    "[Conformance]"
)
async def test_what_is_no_longer_selected_is_gone_to_the_watcher(api):
    watch = await api.watch(selecting("a"))
    await api.ok("POST", MAPS, config_map("m", "a"))
    await mutate(api, "m", "1")
    await api.ok("PATCH", f"{MAPS}/m", {"metadata": {"labels": {LABEL: "other"}}})
    assert [(await watch.next())[0] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]
    await mutate(api, "m", "2")
    await api.ok("PATCH", f"{MAPS}/m", {"metadata": {"labels": {LABEL: "a"}}})
    await mutate(api, "m", "3")
    await api.ok("DELETE", f"{MAPS}/m")
    seen = [await watch.next() for _ in range(3)]
    assert [(kind, obj["data"]["mutation"]) for kind, obj in seen] == [
        ("ADDED", "2"),
        ("MODIFIED", "3"),
        ("DELETED", "3"),
    ]


@pytest.mark.conformance(
    "[sig-api-machinery] Watchers should receive events on concurrent watches in same order [Conformance]"
)
async def test_watches_begun_anywhere_see_one_order(api):
    count = 60

    async def write():
        for number in range(count):
            name = f"m-{number % 3}"
            code, _ = await api("POST", MAPS, config_map(name, "a", n=str(number)))
            if code == 409:
                code, _ = await api("PATCH", f"{MAPS}/{name}", {"data": {"n": str(number)}})
            if number % 7 == 6:
                await api.ok("DELETE", f"{MAPS}/{name}")

    first = await api.watch(f"{MAPS}?watch=1")
    versions, watches = [], []
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        for _ in range(count):
            _, obj = await first.next()
            versions.append(obj["metadata"]["resourceVersion"])
            watches.append(await api.watch(f"{MAPS}?watch=1&resourceVersion={versions[-1]}"))
    for number, watch in enumerate(watches):
        for expected in versions[number + 1 :]:
            assert (await watch.next())[1]["metadata"]["resourceVersion"] == expected
