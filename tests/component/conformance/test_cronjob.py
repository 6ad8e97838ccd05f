"""CronJobs: upstream's test/e2e/apps/cronjob.go."""

from typing import Any

import pytest
from tests.component.api import MERGE
from tests.component.conformance.e2e import Workloads, workloads
from tests.component.controllers.world import simulated

from pybernetes.aio.clock import rfc3339

CRONJOBS = "/apis/batch/v1/namespaces/default/cronjobs"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
EVERYWHERE = "/apis/batch/v1/cronjobs"
TIMEOUT = 300


def cronjob(name, schedule="*/1 * * * ?", policy="Allow", **spec):
    """Its Jobs do not end."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    pod = {"restartPolicy": "OnFailure", "volumes": [{"name": "data", "emptyDir": {}}]}
    pod["containers"] = [{"name": "c", "image": "busybox", "volumeMounts": mounts, "command": ["sleep", "300"]}]
    job = {"parallelism": 1, "completions": 1, "backoffLimit": 1, "template": {"spec": pod}}
    own = {"schedule": schedule, "concurrencyPolicy": policy, "jobTemplate": {"spec": job}}
    return {"metadata": {"name": name}, "spec": {**own, **spec}}


async def references(k: Workloads, name: str) -> list[Any]:
    return list((await k.ok("GET", f"{CRONJOBS}/{name}")).get("status", {}).get("active", ()))


async def active(k: Workloads, name: str, count: int) -> list[Any]:
    """The references to its Jobs once there are so many."""

    async def enough() -> Any:
        found = await references(k, name)
        return found if len(found) >= count else None

    return list(await k.poll(enough, TIMEOUT, every=2))


async def running(k: Workloads) -> list[Any]:
    """Jobs that have not ended."""
    return [job for job in await k.items(JOBS) if not job["status"].get("completionTime")]


async def remove(k: Workloads, name: str) -> None:
    await k.ok("DELETE", f"{CRONJOBS}/{name}", {"propagationPolicy": "Background"})
    assert not await k.there(f"{CRONJOBS}/{name}")


@pytest.mark.conformance("[sig-apps] CronJob should schedule multiple jobs concurrently [Conformance]")
@simulated
async def test_jobs_run_beside_each_other_where_that_is_allowed():
    async with workloads() as k:
        await k.made(CRONJOBS, cronjob("concurrent"))
        refs = await active(k, "concurrent", 2)
        jobs = await running(k)
        assert len(jobs) >= 2
        named = {("Job", "batch/v1", job["metadata"]["name"], job["metadata"]["uid"]) for job in jobs}
        assert {(ref["kind"], ref["apiVersion"], ref["name"], ref["uid"]) for ref in refs} == named
        await remove(k, "concurrent")


@pytest.mark.conformance("[sig-apps] CronJob should not schedule jobs when suspended [Slow] [Conformance]")
@simulated
async def test_a_suspended_cron_job_makes_none():
    async with workloads() as k:
        await k.made(CRONJOBS, cronjob("suspended", suspend=True))
        for _ in range(TIMEOUT // 2):
            assert await references(k, "suspended") == []
            await k.sleep(2)
        assert await k.items(JOBS) == []
        await remove(k, "suspended")


@pytest.mark.conformance("[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Slow] [Conformance]")
@simulated
async def test_a_job_waits_for_the_one_before_where_two_are_forbidden():
    async with workloads() as k:
        await k.made(CRONJOBS, cronjob("forbid", policy="Forbid"))
        assert len(await active(k, "forbid", 1)) == 1
        assert len(await running(k)) == 1
        for _ in range(TIMEOUT // 2):
            assert len(await references(k, "forbid")) == len(await k.items(JOBS)) == 1
            await k.sleep(2)
        await remove(k, "forbid")


@pytest.mark.conformance("[sig-apps] CronJob should replace jobs when ReplaceConcurrent [Conformance]")
@simulated
async def test_a_job_takes_the_place_of_the_one_before():
    async with workloads() as k:
        await k.made(CRONJOBS, cronjob("replace", policy="Replace"))
        assert len(await active(k, "replace", 1)) == 1
        (first,) = await running(k)

        async def replaced() -> bool:
            """As upstream waits for it: one Job is left or the other one, never more than the two at a time."""
            jobs = await running(k)
            assert len(jobs) <= 2
            return bool(jobs and first["metadata"]["uid"] not in [job["metadata"]["uid"] for job in jobs])

        await k.poll(replaced, TIMEOUT, every=2)
        await remove(k, "replace")


@pytest.mark.conformance("[sig-apps] CronJob should support CronJob API operations [Conformance]")
@simulated
async def test_cronjobs_have_every_verb_and_a_status():
    async with workloads() as k:
        selected = "labelSelector=special-label%3Dcronjob"
        limits = {"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}
        body = cronjob("test-api", "* */1 * * ?", **limits)
        body["metadata"]["labels"] = {"special-label": "cronjob"}
        one = f"{CRONJOBS}/test-api"
        made = await k.made(CRONJOBS, body)
        assert (await k.ok("GET", one))["metadata"]["uid"] == made["metadata"]["uid"]
        listed = await k.ok("GET", f"{CRONJOBS}?{selected}")
        assert len(listed["items"]) == len(await k.items(f"{EVERYWHERE}?{selected}")) == 1
        since = listed["metadata"]["resourceVersion"]
        seen = [await k.watch(f"{path}?watch=1&{selected}&resourceVersion={since}") for path in (CRONJOBS, EVERYWHERE)]
        patch = {"metadata": {"annotations": {"patched": "true"}}}
        patched = await k.ok("PATCH", one, patch, content_type=MERGE)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        updated = await k.updated(one, lambda cj: cj["metadata"]["annotations"].update(updated="true"))
        assert updated["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
        for events in seen:
            kind, told = await events.next()
            assert (kind, told["metadata"]["annotations"]["patched"]) == ("MODIFIED", "true")
        now = rfc3339(k.cluster.clock.now())
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"lastScheduleTime": now}}
        patched = await k.ok("PATCH", f"{one}/status", patch, content_type=MERGE)
        assert patched["status"]["lastScheduleTime"] == now
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
        await k.sleep(2)
        later = rfc3339(k.cluster.clock.now())
        updated = await k.updated(one, lambda cj: cj["status"].update(lastScheduleTime=later), below="/status")
        assert updated["status"]["lastScheduleTime"] == later
        assert (await k.ok("GET", f"{one}/status"))["metadata"]["uid"] == made["metadata"]["uid"]
        await k.made(CRONJOBS, {**body, "metadata": {**body["metadata"], "name": "for-removal"}})
        await k.ok("DELETE", f"{CRONJOBS}/for-removal")
        assert not await k.there(f"{CRONJOBS}/for-removal")
        await k.ok("DELETE", f"{CRONJOBS}?{selected}")
        assert await k.items(f"{CRONJOBS}?{selected}") == []


async def test_the_group_of_cronjobs_prefers_its_version(api):
    groups = await api.ok("GET", "/apis")
    (group,) = [group for group in groups["groups"] if group["name"] == "batch"]
    assert group["preferredVersion"]["groupVersion"] == "batch/v1"
    await api.cycle(CRONJOBS, cronjob("tick"), status={"lastScheduleTime": "2026-01-01T00:00:00Z"})
