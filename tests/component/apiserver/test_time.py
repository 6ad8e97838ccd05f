"""What a server does by itself as time goes by, on simulated time."""

import asyncio

import pytest
from tests.component.api import serving

from pybernetes.aio.clock import rfc3339
from pybernetes.aio.simulation import run_simulated
from pybernetes.apiserver.config import Times
from pybernetes.store.protocol import Compacted, Revision

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def simulated():
    """Runs a scenario (api, clock, store) against a server on simulated time."""

    def run(scenario, **config):
        async def main():
            async with serving(account=False, **config) as api:
                await scenario(api, api.server.clock, api.store)

        run_simulated(main())

    return run


def test_a_quiet_watch_learns_how_far_it_is_within_a_minute(simulated):
    async def scenario(api, clock, store):
        events = await api.watch(f"{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion=0")
        silent = await api.watch(f"{MAPS}?watch=1&resourceVersion=0")
        await api("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "elsewhere"}})
        began = clock.monotonic()
        kind, obj = await events.next()
        assert (kind, obj["metadata"]["resourceVersion"]) == ("BOOKMARK", str(await store.revision()))
        assert clock.monotonic() - began <= 60
        await api("POST", MAPS, {"metadata": {"name": "a"}})
        assert await silent.names(1) == ["ADDED a"]
        await events.close()
        await silent.close()

    simulated(scenario)


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def test_rows_of_tables_grow_older_and_follow_a_clock_that_is_set(simulated, monkeypatch):
    async def scenario(api, clock, store):
        made = await api.ok("POST", MAPS, {"metadata": {"name": "a", "labels": {"own": ""}}})
        begin = int(made["metadata"]["resourceVersion"]) - 1
        now = clock.now
        for passed, expected in ((0, "0s"), (90, "90s"), (3 * 86400, "3d"), (-600, "<invalid>"), (-1, "0s"), (5, "5s")):
            moment = now() + passed
            monkeypatch.setattr(clock, "now", lambda at=moment: at)
            events = await api.watch(f"{MAPS}?watch=1&labelSelector=own&resourceVersion={begin}", accept=TABLE)
            rows = (await api.ok("GET", f"{MAPS}?labelSelector=own", accept=TABLE))["rows"]
            rows += (await events.next())[1]["rows"]
            assert [row["cells"][-1] for row in rows] == [expected, expected]
            await events.close()

    simulated(scenario)


def test_watchers_that_resume_are_told_the_age_of_now(simulated):
    async def scenario(api, clock, store):
        first = await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        await api.ok("POST", MAPS, {"metadata": {"name": "b"}})
        begin = int(first["metadata"]["resourceVersion"]) - 1
        for expected in ("0s", "60s"):
            events = await api.watch(f"{MAPS}?watch=1&resourceVersion={begin}", accept=TABLE)
            cells = [(await events.next())[1]["rows"][0]["cells"] for _ in "ab"]
            assert [(name, age) for name, _, age in cells] == [("a", expected), ("b", expected)]
            await events.close()
            await clock.sleep(60)

    simulated(scenario)


ABOUT = {"kind": "Pod", "name": "p", "namespace": "default"}


def test_events_live_an_hour_after_they_were_last_written(simulated):
    async def scenario(api, clock, store):
        events = "/api/v1/namespaces/default/events"
        for name in ("once", "again", "renewed"):
            body = {
                "metadata": {"name": name},
                "involvedObject": ABOUT,
                "reason": "R",
                "message": "m",
                "type": "Normal",
            }
            status, answer = await api("POST", events, body)
            assert status == 201, answer
        watch = await api.watch(
            f"{events}?watch=1&timeoutSeconds=9000&resourceVersion={answer['metadata']['resourceVersion']}"
        )
        await clock.sleep(3000)
        patch = {"count": 2, "lastTimestamp": rfc3339(clock.now())}
        await api("PATCH", f"{events}/again", patch, content_type="application/merge-patch+json")
        newer = f"/apis/events.k8s.io/v1{events.removeprefix('/api/v1')}/renewed"
        status, answer = await api("PATCH", newer, {"metadata": {"labels": {"a": "b"}}})
        assert status == 200, answer
        assert await watch.names(2) == ["MODIFIED again", "MODIFIED renewed"]
        await clock.sleep(599)
        assert len((await api("GET", events))[1]["items"]) == 3
        await clock.sleep(3)
        _, listed = await api("GET", events)
        assert [item["metadata"]["name"] for item in listed["items"]] == ["again", "renewed"]
        kind, gone = await watch.next()
        assert (kind, gone["metadata"]["name"], gone["message"]) == ("DELETED", "once", "m")
        assert int(gone["metadata"]["resourceVersion"]) == await store.revision()
        await clock.sleep(3000)
        assert await watch.names(2) == ["DELETED again", "DELETED renewed"]
        await watch.close()

    simulated(scenario)


def test_the_time_of_events_is_a_flag(simulated):
    async def scenario(api, clock, store):
        events = "/api/v1/namespaces/default/events"
        body = {"metadata": {"name": "e"}, "involvedObject": ABOUT, "reason": "R", "message": "m", "type": "Normal"}
        await api("POST", events, body)
        await clock.sleep(119)
        assert (await api("GET", f"{events}/e"))[0] == 200
        await clock.sleep(3)
        assert (await api("GET", f"{events}/e"))[0] == 404

    simulated(scenario, times=Times(event=120.0))


def test_history_older_than_ten_minutes_is_compacted(simulated):
    async def scenario(api, clock, store):
        await api("POST", MAPS, {"metadata": {"name": "a"}})
        await clock.sleep(700)
        await api("POST", MAPS, {"metadata": {"name": "b"}})
        with pytest.raises(Compacted):
            await store.range("/registry/", at=Revision(1))
        _, listed = await api("GET", MAPS)
        assert len(listed["items"]) == 2

    simulated(scenario)


def test_history_is_kept_whole_where_the_interval_is_zero(simulated):
    async def scenario(api, clock, store):
        await api("POST", MAPS, {"metadata": {"name": "a"}})
        await clock.sleep(100_000)
        assert (await store.range("/registry/", at=Revision(1))).revision == 1

    simulated(scenario, times=Times(compaction=0.0))


def test_no_more_history_is_kept_than_the_limit_says(simulated):
    async def scenario(api, clock, store):
        for _ in range(5):
            for n in range(60):
                await api("PUT", f"{MAPS}/a", {"metadata": {"name": "a"}, "data": {"n": str(n)}})
            await clock.sleep(11)
            newest = await store.revision()
            assert (await store.range("/registry/", at=Revision(newest - 40))).revision == newest - 40
            with pytest.raises(Compacted):
                await store.range("/registry/", at=Revision(newest - 60))

    async def main(api, clock, store):
        await api("POST", MAPS, {"metadata": {"name": "a"}})
        await scenario(api, clock, store)

    simulated(main, history_limit=50)


def test_the_kubernetes_service_is_repaired_and_else_left_alone(simulated):
    async def scenario(api, clock, store):
        one = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
        before = await store.revision()
        await clock.sleep(120)
        assert await store.revision() == before
        await api("DELETE", one)
        await clock.sleep(11)
        assert (await api("GET", one))[0] == 200

    simulated(scenario)


def test_a_request_ends_in_its_time(simulated):
    async def scenario(api, clock, store):
        async def stuck(key, at=None):
            await asyncio.Event().wait()

        store.revision = lambda: stuck("")
        began = clock.monotonic()
        status, error = await api("GET", f"{MAPS}?timeout=5s")
        assert (status, error["reason"], clock.monotonic() - began) == (504, "Timeout", 5.0)
        status, error = await api("GET", f"{MAPS}?timeout=soon")
        assert (status, error["reason"]) == (400, "BadRequest")

    simulated(scenario)


def test_a_watch_without_a_timeout_ends_within_an_hour(simulated):
    async def scenario(api, clock, store):
        events = await api.watch(f"{MAPS}?watch=1&resourceVersion=0")
        began = clock.monotonic()
        with pytest.raises(StopAsyncIteration):
            await events.next()
        assert 1800 <= clock.monotonic() - began <= 3600

    simulated(scenario)
