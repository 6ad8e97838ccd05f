"""What is counted of a Job's Pods, which are made and removed, and when: the pure parts of its controller."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import batch_v1, core_v1, meta_v1
from pybernetes.controllers._job_backoff import Backoff, after, delay, wait
from pybernetes.controllers._job_books import (
    AT_ONCE,
    COMPLETION_INDEX,
    FAILURES,
    TRACKING,
    enter,
    finish,
    settle,
    tally,
)
from pybernetes.controllers._job_pods import new_pod, plan
from pybernetes.controllers._job_policies import MET, match, success_rule, verdict
from pybernetes.rules import indexes

NOW = 1_000_000.0
MET_NOW = batch_v1.JobCondition(type=MET, status="True")


def job(status: batch_v1.JobStatus | None = None, **spec: Any) -> batch_v1.Job:
    return batch_v1.Job(
        metadata=meta_v1.ObjectMeta(name="work", namespace="default", uid="j"),
        spec=batch_v1.JobSpec(**{"parallelism": 1, "backoffLimit": 6} | spec),
        status=status or batch_v1.JobStatus(),
    )


def pod(
    uid: str,
    phase: str = "Running",
    *,
    index: int | None = None,
    tracked: bool = True,
    ended: float = NOW,
    code: int = 1,
    **annotations: str,
) -> core_v1.Pod:
    notes = dict(annotations) | ({COMPLETION_INDEX: str(index)} if index is not None else {})
    finished = core_v1.ContainerStateTerminated(exitCode=code, finishedAt=rfc3339(ended))
    state = (
        core_v1.ContainerState(terminated=finished) if phase in ("Succeeded", "Failed") else core_v1.ContainerState()
    )
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=uid, namespace="default", uid=uid, annotations=notes, finalizers=(TRACKING,) if tracked else ()
        ),
        status=core_v1.PodStatus(phase=phase, containerStatuses=(core_v1.ContainerStatus(name="c", state=state),)),
    )


QUICK = settings(max_examples=60)
PHASES = st.lists(st.sampled_from(["Running", "Succeeded", "Failed"]), max_size=12)


@QUICK
@given(PHASES, st.integers(0, 5), st.booleans())
def test_every_pod_that_has_ended_is_counted_once_however_often_the_work_is_broken_off(
    phases: list[str], breaks: int, indexed: bool
):
    pods = [pod(f"p{n}", phase, index=n if indexed else None) for n, phase in enumerate(phases)]
    current = job(completions=20, completionMode="Indexed" if indexed else "NonIndexed")
    for left in range(breaks, -1, -1):
        entry = enter(tally(current, pods), current.status, None)
        current = replace(current, status=entry.status)
        gone = {p.metadata.uid for p in entry.release[:: 2 if left else 1]}
        pods = [pod(p.metadata.uid, p.status.phase, index=i if indexed else None, tracked=not _untracked(p, gone))
                for i, p in enumerate(pods)]  # fmt: skip
        if not left:
            tracked = {p.metadata.uid for p in pods if p.metadata.finalizers}
            current = replace(current, status=settle(current.status, tracked))
    assert current.status.succeeded == phases.count("Succeeded")
    assert current.status.failed == phases.count("Failed")
    assert current.status.uncountedTerminatedPods == batch_v1.UncountedTerminatedPods()
    assert enter(tally(current, pods), current.status, None).status == current.status
    places = [n for n, phase in enumerate(phases) if phase == "Succeeded"]
    assert current.status.completedIndexes == (indexes.written(indexes.of(places)) if indexed else "")


def _untracked(found: core_v1.Pod, gone: set[str]) -> bool:
    return not found.metadata.finalizers or found.metadata.uid in gone


def test_a_pod_that_the_cache_still_shows_with_its_finalizer_is_not_counted_again():
    pods = [pod("a", "Failed"), pod("b", "Succeeded")]
    status = batch_v1.JobStatus(failed=1, succeeded=1)
    seen = tally(job(status, completions=3), pods, {"a", "b"})
    assert (seen.failed, seen.succeeded) == (1, 1)
    entry = enter(seen, status, None)
    assert (entry.release, entry.status.failed, entry.status.succeeded) == ([], 1, 1)


def test_of_very_many_pods_only_some_are_entered_at_once():
    pods = [pod(f"p{n}", "Failed") for n in range(AT_ONCE + 7)]
    entry = enter(tally(job(), pods), batch_v1.JobStatus(), None)
    assert (len(entry.release), entry.more) == (AT_ONCE, True)


def test_an_end_waits_for_pods_that_are_there_or_not_counted():
    waiting = batch_v1.UncountedTerminatedPods(failed=("a",))
    for busy in (
        batch_v1.JobStatus(active=1),
        batch_v1.JobStatus(terminating=1),
        batch_v1.JobStatus(uncountedTerminatedPods=waiting),
    ):
        assert finish(busy, MET_NOW, rfc3339(NOW)) is None
    done = finish(batch_v1.JobStatus(), MET_NOW, rfc3339(NOW))
    assert done is not None
    assert (done.completionTime, [c.type for c in done.conditions]) == (rfc3339(NOW), ["Complete"])


def test_when_success_is_certain_pods_that_are_stopped_are_no_failures():
    seen = tally(job(completions=2, completionMode="Indexed"), [pod("a", index=0), pod("b", "Failed", index=1)])
    assert enter(seen, batch_v1.JobStatus(), MET_NOW).status.uncountedTerminatedPods == (
        batch_v1.UncountedTerminatedPods(failed=("b",))
    )
    failing = replace(MET_NOW, type="FailureTarget")
    assert enter(seen, batch_v1.JobStatus(), failing).status.uncountedTerminatedPods == (
        batch_v1.UncountedTerminatedPods(failed=("a", "b"))
    )


@QUICK
@given(
    st.lists(st.tuples(st.sampled_from(["Running", "Succeeded", "Failed"]), st.integers(0, 8)), max_size=10),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_a_plan_fills_up_what_is_missing_and_no_index_twice(
    pods: list[tuple[str, int]], completions: int, parallelism: int
):
    found = [pod(f"p{n}", phase, index=index) for n, (phase, index) in enumerate(pods)]
    seen = tally(job(completions=completions, parallelism=parallelism, completionMode="Indexed"), found)
    todo = plan(seen, Backoff(), NOW)
    assert not (todo.remove and todo.create)
    active = [int(p.metadata.annotations[COMPLETION_INDEX]) for p in seen.active if p not in todo.remove]
    assert len(set(todo.create)) == len(todo.create)
    for index in todo.create:
        assert index is not None
        assert index < completions
        assert index not in active
        assert not indexes.holds(seen.done, index)
    assert len(active) + len(todo.create) <= max(0, min(parallelism, completions - seen.succeeded))
    if not todo.remove:
        assert len(active) + len(todo.create) == max(0, min(parallelism, completions - seen.succeeded))


def test_back_off_doubles_to_its_limit_and_a_success_ends_it():
    assert [delay(n) for n in (0, 1, 2, 3, 7, 40)] == [0, 10, 20, 40, 600, 600]
    twice = after(Backoff(), [], [pod("a", "Failed", ended=NOW), pod("b", "Failed", ended=NOW + 5)])
    assert (twice.failures, wait(twice, NOW + 6)) == (2, 19)
    assert after(twice, [pod("c", "Succeeded", ended=NOW + 7)], []) == Backoff()
    later = after(twice, [pod("c", "Succeeded", ended=NOW + 7)], [pod("d", "Failed", ended=NOW + 8)])
    assert later == Backoff(1, NOW + 8)


def test_the_failed_pod_of_an_index_stays_until_another_has_its_count():
    old = pod("a", "Failed", index=0, **{FAILURES: "1"})
    owner = job(completions=1, completionMode="Indexed", backoffLimitPerIndex=3)
    seen = tally(owner, [old])
    assert (seen.kept, enter(seen, owner.status, None).release) == ({0: old}, [])
    assert plan(seen, Backoff(), NOW + 15).wait == 5
    assert plan(seen, Backoff(), NOW + 21).create == [0]
    new = new_pod(owner, 0, old)
    assert new.metadata.annotations[FAILURES] == "2"
    assert enter(tally(owner, [old, pod("b", index=0)]), owner.status, None).release == [old]


def test_an_index_that_was_counted_as_failed_does_not_succeed_any_more():
    # Its Pod was to go, and so counted; then its node came back, and the Pod ended well. Both would be no valid status.
    told = batch_v1.JobStatus(failedIndexes="0", failed=1)
    owner = job(told, completions=2, completionMode="Indexed", backoffLimitPerIndex=0)
    well = pod("a", "Succeeded", index=0)
    seen = tally(owner, [well])
    assert (seen.succeeded, seen.done, seen.lost) == (0, (), ((0, 0),))
    entry = enter(seen, owner.status, None)
    assert entry.release == [well]
    assert (entry.status.completedIndexes, entry.status.failedIndexes) == ("", "0")


def test_a_long_name_leaves_room_for_the_index():
    owner = job(completions=12, completionMode="Indexed")
    long = replace(owner, metadata=replace(owner.metadata, name="n" * 63))
    assert new_pod(long, 11).metadata.generateName == "n" * 54 + "-11-"


def rule(action: str, operator: str, *values: int, container: str | None = None) -> batch_v1.PodFailurePolicyRule:
    codes = batch_v1.PodFailurePolicyOnExitCodesRequirement(containerName=container, operator=operator, values=values)
    return batch_v1.PodFailurePolicyRule(action=action, onExitCodes=codes)


def test_the_first_rule_that_fits_a_failure_decides():
    rules = (
        rule("Ignore", "In", 3),
        rule("FailJob", "In", 1, container="other"),
        rule("Count", "NotIn", 1, 2),
        rule("FailJob", "In", 2),
    )
    owner = job(podFailurePolicy=batch_v1.PodFailurePolicy(rules=rules))
    actions = {code: match(pod("a", "Failed", code=code), owner).action for code in (0, 1, 2, 3, 4)}
    assert actions == {0: "", 1: "", 2: "FailJob", 3: "Ignore", 4: "Count"}
    end = verdict(owner, [pod("a", "Failed", code=2)], 1, ((), ()), NOW)
    assert end is not None
    assert (end.type, end.reason) == ("FailureTarget", "PodFailurePolicy")
    assert end.message == "Container c for pod default/a failed with exit code 2 matching FailJob rule at index 3"


def test_a_success_policy_is_met_by_the_first_rule_that_is():
    rules = (
        batch_v1.SuccessPolicyRule(succeededIndexes="0,5-6"),
        batch_v1.SuccessPolicyRule(succeededIndexes="7-9", succeededCount=2),
        batch_v1.SuccessPolicyRule(succeededCount=4),
    )
    owner = job(completions=10, successPolicy=batch_v1.SuccessPolicy(rules=rules))
    met = {
        done: success_rule(owner, indexes.readable(done, 10)).removeprefix("Matched rules at index ")
        for done in ("", "0,5", "0,5-6", "7,9", "1-3", "1-4")
    }
    assert met == {"": "", "0,5": "", "0,5-6": "0", "7,9": "1", "1-3": "", "1-4": "2"}
