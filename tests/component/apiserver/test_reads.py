"""Lists, chunks and watches as clients see them."""

import asyncio

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"


def cm(name, **labels):
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


async def make(api, *names, **labels):
    for name in names:
        status, _ = await api("POST", MAPS, cm(name, **labels))
        assert status == 201


async def test_a_list_carries_the_stores_revision_not_that_of_its_items(api):
    await make(api, "a")
    await api("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "later"}})
    _, listed = await api("GET", MAPS)
    assert listed["metadata"]["resourceVersion"] == str(await api.store.revision())
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
    assert listed["kind"] == "ConfigMapList"


async def test_chunks_show_one_revision_whatever_is_written_between_them(api):
    await make(api, "a", "b", "c")
    _, first = await api("GET", f"{MAPS}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 1
    await make(api, "aa", "d")
    await api("DELETE", f"{MAPS}/c")
    _, second = await api("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in second["items"]] == ["c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]


async def test_a_compacted_chunk_is_410_with_a_token_for_the_rest(api):
    await make(api, "a", "b", "c")
    _, first = await api("GET", f"{MAPS}?limit=1")
    await make(api, "d")
    await api.server.cache.compact(await api.store.revision())
    status, expired = await api("GET", f"{MAPS}?limit=9&continue={first['metadata']['continue']}")
    assert (status, expired["reason"]) == (410, "Expired")
    _, rest = await api("GET", f"{MAPS}?limit=9&continue={expired['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c", "d"]


async def test_a_token_of_another_list_or_a_changed_one_is_refused(api):
    await make(api, "a", "b")
    _, first = await api("GET", f"{MAPS}?limit=1")
    token = first["metadata"]["continue"]
    assert (await api("GET", f"/api/v1/configmaps?limit=1&continue={token}"))[0] == 400
    assert (await api("GET", f"{MAPS}?limit=1&continue={token[:-2]}AA"))[0] == 400
    assert (await api("GET", f"{MAPS}?limit=1&continue=%00%ff"))[0] == 400


async def test_exact_reads_show_the_past(api):
    await make(api, "a")
    _, before = await api("GET", MAPS)
    await make(api, "b")
    at = before["metadata"]["resourceVersion"]
    _, listed = await api("GET", f"{MAPS}?resourceVersion={at}&resourceVersionMatch=Exact")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
    status, error = await api("GET", f"{MAPS}?resourceVersion=0&resourceVersionMatch=Exact")
    assert (status, error["reason"]) == (422, "Invalid")


async def test_selectors_choose_by_labels_and_fields(api):
    await make(api, "a", tier="x")
    await make(api, "b", tier="y")
    for query, wanted in (
        ("labelSelector=tier%3Dx", ["a"]),
        ("labelSelector=tier+in+(x,y)", ["a", "b"]),
        ("labelSelector=!tier", []),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=,metadata.name!%3Db", ["a"]),
    ):
        _, listed = await api("GET", f"{MAPS}?{query}")
        assert [item["metadata"]["name"] for item in listed["items"]] == wanted, query
    assert (await api("GET", f"{MAPS}?labelSelector=a,,b"))[0] == 400
    status, error = await api("GET", f"{MAPS}?fieldSelector=spec.x%3D1")
    assert status == 400
    assert error["message"].startswith('"spec.x" is not a known field selector')


async def test_a_watch_without_revision_begins_with_the_state(api):
    await make(api, "a")
    events = await api.watch(f"{MAPS}?watch=true")
    await make(api, "b")
    await api("DELETE", f"{MAPS}/a")
    assert await events.names(3) == ["ADDED a", "ADDED b", "DELETED a"]
    await events.close()


async def test_a_watch_from_a_revision_replays_what_followed_once_and_in_order(api):
    _, listed = await api("GET", MAPS)
    await make(api, "a", "b")
    await api("PATCH", f"{MAPS}/a", {"data": {"a": "2"}}, content_type="application/merge-patch+json")
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}")
    await make(api, "c")
    assert await events.names(4) == ["ADDED a", "ADDED b", "MODIFIED a", "ADDED c"]
    await events.close()


async def test_deleted_carries_the_last_state_at_the_deletions_revision(api):
    await make(api, "a")
    events = await api.watch(f"{MAPS}?watch=1&fieldSelector=metadata.name%3Da")
    await events.next()
    await api("DELETE", f"{MAPS}/a")
    kind, obj = await events.next()
    assert kind == "DELETED"
    assert obj["data"] == {"a": "1"}
    assert obj["metadata"]["resourceVersion"] == str(await api.store.revision())
    await events.close()


async def test_leaving_a_selector_is_deleted_and_coming_back_is_added(api):
    await make(api, "a", tier="x")
    events = await api.watch(f"{MAPS}?watch=1&labelSelector=tier%3Dx")
    for tier in ("y", "x"):
        patch = {"metadata": {"labels": {"tier": tier}}}
        await api("PATCH", f"{MAPS}/a", patch, content_type="application/merge-patch+json")
    await make(api, "other")
    assert await events.names(3) == ["ADDED a", "DELETED a", "ADDED a"]
    await events.close()


async def test_streaming_lists_end_with_a_marked_bookmark(api):
    await make(api, "a")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await api.watch(f"{MAPS}?{query}")
    await events.next()
    # kube-root-ca.crt and others are not there: one map, then the mark.
    kind, obj = await events.next()
    assert kind == "BOOKMARK"
    assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert obj["metadata"]["resourceVersion"] == str(await api.store.revision())
    await events.close()
    status, _ = await api("GET", f"{MAPS}?watch=1&sendInitialEvents=true")
    assert status == 422


async def test_forgotten_history_is_410_in_the_stream(api):
    await make(api, "a")
    await api.server.cache.compact(await api.store.revision())
    api.server.cache.of(api.server.catalog.find("", "v1", "configmaps")).since = 10_000
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion=1")
    kind, status = await events.next()
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(StopAsyncIteration):
        await events.next()


async def test_timeout_seconds_ends_a_watch(api):
    events = await api.watch(f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=0")
    with pytest.raises(StopAsyncIteration):
        async with asyncio.timeout(5):
            await events.next()


async def test_a_revision_from_the_future_is_a_timeout_to_retry(api):
    api.server.cache.wait_seconds = 0.01
    status, error = await api("GET", f"{MAPS}?resourceVersion=999999")
    assert (status, error["reason"]) == (504, "Timeout")
    assert error["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_the_old_watch_prefix_and_a_trailing_slash_work(api):
    await make(api, "a")
    events = await api.watch("/api/v1/watch/namespaces/default/configmaps/a")
    assert await events.names(1) == ["ADDED a"]
    await events.close()
    assert (await api("GET", "/api/v1/"))[0] == 200
    assert (await api("GET", f"{MAPS}/"))[0] == 200


async def test_a_closed_watch_leaves_nothing_behind(api):
    cache = api.server.cache.of(api.server.catalog.find("", "v1", "configmaps"))
    events = await api.watch(f"{MAPS}?watch=1")
    assert cache.watchers
    await events.close()
    assert not cache.watchers


async def test_a_watcher_that_does_not_read_is_cut_off(api, monkeypatch):
    monkeypatch.setattr("pybernetes.apiserver.watchcache.watcher.BACKLOG", 3)
    events = await api.watch(f"{MAPS}?watch=1")
    await make(api, *"abcdef")
    left = [kind async for kind in events.stream]
    assert left == []
    _, text = await api("GET", "/metrics")
    assert b'apiserver_terminated_watchers_total{group="",resource="configmaps"} 1\n' in text


async def test_a_watcher_that_was_cut_off_is_answered_410_once_its_place_is_forgotten(api, monkeypatch):
    monkeypatch.setattr("pybernetes.apiserver.watchcache.watcher.BACKLOG", 3)
    monkeypatch.setattr("pybernetes.apiserver.watchcache.resource_cache.HISTORY", 4)
    _, made = await api("POST", MAPS, cm("first"))
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}")
    await make(api, *"abcdef")
    assert [kind async for kind in events.stream] == []
    events = await api.watch(f"{MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}")
    kind, status = await events.next()
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


async def test_the_cache_tells_what_it_keeps_of_each_resource(api):
    await make(api, "a", "b")
    _, text = await api("GET", "/metrics")
    found = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    labels = '{group="",resource="configmaps"}'
    _, listed = await api("GET", "/api/v1/configmaps")
    assert int(found[f"apiserver_resource_objects{labels}"]) == len(listed["items"])
    assert found['apiserver_storage_objects{resource="configmaps"}'] == str(len(listed["items"]))
    assert int(found[f"apiserver_resource_size_estimate_bytes{labels}"]) > 200
    assert int(found[f"apiserver_watch_cache_events_received_total{labels}"]) >= 2
    assert int(found[f"pybernetes_watch_cache_history_bytes{labels}"]) > 200
    assert found[f"watch_cache_capacity{labels}"] == "4096"
    assert int(found[f"apiserver_watch_cache_resource_version{labels}"]) >= int(listed["metadata"]["resourceVersion"])
