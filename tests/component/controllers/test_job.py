"""Jobs with the real API server, scheduler and simulated nodes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.component.controllers.world import MANAGER, Mortal, World, controllers, simulated, world
from tests.exposition import read

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import ApiError, Forbidden
from pybernetes.api.types import batch_v1, core_v1, policy_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers import _job_books as books
from pybernetes.wire.http import Request, Response

Job = batch_v1.Job
Pods = list[core_v1.Pod]
TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"


async def job(w: World, name: str = "work", says: dict[str, str] | None = None, **spec: Any) -> batch_v1.Job:
    """`says`: what the Pods do, as annotations of simulated nodes."""
    metadata = spec.pop("metadata", {})
    spec.setdefault("template", template(says or {"run-seconds": "5"}))
    return await w.create(Job, name, metadata=metadata, spec=spec)


def template(says: dict[str, str], restart: str = "Never") -> dict[str, Any]:
    notes = {f"simulated.pybernetes.io/{key}": value for key, value in says.items()}
    containers = [{"name": "c", "image": "one"}]
    return {"metadata": {"annotations": notes}, "spec": {"restartPolicy": restart, "containers": containers}}


async def over(w: World, kind: str = "Complete", name: str = "work", seconds: float = 120) -> batch_v1.Job:
    async def holds() -> bool:
        return kind in conditions(await w.get(Job, name))

    await w.until(holds, seconds)
    return await w.get(Job, name)


async def there(w: World, number: int) -> Pods:
    """So many Pods that have neither ended nor are being deleted, by index or name."""

    async def holds() -> bool:
        return len(await running(w)) == number

    await w.until(holds)
    return await running(w)


async def running(w: World) -> Pods:
    found = [p for p in await w.pods() if p.status.phase not in ("Succeeded", "Failed")]
    return sorted(found, key=lambda p: (p.metadata.annotations.get(INDEX, ""), p.metadata.name))


async def end(w: World, pod: core_v1.Pod, code: int = 0, *conditions: str) -> None:
    """What a kubelet would say of a Pod that has ended."""
    state = {"terminated": {"exitCode": code, "finishedAt": stamp(w)}}
    container = {"name": "c", "image": "one", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    status = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [container],
        "conditions": [{"type": kind, "status": "True"} for kind in conditions],
    }
    await w.client.of(core_v1.Pod).patch_raw(key_of(pod), {"status": status}, subresource="status")


def stamp(w: World) -> str:
    return rfc3339(w.clock.now())


def conditions(found: batch_v1.Job) -> dict[str, str]:
    return {c.type: c.reason for c in found.status.conditions if c.status == "True"}


def counts(found: batch_v1.Job) -> tuple[int, int, int, int | None, int | None]:
    status = found.status
    return status.active, status.succeeded, status.failed, status.ready, status.terminating


@simulated
async def test_a_job_runs_its_pods_and_completes():
    async with world() as w:
        await job(w, completions=3, parallelism=2)
        await w.clock.sleep(3)
        running = await w.get(Job, "work")
        assert counts(running) == (2, 0, 0, 2, 0)
        pods = await w.pods()
        assert {p.metadata.ownerReferences[0].name for p in pods} == {"work"}
        assert all(p.metadata.finalizers == (TRACKING,) for p in pods)
        assert all(p.metadata.labels["batch.kubernetes.io/job-name"] == "work" for p in pods)
        done = await over(w)
        assert counts(done) == (0, 3, 0, 0, 0)
        assert conditions(done) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
        assert [c.type for c in done.status.conditions] == ["SuccessCriteriaMet", "Complete"]
        assert done.status.completionTime is not None
        assert done.status.uncountedTerminatedPods == batch_v1.UncountedTerminatedPods()
        pods = await w.all(core_v1.Pod)
        assert [p.status.phase for p in pods] == ["Succeeded"] * 3
        assert not any(p.metadata.finalizers for p in pods)
        told = [f"SuccessfulCreate: Created pod: {p.metadata.name}" for p in pods]
        assert sorted(await w.events("work")) == sorted([*told, "Completed: Job completed"])


@simulated
async def test_a_work_queue_is_done_when_one_has_succeeded_and_all_have_ended():
    async with world(nodes=0) as w:
        await job(w, parallelism=3)
        first, second, third = await there(w, 3)
        await end(w, first)
        await w.clock.sleep(30)
        assert len(await running(w)) == 2
        assert conditions(await w.get(Job, "work")) == {}
        await end(w, second, 1)
        await end(w, third)
        done = await over(w)
        assert counts(done) == (0, 2, 1, 0, 0)


@simulated
async def test_pods_of_an_indexed_job_know_their_index():
    async with world() as w:
        await job(w, completions=4, parallelism=2, completionMode="Indexed")
        done = await over(w)
        assert (done.status.completedIndexes, done.status.succeeded) == ("0-3", 4)
        pods = sorted(await w.all(core_v1.Pod), key=lambda p: p.metadata.annotations[INDEX])
        for index, pod in enumerate(pods):
            assert pod.metadata.labels[INDEX] == pod.metadata.annotations[INDEX] == str(index)
            assert pod.spec.hostname == f"work-{index}"
            assert pod.metadata.name.startswith(f"work-{index}-")
            (variable,) = pod.spec.containers[0].env
            assert variable.name == "JOB_COMPLETION_INDEX"
            assert variable.valueFrom is not None
            assert variable.valueFrom.fieldRef is not None
            assert variable.valueFrom.fieldRef.fieldPath == f"metadata.labels['{INDEX}']"


@simulated
async def test_indexes_are_told_in_short_and_the_first_missing_ones_come_first():
    async with world(nodes=0) as w:
        await job(w, completions=9, parallelism=6, completionMode="Indexed")
        pods = await there(w, 6)
        for index in (0, 1, 3, 4, 5):
            await end(w, pods[index])
        pods = await there(w, 4)
        assert [p.metadata.annotations[INDEX] for p in pods] == ["2", "6", "7", "8"]
        await w.clock.sleep(1)
        assert (await w.get(Job, "work")).status.completedIndexes == "0,1,3-5"


@simulated
async def test_a_failure_is_replaced_after_a_while_that_doubles_until_the_limit():
    async with world(nodes=0) as w:
        await job(w, backoffLimit=2)
        for failures, wait in ((1, 10), (2, 20)):
            (pod,) = await there(w, 1)
            await end(w, pod, 1)
            await w.clock.sleep(wait - 2)
            assert await running(w) == []
            await w.clock.sleep(3)
            assert len(await running(w)) == 1
            assert counts(await w.get(Job, "work")) == (1, 0, failures, 0, 0)
        await end(w, (await running(w))[0], 1)
        done = await over(w, "Failed")
        assert counts(done) == (0, 0, 3, 0, 0)
        assert conditions(done) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
        assert done.status.completionTime is None
        assert (await w.events("work"))[-1] == "BackoffLimitExceeded: Job has reached the specified backoff limit"


@simulated
async def test_a_success_ends_the_waiting_after_failures():
    async with world(nodes=0) as w:
        await job(w, completions=3, parallelism=2)
        first, second = await there(w, 2)
        await end(w, first, 1)
        await w.clock.sleep(2)
        await end(w, second)
        await w.clock.sleep(1)
        assert len(await running(w)) == 2


@simulated
async def test_a_pod_that_is_restarted_where_it_is_completes_the_job():
    async with world() as w:
        says = {"run-seconds": "3", "exit-code": "1"}
        await job(w, completions=1, template=template(says, "OnFailure"))
        await w.clock.sleep(4.5)
        (pod,) = await w.pods()
        well = {"simulated.pybernetes.io/exit-code": "0"}
        await w.patch(core_v1.Pod, pod.metadata.name, {"metadata": {"annotations": well}})
        done = await over(w)
        assert counts(done) == (0, 1, 0, 0, 0)
        assert (await w.all(core_v1.Pod))[0].status.containerStatuses[0].restartCount == 1


@simulated
async def test_restarts_count_as_failures_with_on_failure():
    async with world() as w:
        says = {"run-seconds": "1", "exit-code": "1"}
        await job(w, backoffLimit=2, template=template(says, "OnFailure"))
        done = await over(w, "Failed")
        assert conditions(done)["Failed"] == "BackoffLimitExceeded"
        assert done.status.failed == 1


@simulated
async def test_an_indexed_job_grows_and_shrinks_with_completions_and_parallelism_together():
    async with world(nodes=0) as w:
        await job(w, completions=2, parallelism=2, completionMode="Indexed")
        pods = await there(w, 2)
        await w.patch(Job, "work", {"spec": {"completions": 4, "parallelism": 4}})
        pods = await there(w, 4)
        await end(w, pods[0])
        await end(w, pods[3])
        await w.clock.sleep(1)
        assert (await w.get(Job, "work")).status.completedIndexes == "0,3"
        await w.patch(Job, "work", {"spec": {"completions": 2, "parallelism": 2}})
        (left,) = await there(w, 1)
        assert left.metadata.annotations[INDEX] == "1"
        await end(w, left)
        done = await over(w)
        assert (done.status.completedIndexes, done.status.succeeded, done.status.failed) == ("0,1", 2, 0)


async def end_all(w: World, *indexes: int, code: int = 0) -> None:
    """The Pods of these indexes end."""
    for pod in await running(w):
        if int(pod.metadata.annotations[INDEX]) in indexes:
            await end(w, pod, code)


@simulated
async def test_an_index_that_was_done_is_done_again_when_it_was_out_of_range_meanwhile():
    async with world(nodes=0) as w:
        await job(w, completions=3, parallelism=3, completionMode="Indexed")
        await there(w, 3)
        await end_all(w, 2)
        await w.clock.sleep(1)
        assert (await w.get(Job, "work")).status.completedIndexes == "2"
        await w.patch(Job, "work", {"spec": {"completions": 2, "parallelism": 2}})
        await w.clock.sleep(1)
        found = await w.get(Job, "work")
        assert (found.status.completedIndexes, counts(found)) == ("", (2, 0, 0, 0, 0))
        await w.patch(Job, "work", {"spec": {"completions": 3, "parallelism": 3}})
        await there(w, 3)
        await end_all(w, 0, 1, 2)
        done = await over(w)
        assert (done.status.completedIndexes, counts(done)) == ("0-2", (0, 3, 0, 0, 0))


@simulated
async def test_a_failure_counts_on_when_its_index_is_out_of_range_later():
    async with world(nodes=0) as w:
        await job(w, completions=3, parallelism=3, completionMode="Indexed")
        await there(w, 3)
        await end_all(w, 1)
        await end_all(w, 2, code=1)
        await w.clock.sleep(15)
        assert counts(await w.get(Job, "work")) == (2, 1, 1, 0, 0)
        await w.patch(Job, "work", {"spec": {"completions": 1, "parallelism": 1}})
        await there(w, 1)
        await end_all(w, 0)
        done = await over(w)
        assert (done.status.completedIndexes, counts(done)) == ("0", (0, 1, 1, 0, 0))


@simulated
async def test_a_job_of_no_completions_any_more_is_done():
    async with world(nodes=0) as w:
        await job(w, completions=3, parallelism=3, completionMode="Indexed")
        await there(w, 3)
        await w.patch(Job, "work", {"spec": {"completions": 0, "parallelism": 0}})
        assert counts(await over(w)) == (0, 0, 0, 0, 0)


@simulated
async def test_less_parallelism_removes_pods_that_are_no_failures():
    async with world(nodes=0) as w:
        await job(w, completions=5, parallelism=3)
        await there(w, 3)
        await w.patch(Job, "work", {"spec": {"parallelism": 1}})
        await there(w, 1)
        await w.clock.sleep(30)
        assert counts(await w.get(Job, "work")) == (1, 0, 0, 0, 0)
        assert len(await w.all(core_v1.Pod)) == 1


# --- policies


@simulated
async def test_with_a_limit_for_each_index_all_run_though_some_fail():
    async with world(nodes=0) as w:
        await job(w, completions=4, parallelism=4, completionMode="Indexed", backoffLimitPerIndex=1)
        for pod in await there(w, 4):
            await end(w, pod, int(pod.metadata.annotations[INDEX]) % 2)
        again = await there(w, 2)
        assert {p.metadata.annotations["batch.kubernetes.io/job-index-failure-count"] for p in again} == {"1"}
        for pod in again:
            await end(w, pod, 1)
        done = await over(w, "Failed")
        assert conditions(done)["Failed"] == "FailedIndexes"
        assert (done.status.failedIndexes, done.status.completedIndexes) == ("1,3", "0,2")
        assert counts(done) == (0, 2, 4, 0, 0)


@simulated
async def test_the_failures_of_an_index_wait_longer_each_time():
    async with world(nodes=0) as w:
        await job(w, completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=3)
        _, second = await there(w, 2)
        await end(w, second, 1)
        for wait in (10, 20):
            await w.clock.sleep(wait - 2)
            assert len(await running(w)) == 1
            await w.clock.sleep(3)
            _, second = await there(w, 2)
            await end(w, second, 1)


@simulated
async def test_too_many_failed_indexes_end_the_job():
    async with world(nodes=0) as w:
        spec = {"completions": 4, "parallelism": 1, "completionMode": "Indexed"}
        await job(w, **spec, backoffLimitPerIndex=0, maxFailedIndexes=0)
        (pod,) = await there(w, 1)
        await end(w, pod, 1)
        done = await over(w, "Failed")
        assert conditions(done)["Failed"] == "MaxFailedIndexesExceeded"
        assert (done.status.failedIndexes, done.status.failed, len(await w.all(core_v1.Pod))) == ("0", 1, 1)


@simulated
async def test_a_rule_fails_an_index_without_another_try():
    async with world(nodes=0) as w:
        rules = [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}]
        spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
        await job(w, **spec, backoffLimitPerIndex=1, podFailurePolicy={"rules": rules})
        first, second = await there(w, 2)
        await end(w, first)
        await end(w, second, 42)
        done = await over(w, "Failed")
        assert (done.status.failedIndexes, done.status.completedIndexes) == ("1", "0")
        assert (counts(done), conditions(done)["Failed"]) == ((0, 1, 1, 0, 0), "FailedIndexes")


@simulated
async def test_a_rule_fails_the_job_at_once():
    async with world() as w:
        rules = [{"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}}]
        await job(w, says={"run-seconds": "2", "exit-code": "42"}, podFailurePolicy={"rules": rules}, completions=2)
        done = await over(w, "Failed")
        (pod,) = await w.all(core_v1.Pod)
        text = (
            f"Container c for pod default/{pod.metadata.name} failed with exit code 42 matching FailJob rule at index 0"
        )
        assert {c.type: c.message for c in done.status.conditions} == {"FailureTarget": text, "Failed": text}
        assert conditions(done)["Failed"] == "PodFailurePolicy"
        assert f"PodFailurePolicy: {text}" in await w.events("work")


@simulated
async def test_evicted_pods_are_replaced_and_not_counted_where_a_rule_says_so():
    async with world() as w:
        rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimit": 2}
        await job(w, says={"run-seconds": "100"}, podFailurePolicy={"rules": rules}, **spec)
        first = await there(w, 3)
        await w.clock.sleep(3)
        for pod in first:
            eviction = policy_v1.Eviction(metadata=pod.metadata)
            await w.client.of(core_v1.Pod).create_subresource(key_of(pod), "eviction", eviction)
        done = await over(w, seconds=300)
        assert conditions(done)["Complete"] == "CompletionsReached"
        assert counts(done) == (0, 3, 0, 0, 0)


@simulated
async def test_a_job_is_done_when_its_success_policy_says_so():
    rules: dict[str, tuple[dict[str, Any], str]] = {
        "all": ({"succeededCount": 3}, "0-2"),
        "count": ({"succeededCount": 1}, "0"),
        "indexes": ({"succeededIndexes": "0,2"}, "0,2"),
        "either": ({"succeededIndexes": "0,2", "succeededCount": 1}, "0"),
    }
    for name, (rule, succeed) in rules.items():
        async with world() as w:
            spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
            await job(w, says={"run-seconds": "1000"}, successPolicy={"rules": [rule]}, **spec)
            pods = await there(w, 3)
            await w.clock.sleep(3)
            for index in (0, 2, 1) if name == "all" else (0, 2) if name == "indexes" else (0,):
                assert conditions(await w.get(Job, "work")) == {}
                soon = {"simulated.pybernetes.io/run-seconds": "1"}
                await w.patch(core_v1.Pod, pods[index].metadata.name, {"metadata": {"annotations": soon}})
                await w.clock.sleep(0.7)
            done = await over(w)
            assert [c.type for c in done.status.conditions] == ["SuccessCriteriaMet", "Complete"]
            assert conditions(done) == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
            assert done.status.conditions[0].message == "Matched rules at index 0"
            assert done.status.completedIndexes == succeed
            assert (done.status.active, done.status.ready, done.status.terminating, done.status.failed) == (0, 0, 0, 0)
            assert await running(w) == []


@simulated
async def test_a_job_fails_after_its_deadline_when_its_pods_are_gone():
    async with world() as w:
        await job(w, says={"stop-seconds": "5"}, activeDeadlineSeconds=30, parallelism=2)
        await w.clock.sleep(29)
        assert counts(await w.get(Job, "work")) == (2, 0, 0, 2, 0)
        await w.clock.sleep(3)
        ending = await w.get(Job, "work")
        assert conditions(ending) == {"FailureTarget": "DeadlineExceeded"}
        assert counts(ending) == (0, 0, 2, 0, 2)
        done = await over(w, "Failed")
        assert counts(done) == (0, 0, 2, 0, 0)
        assert "DeadlineExceeded: Job was active longer than specified deadline" in await w.events("work")


@simulated
async def test_a_suspended_job_has_no_pods_and_begins_anew_when_resumed():
    async with world() as w:
        await job(w, says={"run-seconds": "20"}, activeDeadlineSeconds=60, completions=2, parallelism=2)
        await w.clock.sleep(10)
        await w.patch(Job, "work", {"spec": {"suspend": True}})
        await w.clock.sleep(100)
        resting = await w.get(Job, "work")
        assert conditions(resting) == {"Suspended": "JobSuspended"}
        assert (counts(resting), resting.status.startTime) == ((0, 0, 0, 0, 0), None)
        assert await w.all(core_v1.Pod) == ()
        resumed = w.clock.now()
        await w.patch(Job, "work", {"spec": {"suspend": False}})
        await there(w, 2)
        await w.clock.sleep(1)
        going = await w.get(Job, "work")
        assert going.status.startTime is not None
        assert parse_time(going.status.startTime) >= int(resumed)
        assert [(c.type, c.status, c.reason) for c in going.status.conditions] == [("Suspended", "False", "JobResumed")]
        await over(w)
        told = await w.events("work")
        assert {"Suspended: Job suspended", "Resumed: Job resumed", "Completed: Job completed"} <= set(told)


@simulated
async def test_a_job_made_suspended_does_not_start():
    async with world() as w:
        await job(w, suspend=True, activeDeadlineSeconds=5)
        await w.clock.sleep(60)
        resting = await w.get(Job, "work")
        assert (conditions(resting), resting.status.startTime) == ({"Suspended": "JobSuspended"}, None)
        assert await w.all(core_v1.Pod) == ()


@simulated
async def test_a_pod_that_is_being_deleted_is_replaced_at_once_or_when_it_has_ended():
    for policy, meanwhile in (("TerminatingOrFailed", 1), ("Failed", 0)):
        async with world() as w:
            await job(w, says={"stop-seconds": "25"}, podReplacementPolicy=policy)
            (pod,) = await there(w, 1)
            await w.clock.sleep(3)
            await w.delete(core_v1.Pod, pod.metadata.name)
            await w.clock.sleep(15)
            status = (await w.get(Job, "work")).status
            assert (status.active, status.terminating) == (meanwhile, 1)
            await w.clock.sleep(30)
            status = (await w.get(Job, "work")).status
            assert (status.active, status.terminating, status.failed) == (1, 0, 1)


@simulated
async def test_what_a_pod_is_made_for_is_counted_by_the_policy_of_replacement():
    for policy, meanwhile, reason in (
        ("TerminatingOrFailed", (2, 0, 2, 0, 2), "recreate_terminating_or_failed"),
        ("Failed", (0, 0, 0, 0, 2), "recreate_failed"),
    ):
        async with world(nodes=0, only=("serviceaccount", "job")) as w:
            held = template({})
            held["metadata"]["finalizers"] = ["example.com/hold"]
            await job(w, template=held, completions=2, parallelism=2, podReplacementPolicy=policy)
            first = await there(w, 2)
            for pod in first:
                await w.delete(core_v1.Pod, pod.metadata.name)
            await w.clock.sleep(25)
            assert counts(await w.get(Job, "work")) == meanwhile
            for pod in first:
                await end(w, pod, 1)
            await w.clock.sleep(40)
            assert counts(await w.get(Job, "work")) == (2, 0, 2, 0, 0)
            made = read(w.manager.metrics())["job_controller_job_pods_creation_total"].series
            found = {dict(labels)["reason"]: number for (_, labels), number in made.items()}
            assert found == {"new": 2, reason: 2}


@simulated
async def test_a_rule_for_conditions_means_those_that_are_true_where_it_does_not_say():
    async with world(nodes=0) as w:
        rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
        await job(w, backoffLimit=0, podFailurePolicy={"rules": rules})
        (pod,) = await there(w, 1)
        await end(w, pod, 1, "DisruptionTarget")
        await w.clock.sleep(15)
        assert counts(await w.get(Job, "work")) == (1, 0, 0, 0, 0)


@simulated
async def test_exit_codes_may_be_negative():
    async with world(nodes=0) as w:
        rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [-1073741510, 137]}}]
        await job(w, podFailurePolicy={"rules": rules})
        (pod,) = await there(w, 1)
        await end(w, pod, -1073741510)
        assert conditions(await over(w, "Failed"))["Failed"] == "PodFailurePolicy"


@simulated
async def test_a_pod_that_is_deleted_before_it_has_a_node_has_failed():
    async with world(nodes=0) as w:
        await job(w, podReplacementPolicy="Failed")
        (pod,) = await there(w, 1)
        await w.delete(core_v1.Pod, pod.metadata.name)
        await w.clock.sleep(15)
        (new,) = await running(w)
        assert new.metadata.uid != pod.metadata.uid
        assert counts(await w.get(Job, "work")) == (1, 0, 1, 0, 0)


@simulated
async def test_a_job_that_needs_no_more_while_it_is_suspended_completes():
    async with world(nodes=0) as w:
        await job(w, completions=2, parallelism=2, completionMode="Indexed")
        first, _ = await there(w, 2)
        await end(w, first)
        await w.clock.sleep(1)
        await w.patch(Job, "work", {"spec": {"suspend": True}})
        await w.clock.sleep(20)
        assert (await w.get(Job, "work")).status.startTime is None
        await w.patch(Job, "work", {"spec": {"completions": 1, "parallelism": 1}})
        done = await over(w)
        assert (done.status.succeeded, done.status.startTime is not None) == (1, True)


@simulated
async def test_a_job_that_another_manages_is_left_alone():
    async with world() as w:
        await job(w, managedBy="example.com/other")
        await job(w, "ours", managedBy="kubernetes.io/job-controller")
        await over(w, name="ours")
        assert (await w.get(Job, "work")).status == batch_v1.JobStatus()
        assert {p.metadata.labels["batch.kubernetes.io/job-name"] for p in await w.all(core_v1.Pod)} == {"ours"}


@simulated
async def test_pods_of_a_job_that_another_manages_keep_their_finalizer_until_it_is_gone():
    async with world() as w:
        made = await job(w, managedBy="example.com/other")
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "work", "uid": made.metadata.uid, "controller": True}
        spec = {"containers": [{"name": "c", "image": "one"}], "restartPolicy": "Never"}
        await w.create(core_v1.Pod, "pod", metadata={"finalizers": [TRACKING], "ownerReferences": [owner]}, spec=spec)
        await end(w, await w.get(core_v1.Pod, "pod"))
        met = {"type": "SuccessCriteriaMet", "status": "True"}
        done = {"startTime": stamp(w), "completionTime": stamp(w), "conditions": [met, met | {"type": "Complete"}]}
        await w.client.of(Job).patch_raw(key_of(made), {"status": done}, subresource="status")
        await w.clock.sleep(5)
        assert (await w.get(core_v1.Pod, "pod")).metadata.finalizers == (TRACKING,)
        await w.delete(Job, "work", propagation="Orphan")
        await w.clock.sleep(5)
        assert (await w.get(core_v1.Pod, "pod")).metadata.finalizers == ()


@simulated
async def test_a_job_that_another_manages_is_left_alone_though_one_of_its_name_was_to_be_looked_at():
    async with world(nodes=0) as w:
        await job(w, completions=1)
        (pod,) = await there(w, 1)
        await end(w, pod)
        await w.delete(Job, "work", propagation="Background")
        await job(w, managedBy="example.com/other")
        await w.clock.sleep(10)
        assert (await w.get(Job, "work")).status == batch_v1.JobStatus()


# --- whose Pods they are


@simulated
async def test_orphans_that_match_are_adopted_and_pods_that_do_not_are_released():
    async with world() as w:
        await job(w, says={"run-seconds": "1000"}, parallelism=2, completions=2)
        first, second = await there(w, 2)
        await w.patch(core_v1.Pod, first.metadata.name, {"metadata": {"ownerReferences": None}})
        await w.clock.sleep(2)
        adopted = await w.get(core_v1.Pod, first.metadata.name)
        assert (adopted.metadata.ownerReferences[0].name, adopted.metadata.finalizers) == ("work", (TRACKING,))
        labels = dict.fromkeys(second.metadata.labels)
        await w.patch(core_v1.Pod, second.metadata.name, {"metadata": {"labels": labels}})
        await w.clock.sleep(2)
        released = await w.get(core_v1.Pod, second.metadata.name)
        assert (released.metadata.ownerReferences, released.metadata.finalizers) == ((), ())
        assert len([p for p in await w.pods() if p.metadata.ownerReferences]) == 2
        assert counts(await w.get(Job, "work")) == (2, 0, 0, 2, 0)


@simulated
async def test_a_job_that_is_deleted_takes_its_pods_along():
    for propagation in ("Foreground", "Background"):
        async with world() as w:
            await job(w, says={"run-seconds": "1000"}, parallelism=2, completions=4)
            await there(w, 2)
            await w.delete(Job, "work", propagation=propagation)

            async def gone(w: World = w) -> bool:
                return not await w.there(Job, "work") and await w.all(core_v1.Pod) == ()

            await w.until(gone)


@simulated
async def test_pods_that_their_job_leaves_behind_lose_their_finalizer():
    async with world() as w:
        await job(w, says={"run-seconds": "1000"}, parallelism=2, completions=4)
        await there(w, 2)
        await w.delete(Job, "work", propagation="Orphan")
        await w.clock.sleep(5)
        assert not await w.there(Job, "work")
        pods = await w.all(core_v1.Pod)
        assert [(p.metadata.finalizers, p.metadata.ownerReferences) for p in pods] == [((), ())] * 2


@simulated
async def test_a_pod_that_lost_its_finalizer_while_it_runs_is_counted_all_the_same():
    async with world(nodes=0) as w:
        await job(w, completions=1)
        (pod,) = await there(w, 1)
        await w.patch(core_v1.Pod, pod.metadata.name, {"metadata": {"finalizers": None}})
        await w.clock.sleep(1)
        await end(w, pod)
        assert counts(await over(w)) == (0, 1, 0, 0, 0)


# --- what goes wrong


@simulated
async def test_a_refusal_of_pods_is_told_and_tried_again():
    async with world() as w:

        def refuse(request: Request) -> ApiError | None:
            return Forbidden("no more") if request.method == "POST" and request.target.endswith("/pods") else None

        w.wire.refuse = refuse
        await job(w)
        await w.clock.sleep(10)
        assert "FailedCreate: Error creating: no more" in await w.events("work")
        assert (await w.get(Job, "work")).status.active == 0
        w.wire.refuse = lambda request: None
        await over(w, seconds=200)
        loop = w.manager.loops["job-controller"]
        loop.counters.errors = loop.counters.races  # the refusals were the point


@simulated
async def test_hundreds_of_pods_are_counted_once_each():
    async with world(nodes=4) as w:
        await job(w, says={"run-seconds": "5"}, completions=300, parallelism=150)
        done = await over(w, seconds=300)
        assert counts(done) == (0, 300, 0, 0, 0)
        pods = await w.all(core_v1.Pod)
        assert len(pods) == 300
        assert not any(p.metadata.finalizers for p in pods)


@simulated
async def test_nothing_is_written_while_nothing_changes():
    async with world() as w:
        await job(w, says={"run-seconds": "10000"}, parallelism=2, completions=2)
        await job(w, "done")
        await job(w, "rests", suspend=True)
        await over(w, name="done")
        await w.clock.sleep(5)
        w.wire.writes.clear()
        await w.clock.sleep(600)
        assert [line for line in w.wire.writes if "jobs" in line or "pods" in line] == []


async def life(w: World, name: str, last: int, **spec: Any) -> tuple[batch_v1.Job, int, int]:
    """One Job whose first Pod fails, and whose controller is another one after so many writes.

    Returns it with how many writes and Pods were made.
    """
    wires = [Mortal(w, last)]
    await job(w, name, **spec)
    task, ended = controllers(w, "job-controller", wires[0]), 0
    for _ in range(300):
        await w.clock.sleep(0.5)
        if wires[-1].dead.is_set():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            wires.append(Mortal(w, 0))
            task = controllers(w, "job-controller", wires[-1])
        for pod in await running(w):
            if pod.metadata.ownerReferences[0].name == name:
                await end(w, pod, 0 if ended else 1)
                ended += 1
        if books.finished(await w.get(Job, name)):
            break
    await w.clock.sleep(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return await w.get(Job, name), sum(wire.writes for wire in wires), sum(wire.pods for wire in wires)


@pytest.mark.parametrize("how", ["plain", "indexed", "by index", "failing"])
def test_a_controller_that_ends_between_any_two_writes_has_counted_every_pod_once(how: str):
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]
    spec: dict[str, dict[str, Any]] = {
        "plain": {},
        "indexed": {"completionMode": "Indexed"},
        "by index": {"completionMode": "Indexed", "backoffLimitPerIndex": 1},
        "failing": {"podFailurePolicy": {"rules": rules}},
    }

    async def main() -> None:
        async with world(nodes=0, only=("*", "-job-controller")) as w:
            last, writes = 0, 1
            while last <= writes:
                done, made, pods_made = await life(w, f"work-{last}", last, completions=3, parallelism=2, **spec[how])
                writes = made if not last else writes
                pods = [p for p in await w.all(core_v1.Pod) if p.metadata.ownerReferences[0].name == f"work-{last}"]
                assert not any(p.metadata.finalizers for p in pods)
                if how == "failing":
                    assert done.status.failed + done.status.succeeded == pods_made
                    assert conditions(done)["Failed"] == "PodFailurePolicy"
                else:
                    assert (len(pods), pods_made, counts(done)) == (4, 4, (0, 3, 1, 0, 0)), last
                    assert done.status.completedIndexes == ("" if how == "plain" else "0-2")
                last += 1
            assert last > 10

    run_simulated(main())


class Late:
    """The transport of a controller whose watches of a resource are seconds late."""

    def __init__(self, w: World, resource: str) -> None:
        self._send, self._clock = w.as_user(MANAGER).transport, w.clock
        self._resource = resource

    async def __call__(self, request: Request) -> Response:
        response = await self._send(request)
        if f"/{self._resource}?" in request.target and "watch=true" in request.target:
            assert not isinstance(response.body, bytes)
            response.body = self._slow(response.body)
        return response

    async def _slow(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in body:
            await self._clock.sleep(2)
            yield chunk


@pytest.mark.parametrize("resource", ["jobs", "pods"])
@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
def test_a_late_cache_makes_no_pod_too_many_and_counts_none_twice(resource: str, mode: str):
    async def main() -> None:
        async with world(nodes=0, only=("*", "-job-controller")) as w:
            task = controllers(w, "job-controller", Late(w, resource))
            await job(w, completions=4, parallelism=2, completionMode=mode)
            ended: set[str] = set()
            for _ in range(200):
                await w.clock.sleep(0.5)
                for pod in await running(w):
                    await end(w, pod, 0 if ended else 1)
                    ended.add(pod.metadata.uid)
            done = await over(w)
            assert (len(ended), counts(done)) == (5, (0, 4, 1, 0, 0))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_simulated(main())
