"""Jobs: upstream's test/e2e/apps/job.go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.component.api import MERGE
from tests.component.conformance.e2e import PODS, Workloads, controller_of, is_ready, workloads
from tests.component.controllers.world import simulated

from pybernetes.aio.clock import rfc3339
from pybernetes.testing.errors import OrderError

JOBS = "/apis/batch/v1/namespaces/default/jobs"
STRATEGIC = "application/strategic-merge-patch+json"
INDEX = "batch.kubernetes.io/job-completion-index"
Behaviour = Callable[[Any], int | None]


def job(name="work", parallelism=2, completions=4, restart="Never", **spec):
    pod = {
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "busybox"}],
    }
    own = {"parallelism": parallelism, "completions": completions, "backoffLimit": 6, "manualSelector": False}
    return {"metadata": {"name": name}, "spec": {**own, "template": {"spec": pod}, **spec}}


def index_of(pod: Any) -> int:
    return int(pod["metadata"]["annotations"][INDEX])


def succeed(pod: Any) -> int | None:
    return 0


def fail(pod: Any) -> int | None:
    return 1


def fail_once(pod: Any) -> int | None:
    """In the first run of a container."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"] == 0)


def fail_odd_succeed_even(pod: Any) -> int | None:
    return index_of(pod) % 2


def run_on(pod: Any) -> int | None:
    return None


@asynccontextmanager
async def playing(ends: Behaviour) -> AsyncIterator[Workloads]:
    """A cluster where the container of every Pod that runs ends with the exit code that is answered, if one is."""
    async with workloads() as k, asyncio.TaskGroup() as group:
        player = group.create_task(_play(k, ends))
        yield k
        player.cancel()


async def _play(k: Workloads, ends: Behaviour) -> None:
    while True:
        for pod in await k.items(PODS):
            code = ends(pod) if is_ready(pod) and "deletionTimestamp" not in pod["metadata"] else None
            if code is not None:
                with suppress(OrderError):  # it was taken away meanwhile
                    await k.cluster.pod(pod["metadata"]["name"]).finish(code)
        await k.sleep(0.5)


def is_true(obj: Any, kind: str, reason: str) -> bool:
    told = {(c["type"], c["status"], c.get("reason", "")) for c in obj["status"].get("conditions", ())}
    return (kind, "True", reason) in told


async def has(k: Workloads, name: str, kind: str, reason: str) -> Any:
    """The Job once it has a condition for that reason."""

    async def told() -> Any:
        found = await k.ok("GET", f"{JOBS}/{name}")
        return found if is_true(found, kind, reason) else None

    return await k.poll(told, seconds=900, every=2)


async def completes(k: Workloads, name: str, succeeded: int, reason: str = "CompletionsReached") -> Any:
    """The Job once so many of its Pods have succeeded, and it is over for that reason."""
    await has(k, name, "SuccessCriteriaMet", reason)
    found = await has(k, name, "Complete", reason)
    assert found["status"]["succeeded"] == succeeded
    assert found["status"]["completionTime"]
    return found


async def fails(k: Workloads, name: str, reason: str) -> Any:
    await has(k, name, "FailureTarget", reason)
    return await has(k, name, "Failed", reason)


async def pods_of(k: Workloads, made: Any) -> list[Any]:
    return await k.items(f"{PODS}?labelSelector=batch.kubernetes.io%2Fjob-name%3D{made['metadata']['name']}")


async def run(k: Workloads, made: Any, count: int) -> list[Any]:
    """So many of its Pods, running."""

    async def there() -> Any:
        running = [pod for pod in await pods_of(k, made) if pod["status"]["phase"] == "Running"]
        return running if len(running) == count else None

    return list(await k.poll(there))


def at_rest(found: Any) -> bool:
    status = found["status"]
    return status.get("active", 0) == status["ready"] == status["terminating"] == 0


SPECIFIED = "[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname"


@pytest.mark.conformance(SPECIFIED + " [Conformance]")
@simulated
async def test_pods_of_an_indexed_job_know_their_index():
    async with playing(succeed) as k:
        made = await k.made(JOBS, job("indexed-job", completionMode="Indexed"))
        await completes(k, "indexed-job", 4)
        pods = [pod for pod in await pods_of(k, made) if pod["status"]["phase"] == "Succeeded"]
        assert sorted(map(index_of, pods)) == [0, 1, 2, 3]
        assert all(pod["spec"]["hostname"] == f"indexed-job-{index_of(pod)}" for pod in pods)
        assert all(pod["metadata"]["labels"][INDEX] == f"{index_of(pod)}" for pod in pods)


@pytest.mark.conformance(
    "[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]"
)
@simulated
async def test_a_pod_that_is_restarted_where_it_is_completes_the_job():
    async with playing(fail_once) as k:
        made = await k.made(JOBS, job("fail-once-local", restart="OnFailure"))
        await completes(k, "fail-once-local", 4)
        pods = await pods_of(k, made)
        assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [1] * 4


@pytest.mark.conformance("[sig-apps] Job should delete a job [Conformance]")
@simulated
async def test_a_job_that_is_deleted_takes_its_pods_along():
    async with playing(run_on) as k:
        made = await k.made(JOBS, job("foo"))
        await run(k, made, 2)
        await k.ok("DELETE", f"{JOBS}/foo", {"propagationPolicy": "Background"})

        async def gone() -> bool:
            return not await pods_of(k, made)

        await k.poll(gone)
        assert not await k.there(f"{JOBS}/foo")


@pytest.mark.conformance("[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]")
@simulated
async def test_an_orphan_is_adopted_again_and_a_pod_without_labels_released():
    async with playing(run_on) as k:
        made = await k.made(JOBS, job("adopt-release"))
        pod, _ = await run(k, made, 2)
        one = f"{PODS}/{pod['metadata']['name']}"
        await k.updated(one, lambda pod: pod["metadata"].pop("ownerReferences"))

        async def adopted() -> bool:
            return bool(controller_of(await k.ok("GET", one)) == made["metadata"]["uid"])

        await k.poll(adopted)
        (ref,) = (await k.ok("GET", one))["metadata"]["ownerReferences"]
        assert (ref["kind"], ref["name"]) == ("Job", "adopt-release")
        await k.updated(one, lambda pod: pod["metadata"].pop("labels"))

        async def released() -> bool:
            return controller_of(await k.ok("GET", one)) is None

        await k.poll(released)


INDEXED = {"completionMode": "Indexed"}


@pytest.mark.conformance(
    "[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]"
)
@simulated
async def test_with_a_limit_for_each_index_all_run_though_some_fail():
    async with playing(fail_odd_succeed_even) as k:
        body = job("with-backoff-limit-per-index", backoffLimitPerIndex=1, **INDEXED)
        del body["spec"]["backoffLimit"]
        await k.made(JOBS, body)
        status = (await fails(k, "with-backoff-limit-per-index", "FailedIndexes"))["status"]
        assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
        assert (status["failed"], status["succeeded"]) == (4, 2)


@pytest.mark.conformance(
    "[sig-apps] Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes"
    " [Conformance]"
)
@simulated
async def test_too_many_failed_indexes_end_the_job():
    async with playing(fail) as k:
        body = job("with-max-failed-indexes", 1, 4, backoffLimitPerIndex=0, maxFailedIndexes=0, **INDEXED)
        del body["spec"]["backoffLimit"]
        await k.made(JOBS, body)
        status = (await fails(k, "with-max-failed-indexes", "MaxFailedIndexesExceeded"))["status"]
        assert (status["failedIndexes"], status["failed"]) == ("0", 1)


@pytest.mark.conformance(
    "[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy"
    " [Conformance]"
)
@simulated
async def test_a_rule_fails_an_index_without_another_try():
    async with playing(fail_odd_succeed_even) as k:
        rules = [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}]
        policy = {"backoffLimitPerIndex": 1, "podFailurePolicy": {"rules": rules}}
        body = job("matching-fail-index-action", 2, 2, **policy, **INDEXED)
        del body["spec"]["backoffLimit"]
        await k.made(JOBS, body)
        status = (await fails(k, "matching-fail-index-action", "FailedIndexes"))["status"]
        assert (status["failedIndexes"], status["completedIndexes"]) == ("1", "0")
        assert (status["failed"], status["succeeded"]) == (1, 1)


@pytest.mark.conformance(
    "[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early [Conformance]"
)
@simulated
async def test_a_rule_fails_the_job_at_once():
    async with playing(fail) as k:
        rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]
        await k.made(JOBS, job("pod-failure-failjob", podFailurePolicy={"rules": rules}))
        found = await fails(k, "pod-failure-failjob", "PodFailurePolicy")
        assert found["status"]["failed"] <= 2, "far from backoffLimit"


@pytest.mark.conformance(
    "[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition"
    " [Conformance]"
)
@simulated
async def test_evicted_pods_are_replaced_and_not_counted_where_a_rule_says_so():
    evicted: set[str] = set()

    def once_evicted(pod: Any) -> int | None:
        return 0 if len(evicted) == 3 and pod["metadata"]["uid"] not in evicted else None

    async with playing(once_evicted) as k:
        rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        body = job("evicted-pods-ignored", 3, 3, podFailurePolicy={"rules": rules}, backoffLimit=2, **INDEXED)
        made = await k.made(JOBS, body)

        async def all_ready() -> bool:
            return (await k.ok("GET", f"{JOBS}/evicted-pods-ignored"))["status"].get("ready") == 3

        await k.poll(all_ready)
        for pod in await run(k, made, 3):
            name = pod["metadata"]["name"]
            await k.made(f"{PODS}/{name}/eviction", {"metadata": {"name": name, "namespace": "default"}})
            evicted.add(pod["metadata"]["uid"])

            async def gone(name: str = name) -> bool:
                return not await k.there(f"{PODS}/{name}")

            await k.poll(gone)
        found = await completes(k, "evicted-pods-ignored", 3)
        assert found["status"].get("failed", 0) == 0


@pytest.mark.conformance("[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]")
@simulated
async def test_a_success_policy_that_asks_for_all():
    async with playing(succeed) as k:
        rules = {"rules": [{"succeededCount": 2}]}
        await k.made(JOBS, job("with-success-policy", 2, 2, successPolicy=rules, **INDEXED))
        found = await completes(k, "with-success-policy", 2, "SuccessPolicy")
        assert at_rest(found)
        assert found["status"].get("failed", 0) == 0


@pytest.mark.conformance(
    "[sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending"
    " [Conformance]"
)
@simulated
async def test_a_success_policy_that_names_indexes():
    async with playing(fail_odd_succeed_even) as k:
        rules = {"rules": [{"succeededIndexes": "0"}]}
        await k.made(JOBS, job("with-success-policy", 2, 5, successPolicy=rules, **INDEXED))
        found = await completes(k, "with-success-policy", 1, "SuccessPolicy")
        assert found["status"]["completedIndexes"] == "0"
        assert at_rest(found)


@pytest.mark.conformance(
    "[sig-apps] Job with successPolicy succeededCount rule should succeeded even when some indexes remain pending"
    " [Conformance]"
)
@simulated
async def test_a_success_policy_that_counts():
    async with playing(fail_odd_succeed_even) as k:
        rules = {"rules": [{"succeededCount": 1}]}
        body = job("with-success-policy", 2, 5, successPolicy=rules, backoffLimit=2**31 - 1, **INDEXED)
        await k.made(JOBS, body)
        found = await completes(k, "with-success-policy", 1, "SuccessPolicy")
        assert found["status"]["completedIndexes"] == "0"
        assert at_rest(found)


@pytest.mark.conformance("[sig-apps] Job should apply changes to a job status [Conformance]")
@simulated
async def test_the_status_of_a_job_is_its_own():
    async with playing(run_on) as k:
        one = f"{JOBS}/suspend-false-to-true"
        made = await k.made(JOBS, job("suspend-false-to-true"))
        await run(k, made, 2)

        def custom(obj: Any) -> Any:
            (found,) = [c for c in obj["status"]["conditions"] if c["type"] == "CustomConditionType"]
            return found

        now = rfc3339(k.cluster.clock.now())
        condition = {"type": "CustomConditionType", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [condition]}}
        patched = await k.ok("PATCH", f"{one}/status", patch, content_type=MERGE)
        assert custom(patched)["lastTransitionTime"] == now
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
        await k.sleep(3)
        later = rfc3339(k.cluster.clock.now())
        assert later > now
        updated = await k.updated(one, lambda job: custom(job).update(lastTransitionTime=later), below="/status")
        assert custom(updated)["lastTransitionTime"] == later
        assert (await k.ok("GET", f"{one}/status"))["metadata"]["uid"] == made["metadata"]["uid"]


@pytest.mark.conformance("[sig-apps] Job should manage the lifecycle of a job [Conformance]")
@simulated
async def test_a_job_lives():
    async with playing(succeed) as k:
        name, selected = "e2e-abcde", "labelSelector=e2e-job-label%3De2e-abcde"
        since = await k.since(f"{JOBS}?{selected}")

        async def seen(kind: str, since: str, holds: Callable[[Any], bool]) -> None:
            await k.seen(JOBS, since, lambda told, job: told == kind and holds(job), query=f"&{selected}")

        body = job(name, suspend=True)
        body["metadata"]["labels"] = {"e2e-job-label": name}
        made = await k.made(JOBS, body)
        patched = await k.ok("PATCH", f"{JOBS}/{name}", {"metadata": {"labels": {name: "patched"}}})
        assert patched["metadata"]["labels"][name] == "patched"
        await seen("MODIFIED", since, lambda job: job["metadata"]["labels"].get(name) == "patched")
        assert await pods_of(k, made) == []

        def resume(job: Any) -> None:
            job["spec"]["suspend"] = False
            job["metadata"].setdefault("annotations", {})["updated"] = "true"

        since = patched["metadata"]["resourceVersion"]
        updated = await k.updated(f"{JOBS}/{name}", resume)
        assert updated["metadata"]["annotations"]["updated"] == "true"
        await seen("MODIFIED", since, lambda job: job["metadata"].get("annotations", {}).get("updated") == "true")
        assert len(await k.items(f"/apis/batch/v1/jobs?{selected}")) == 1
        await completes(k, name, 4)
        await k.ok("DELETE", f"{JOBS}?{selected}", {"propagationPolicy": "Background"})
        since = updated["metadata"]["resourceVersion"]
        await seen("DELETED", since, lambda job: job["metadata"]["labels"]["e2e-job-label"] == name)
        assert await k.items(f"/apis/batch/v1/jobs?{selected}") == []


async def test_jobs_leave_their_pods_alone_unless_told(api):
    await api.ok("POST", JOBS, job())
    response = await api.send("DELETE", f"{JOBS}/work")
    (warning,) = [text for name, text in response.headers if name.lower() == "warning"]
    assert "child pods are preserved by default when jobs are deleted" in warning
    left = await api.ok("GET", f"{JOBS}/work")
    assert left["metadata"]["finalizers"] == ["orphan"]
    response = await api.send("DELETE", f"{JOBS}/work?propagationPolicy=Orphan")
    assert not [text for name, text in response.headers if name.lower() == "warning"]
