"""The audit of a real API server: who asked what, and what came of it."""

import asyncio

from tests.component.api import APPLY
from tests.component.testing.watched import MAPS, POD, PODS, watched

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.objects import User
from pybernetes.api.types import core_v1

JANE = User("jane", groups=("system:authenticated",))


async def test_calls_say_who_asked_what_and_what_came_of_it():
    async with watched() as api:
        with api.audit.recording() as calls:
            await api.made(PODS, POD)
            await api("PATCH", f"{PODS}/web-0?fieldManager=me", {"metadata": {"labels": {"a": "b"}}}, user_agent="op/1")
            await api.refused("GET", PODS, user=JANE)
            await api("GET", f"{PODS}/other")
        created, patched, forbidden, missing = calls
        assert (created.verb, created.resource, created.key, created.code) == ("create", "pods", "default/web-0", 201)
        assert (created.user, created.body["spec"]["containers"][0]["name"]) == ("admin", "c")
        assert (patched.patch, patched.manager, patched.agent) == ("merge", "me", "op/1")
        assert (forbidden.user, forbidden.code, forbidden.reason) == ("jane", 403, "Forbidden")
        assert 'User "jane" cannot list resource "pods"' in forbidden.message
        assert (missing.verb, missing.name, missing.reason) == ("get", "other", "NotFound")
        calls.assert_order("create pods default/web-0", "patch pods web-0", {"user": "jane", "code": 403})
        assert calls.writers() == {
            ("unknown", "create", "pods", "default/web-0"): 1,
            ("me", "patch", "pods", "default/web-0"): 1,
        }


async def test_managers_are_those_that_stand_in_managed_fields():
    async with watched() as api:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
        await api("PATCH", f"{MAPS}/a?fieldManager=applier", body, content_type=APPLY)
        body["data"] = {"x": "1", "y": "2"}
        await api("PUT", f"{MAPS}/a", body, user_agent="kubectl/v1.31 (linux)")
        managed = (await api.ok("GET", f"{MAPS}/a"))["metadata"]["managedFields"]
        told = {one.manager for one in api.audit.writes(resource="configmaps")}
        assert {one["manager"] for one in managed} == {"applier", "kubectl"} == told


async def test_who_comes_with_a_token_is_known_by_it_and_nobody_by_a_bad_one():
    async with watched() as api:
        token = await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
        await api("GET", PODS, user=None, authorization=f"Bearer {token['status']['token']}")
        await api("GET", PODS, user=None, authorization="Bearer none")
        await api("GET", PODS, user=None)
        known, bad, nobody = api.audit.calls(verb="list", resource="pods")
        assert (known.user, known.code) == ("system:serviceaccount:default:default", 403)
        assert (bad.user, bad.code) == ("", 401)
        assert (nobody.user, nobody.code) == ("system:anonymous", 403)


async def test_who_is_impersonated_stands_beside_who_did():
    async with watched() as api:
        await api("GET", PODS, impersonate_user="jane")
        (call,) = api.audit.calls(user="jane")
        assert (call.user, call.impersonated, call.code) == ("admin", "jane", 403)


async def test_dry_runs_and_generated_names():
    async with watched() as api:
        await api.made(f"{MAPS}?dryRun=All", {"metadata": {"name": "a"}})
        made = await api.made(MAPS, {"metadata": {"generateName": "b-"}})
        (dry,) = api.audit.calls(dry_run=True)
        assert (dry.name, dry.write) == ("a", False)
        (real,) = api.audit.writes(resource="configmaps")
        assert real.name == made["metadata"]["name"]


def test_times_and_latencies_are_of_the_clusters_clock():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        async with watched() as api:
            await clock.sleep(5)
            start = clock.now()
            with api.faults.add(verb="list", delay=2):
                await api.client().of(core_v1.Pod).list("default")
            (call,) = api.audit.calls(verb="list", resource="pods")
            assert (call.code, call.time, call.seconds) == (200, start, 2.0)

    run_simulated(main())


async def test_a_call_that_nobody_waited_for_is_there_too():
    async with watched() as api:
        with api.faults.add(verb="get", delay=1000):
            task = asyncio.create_task(api("GET", f"{PODS}/web-0"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        (call,) = api.audit.calls(verb="get", resource="pods")
        assert (call.code, call.done) == (0, 0)
