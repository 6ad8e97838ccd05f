"""Job and CronJob: defaults, generated selectors, what may change, refusals, tables. Status has test_batch_status.py."""

import copy

import pytest

BATCH = "/apis/batch/v1/namespaces/default"
JOBS, CRONJOBS = f"{BATCH}/jobs", f"{BATCH}/cronjobs"
POD = {"containers": [{"name": "work", "image": "work"}], "restartPolicy": "Never"}


def job(name="work", labels=None, **spec):
    template = {"metadata": {"labels": labels} if labels else {}, "spec": copy.deepcopy(POD)}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def cronjob(name="tick", **spec):
    template = {"spec": {"template": {"spec": copy.deepcopy(POD)}}}
    return {"metadata": {"name": name}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": template, **spec}}


def indexed(**spec):
    return job(completionMode="Indexed", **{"completions": 3, **spec})


async def test_a_job_has_defaults(api):
    made = await api.made(JOBS, job())
    spec = made["spec"]
    wanted = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    assert {field: spec.get(field) for field in wanted} == wanted
    assert (made["metadata"]["generation"], made["status"]) == (1, {})
    assert "completions" not in (await api.made(JOBS, job("more", parallelism=2)))["spec"]
    by_index = await api.made(JOBS, indexed(backoffLimitPerIndex=1) | {"metadata": {"name": "by-index"}})
    assert by_index["spec"]["backoffLimit"] == 2147483647
    rules = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    policed = await api.made(JOBS, job("policed", podFailurePolicy=rules))
    assert policed["spec"]["podReplacementPolicy"] == "Failed"
    assert policed["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


async def test_a_job_finds_its_pods_by_its_uid(api):
    made = await api.made(JOBS, job(labels={"app": "x"}))
    uid = made["metadata"]["uid"]
    labels = {
        "app": "x",
        "controller-uid": uid,
        "job-name": "work",
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "work",
    }
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["spec"]["template"]["metadata"]["labels"] == labels
    assert made["metadata"]["labels"] == labels
    own = await api.made(JOBS, job("own") | {"metadata": {"name": "own", "labels": {"mine": "yes"}}})
    assert own["metadata"]["labels"] == {"mine": "yes"}


async def test_a_job_may_choose_its_own_selector(api):
    chosen = job(labels={"app": "x"}, manualSelector=True, selector={"matchLabels": {"app": "x"}})
    made = await api.made(JOBS, chosen)
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "x"}
    assert made["spec"]["selector"] == {"matchLabels": {"app": "x"}}
    assert await api.faults("POST", JOBS, job("other", labels={"app": "x"}, manualSelector=True)) == [
        "spec.selector: Required value",
        'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
    ]


async def test_labels_that_contradict_the_generated_ones_are_refused(api):
    found = await api.faults("POST", JOBS, job(labels={"job-name": "other"}, selector={"matchLabels": {"a": "b"}}))
    assert [fault.partition(":")[0] for fault in found] == [
        "spec.template.metadata.labels[job-name]",
        "spec.selector",
        "spec.template.metadata.labels",
    ]
    assert found[0].endswith("must be 'work'")
    assert found[1].endswith("`selector` not auto-generated")
    assert 'Invalid value: {"batch.kubernetes.io/controller-uid":' in found[2], "labels are shown in their order"


async def test_numbers_of_a_job_are_checked_together(api):
    fields = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    bad = job(**dict.fromkeys(fields, -1), maxFailedIndexes=2, managedBy="nobody")
    negative = "Invalid value: -1: must be greater than or equal to 0"
    found = await api.faults("POST", JOBS, bad)
    assert found[:6] == [
        *(f"spec.{field}: {negative}" for field in fields),
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
    ]
    assert 'spec.managedBy: Invalid value: "nobody": must be a domain-prefixed path (such as "acme.io/foo")' in found
    assert "spec.maxFailedIndexes: Invalid value: 2: requires indexed completion mode" in found


@pytest.mark.parametrize(
    ("restart", "fault"),
    [
        (None, 'Required value: valid values: "OnFailure", "Never"'),
        ("Always", 'Required value: valid values: "OnFailure", "Never"'),
        ("OnFailure", 'Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified'),
    ],
)
async def test_pods_of_jobs_end(api, restart, fault):
    rules = {"rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}}]}
    bad = job(podFailurePolicy=rules)
    bad["spec"]["template"]["spec"]["restartPolicy"] = restart
    assert await api.faults("POST", JOBS, bad) == [f"spec.template.spec.restartPolicy: {fault}"]


async def test_indexed_jobs_have_limits(api):
    bad = indexed(completions=None, parallelism=100_001, maxFailedIndexes=100_001, backoffLimitPerIndex=1)
    assert await api.faults("POST", JOBS, bad) == [
        "spec.completions: Required value: when completion mode is Indexed",
        "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000",
    ]
    above = "when completions are above 100000 and used with backoff limit per index"
    many = indexed(completions=100_001, parallelism=10_001, maxFailedIndexes=10_001, backoffLimitPerIndex=1)
    assert await api.faults("POST", JOBS, many) == [
        f"spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 {above}",
        f"spec.maxFailedIndexes: Invalid value: 10001: must be less than or equal to 10000 {above}",
    ]
    assert await api.faults("POST", JOBS, indexed(completions=100_001, backoffLimitPerIndex=1)) == [
        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"
    ]
    assert await api.faults("POST", JOBS, indexed(maxFailedIndexes=4, backoffLimitPerIndex=1)) == [
        "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions"
    ]
    name = "a" * 62
    found = await api.faults("POST", JOBS, indexed() | {"metadata": {"name": name}})
    assert found == [
        f'metadata.name: Invalid value: "{name}": will not able to create pod with invalid DNS label: {name}-2'
    ]


async def test_a_failure_policy_is_checked_rule_by_rule(api):
    codes = {"containerName": "nobody", "operator": "In", "values": [3, 0, 3]}
    rules = [
        {"action": "Explode", "onExitCodes": codes},
        {"action": "FailIndex", "onExitCodes": {"operator": "Near", "values": []}, "onPodConditions": [{"type": "-"}]},
        {},
    ]
    found = await api.faults("POST", JOBS, job(podFailurePolicy={"rules": rules}, podReplacementPolicy="Sometimes"))
    path = "spec.podFailurePolicy.rules"
    assert [fault for fault in found if "onPodConditions[0].type" not in fault] == [
        f'{path}[0].action: Unsupported value: "Explode": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
        f'{path}[0].onExitCodes.containerName: Invalid value: "nobody": must be one of the container or initContainer '
        "names in the pod template",
        f"{path}[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
        f"{path}[0].onExitCodes.values[2]: Duplicate value: 3",
        f"{path}[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
        f'{path}[1].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
        f'{path}[1].onExitCodes.operator: Unsupported value: "Near": supported values: "In", "NotIn"',
        f"{path}[1].onExitCodes.values: Invalid value: []: at least one value is required",
        f"{path}[1]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
        f'{path}[2].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
        f"{path}[2]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        'spec.podReplacementPolicy: Unsupported value: "Sometimes": supported values: "Failed"',
    ]


async def test_a_success_policy_is_checked_rule_by_rule(api):
    rules = [
        {},
        {"succeededIndexes": "0-1-2"},
        {"succeededIndexes": "1,x"},
        {"succeededIndexes": "2,1"},
        {"succeededIndexes": "2-9"},
        {"succeededIndexes": "0-1", "succeededCount": 3},
        {"succeededCount": -1},
        {"succeededCount": 4},
    ]
    path = "spec.successPolicy.rules"
    parsing = "error parsing succeededIndexes:"
    assert await api.faults("POST", JOBS, indexed(successPolicy={"rules": rules})) == [
        f"{path}[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
        f'{path}[1].succeededIndexes: Invalid value: "0-1-2": {parsing} the fragment "0-1-2" violates the requirement '
        "that an index interval can have at most two parts separated by '-'",
        f'{path}[2].succeededIndexes: Invalid value: "1,x": {parsing} cannot convert string to integer for index: "x"',
        f'{path}[3].succeededIndexes: Invalid value: "2,1": {parsing} non-increasing order, previous: 2, current: 1',
        f'{path}[4].succeededIndexes: Invalid value: "2-9": {parsing} too large index: "9"',
        f"{path}[5].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the "
        "specified succeededIndexes field)",
        f"{path}[6].succeededCount: Invalid value: -1: must be greater than or equal to 0",
        f"{path}[7].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of specified "
        "completions)",
    ]
    assert await api.faults("POST", JOBS, indexed(successPolicy={"rules": []})) == [
        f"{path}: Required value: at least one rules must be specified when the successPolicy is specified"
    ]
    (fault,) = await api.faults("POST", JOBS, job(successPolicy={"rules": [{"succeededCount": 1}]}))
    assert fault == (
        'spec.successPolicy: Invalid value: {"Rules":[{"SucceededIndexes":null,"SucceededCount":1}]}: '
        "requires indexed completion mode"
    )


async def test_most_of_a_job_stays(api):
    made = await api.made(JOBS, job())
    changes = {"parallelism": 4, "backoffLimit": 2, "suspend": True, "ttlSecondsAfterFinished": 3}
    code, changed = await api("PATCH", f"{JOBS}/work", {"spec": changes})
    assert (code, changed["metadata"]["generation"]) == (200, 2), changed
    await api("PATCH", f"{JOBS}/work", {"spec": {"suspend": False}})
    for field, value in {"completions": 3, "completionMode": "Indexed", "managedBy": "example.com/x"}.items():
        found = await api.faults("PATCH", f"{JOBS}/work", {"spec": {field: value}})
        assert any(f.startswith(f"spec.{field}: ") and f.endswith(": field is immutable") for f in found), found
    pod = {"containers": [{"name": "work", "image": "other"}]}
    (fault,) = await api.faults("PATCH", f"{JOBS}/work", {"spec": {"template": {"spec": pod}}})
    assert fault.startswith("spec.template: Invalid value: ")
    assert fault.endswith(": field is immutable")
    assert made["metadata"]["generation"] == 1


async def test_completions_of_an_indexed_job_follow_its_parallelism(api):
    await api.made(JOBS, indexed(parallelism=3))
    assert (await api("PATCH", f"{JOBS}/work", {"spec": {"completions": 5, "parallelism": 5}}))[0] == 200
    assert await api.faults("PATCH", f"{JOBS}/work", {"spec": {"completions": 6}}) == [
        "spec.completions: Invalid value: 6: can only be modified in tandem with spec.parallelism"
    ]


async def test_a_suspended_job_may_be_sent_elsewhere(api):
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}
    ]}}}  # fmt: skip
    wanted = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "schedulingGates": [{"name": "example.com/wait"}],
        "affinity": affinity,
        "containers": [{"name": "work", "resources": {"requests": {"cpu": "2"}}}],
    }
    change = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}, "spec": wanted}}}
    await api.made(JOBS, job())
    (fault,) = await api.faults("PATCH", f"{JOBS}/work", change)
    assert fault.endswith(": field is immutable")
    await api("PATCH", f"{JOBS}/work", {"spec": {"suspend": True}})
    code, changed = await api("PATCH", f"{JOBS}/work", change)
    assert (code, changed["spec"]["template"]["spec"]["nodeSelector"]) == (200, {"disk": "ssd"}), changed
    gone = {"spec": {"template": {"spec": {"affinity": None, "nodeSelector": None}}}}
    assert (await api("PATCH", f"{JOBS}/work", gone))[0] == 200
    image = {"spec": {"template": {"spec": {"containers": [{"name": "work", "image": "other"}]}}}}
    assert len(await api.faults("PATCH", f"{JOBS}/work", image)) == 1
    await api("PATCH", f"{JOBS}/work/status", {"status": {"startTime": "2026-01-01T00:00:00Z"}})
    assert len(await api.faults("PATCH", f"{JOBS}/work", change)) == 1
    suspended = {"conditions": [{"type": "Suspended", "status": "True"}]}
    assert (await api("PATCH", f"{JOBS}/work/status", {"status": suspended}))[0] == 200
    assert (await api("PATCH", f"{JOBS}/work", change))[0] == 200


async def test_a_cronjob_has_defaults(api):
    made = await api.made(CRONJOBS, cronjob())
    spec = made["spec"]
    assert (spec["concurrencyPolicy"], spec["suspend"]) == ("Allow", False)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)
    assert "backoffLimit" not in spec["jobTemplate"]["spec"]
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    _, changed = await api("PATCH", f"{CRONJOBS}/tick", {"spec": {"suspend": True}})
    assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)


async def test_a_cronjob_is_checked_as_a_whole(api):
    bad = cronjob(
        "a" * 53,
        schedule="TZ=UTC 61 * * * *",
        startingDeadlineSeconds=-1,
        timeZone="Mars/Olympus",
        concurrencyPolicy="Often",
        successfulJobsHistoryLimit=-1,
        failedJobsHistoryLimit=-1,
    )
    bad["spec"]["jobTemplate"]["spec"] |= {"selector": {"matchLabels": {"a": "b"}}, "manualSelector": True}
    negative = "Invalid value: -1: must be greater than or equal to 0"
    shown = '"TZ=UTC 61 * * * *"'
    assert await api.faults("POST", CRONJOBS, bad) == [
        f"spec.schedule: Invalid value: {shown}: end of range (61) above maximum (59): 61",
        f"spec.schedule: Invalid value: {shown}: cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        f"spec.startingDeadlineSeconds: {negative}",
        'spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus',
        'spec.concurrencyPolicy: Unsupported value: "Often": supported values: "Allow", "Forbid", "Replace"',
        'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated',
        'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
        f"spec.successfulJobsHistoryLimit: {negative}",
        f"spec.failedJobsHistoryLimit: {negative}",
        f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters',
    ]


@pytest.mark.parametrize(
    ("zone", "fault"),
    [
        ("", "timeZone must be nil or non-empty string"),
        ("../etc/passwd", "unknown time zone ../etc/passwd"),
        ("Local", "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"),
    ],
)
async def test_a_time_zone_is_one_of_the_database(api, zone, fault):
    assert await api.faults("POST", CRONJOBS, cronjob(timeZone=zone)) == [
        f'spec.timeZone: Invalid value: "{zone}": {fault}'
    ]


async def test_a_cronjob_needs_a_schedule(api):
    assert await api.faults("POST", CRONJOBS, cronjob(schedule="")) == ["spec.schedule: Required value"]


async def test_the_table_of_jobs_is_kubectls(api):
    await api.made(JOBS, job(completions=3))
    started = {"startTime": "2026-01-01T00:00:00Z", "succeeded": 1, "active": 1}
    await api("PATCH", f"{JOBS}/work/status", {"status": started})
    (row,) = await api.table(JOBS)
    names = ["Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"]
    assert list(row) == names
    assert (row["Status"], row["Completions"], row["Containers"]) == ("Running", "1/3", "work")
    conditions = [{"type": kind, "status": "True"} for kind in ("SuccessCriteriaMet", "Complete")]
    ended = {"completionTime": "2026-01-01T00:03:10Z", "conditions": conditions, "succeeded": 3, "active": 0}
    assert (await api("PATCH", f"{JOBS}/work/status", {"status": ended}))[0] == 200
    (row,) = await api.table(JOBS)
    assert (row["Status"], row["Completions"], row["Duration"]) == ("Complete", "3/3", "3m10s")
    _, found = await api("GET", f"{JOBS}?fieldSelector=status.successful%3D3")
    assert len(found["items"]) == 1


async def test_the_table_of_cronjobs_is_kubectls(api):
    await api.made(CRONJOBS, cronjob())
    (row,) = await api.table(CRONJOBS)
    assert list(row)[:7] == ["Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"]
    assert list(row)[7:] == ["Containers", "Images", "Selector"]
    assert list(row.values())[1:6] == ["*/5 * * * *", "<none>", "False", 0, "<none>"]
    assert (row["Containers"], row["Images"], row["Selector"]) == ("work", "work", "<none>")
