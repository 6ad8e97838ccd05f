"""The status of a Job: what may be said, and what may become of it."""

import copy

import pytest

JOBS = "/apis/batch/v1/namespaces/default/jobs"
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"


def job(**spec):
    pod = {"containers": [{"name": "work", "image": "work"}], "restartPolicy": "Never"}
    return {"metadata": {"name": "work"}, "spec": {"template": {"spec": pod}, **spec}}


def true(*kinds):
    return [{"type": kind, "status": "True"} for kind in kinds]


DONE = {"startTime": EARLY, "completionTime": LATE, "conditions": true("SuccessCriteriaMet", "Complete")}
DEAD = {"startTime": EARLY, "conditions": true("FailureTarget", "Failed")}


async def written(api, status):
    """PUTs the status, so that nothing is merged."""
    _, obj = await api("GET", f"{JOBS}/work")
    return await api("PUT", f"{JOBS}/work/status", {**obj, "status": copy.deepcopy(status)})


async def faults(api, status):
    code, answer = await written(api, status)
    assert code == 422, answer
    return [f"{cause['field']}: {cause['message']}" for cause in answer["details"]["causes"]]


async def test_numbers_and_pods_must_make_sense(api):
    await api.made(JOBS, job())
    bad = {field: -1 for field in ("active", "succeeded", "failed", "ready", "terminating")}
    bad["uncountedTerminatedPods"] = {"succeeded": ["a", ""], "failed": ["a"]}
    assert await faults(api, bad) == [
        *(
            f"status.{field}: Invalid value: -1: must be greater than or equal to 0"
            for field in ("active", "succeeded", "failed", "ready", "terminating")
        ),
        'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
        'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
        "status.failed: Invalid value: -1: cannot decrease the failed counter",
        "status.succeeded: Invalid value: -1: cannot decrease the succeeded counter",
    ]


@pytest.mark.parametrize("status", [DONE, DEAD])
async def test_a_job_that_ends_as_it_should_is_believed(api, status):
    await api.made(JOBS, job())
    assert (await written(api, status))[0] == 200


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (
            {"startTime": EARLY, "conditions": true("Complete")},
            [
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.conditions: Invalid value: cannot set Complete=True condition without the "
                "SuccessCriteriaMet=true condition",
            ],
        ),
        (
            {"startTime": EARLY, "conditions": true("Failed")},
            [
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true "
                "condition"
            ],
        ),
        (
            {"startTime": LATE, "completionTime": EARLY},
            [
                f'status.completionTime: Invalid value: "{EARLY}": cannot set completionTime when there is no '
                "Complete=True condition",
                f'status.completionTime: Invalid value: "{EARLY}": must be equal to or after `startTime`',
            ],
        ),
        (
            {**DONE, "conditions": true("SuccessCriteriaMet", "Complete", "FailureTarget", "Failed")},
            [
                "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
                "status.conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions",
                "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
                "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
            ],
        ),
        (
            {
                **{key: value for key, value in DEAD.items() if key != "startTime"},
                **{"active": 2, "terminating": 1, "uncountedTerminatedPods": {"failed": ["a"]}},
            },
            [
                "status.active: Invalid value: 2: active>0 is invalid for finished job",
                "status.startTime: Required value: startTime is required for finished job",
                'status.uncountedTerminatedPods: Invalid value: {"Succeeded":null,"Failed":["a"]}: '
                "must be empty for finished job",
                "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
            ],
        ),
        ({"active": 1, "ready": 2}, ["status.ready: Invalid value: 2: cannot set more ready pods than active"]),
        (
            {"completedIndexes": "0", "failedIndexes": "1"},
            [
                'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed '
                "completion mode",
                'status.failedIndexes: Invalid value: "1": cannot set non-null failedIndexes when backoffLimitPerIndex '
                "is null",
            ],
        ),
    ],
)
async def test_a_state_that_cannot_be_is_refused(api, status, wanted):
    await api.made(JOBS, job(completions=2))
    assert await faults(api, status) == wanted


async def test_indexes_must_be_readable_and_apart(api):
    await api.made(JOBS, job(completionMode="Indexed", completions=5, backoffLimitPerIndex=1))
    assert await faults(api, {"completedIndexes": "0-9", "failedIndexes": "x,0"}) == [
        'status.completedIndexes: Invalid value: "0-9": error parsing completedIndexes: too large index: "9"',
        'status.failedIndexes: Invalid value: "x,0": error parsing failedIndexes: cannot convert string to integer '
        'for index: "x"',
    ]
    assert await faults(api, {"completedIndexes": "0,2-3", "failedIndexes": "1,3-4"}) == [
        'status.failedIndexes: Invalid value: "1,3-4": failedIndexes and completedIndexes overlap at index: 3'
    ]


async def test_an_end_is_an_end(api):
    await api.made(JOBS, job())
    assert (await written(api, {**DONE, "succeeded": 1}))[0] == 200
    assert await faults(api, {"succeeded": 0}) == [
        "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
        "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
        "status.startTime: Required value: startTime cannot be removed for unsuspended job",
        "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
    ]
    assert await faults(api, {**DONE, "succeeded": 1, "completionTime": "2026-01-01T02:00:00Z"}) == [
        'status.completionTime: Invalid value: "2026-01-01T02:00:00Z": field is immutable'
    ]


async def test_a_success_policy_is_met_before_the_job_is_complete(api):
    rules = {"rules": [{"succeededCount": 1}]}
    await api.made(JOBS, job(completionMode="Indexed", completions=2, successPolicy=rules))
    found = await faults(api, {**DONE, "conditions": true("Complete")})
    assert found[-1] == (
        "status.conditions: Invalid value: cannot set Complete=True for Job with SuccessPolicy unless "
        "SuccessCriteriaMet=True"
    )


async def test_a_suspended_job_without_work_may_end_without_a_start(api):
    await api.made(JOBS, job(completions=0, suspend=True))
    assert (await written(api, {key: value for key, value in DONE.items() if key != "startTime"}))[0] == 200


async def test_a_resumed_job_starts_again(api):
    await api.made(JOBS, job())
    suspended = [{"type": "Suspended", "status": "True"}]
    assert (await written(api, {"startTime": EARLY, "conditions": suspended}))[0] == 200
    resumed = [{"type": "Suspended", "status": "False"}]
    assert (await written(api, {"startTime": LATE, "conditions": resumed}))[0] == 200
    assert (await written(api, {"startTime": EARLY, "conditions": resumed}))[0] == 422


async def test_an_elastic_job_may_count_down(api):
    await api.made(JOBS, job(completionMode="Indexed", completions=2, parallelism=2))
    assert (await written(api, {"succeeded": 2}))[0] == 200
    assert (await written(api, {"succeeded": 1}))[0] == 200
