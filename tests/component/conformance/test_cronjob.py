"""CronJobs: the part of upstream's test/e2e/apps/cronjob.go that needs no Jobs."""

import pytest

CRONJOBS = "/apis/batch/v1/namespaces/default/cronjobs"


def cronjob(name="tick"):
    pod = {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "busybox"}]}
    spec = {
        "schedule": "* */1 * * ?",
        "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": {"template": {"spec": pod}}},
    }
    return {"metadata": {"name": name}, "spec": spec}


@pytest.mark.conformance("[sig-apps] CronJob should support CronJob API operations [Conformance]")
async def test_cronjobs_have_every_verb_and_a_status(api):
    groups = await api.ok("GET", "/apis")
    (group,) = [group for group in groups["groups"] if group["name"] == "batch"]
    assert group["preferredVersion"]["groupVersion"] == "batch/v1"
    status = {"lastScheduleTime": "2026-01-01T00:00:00Z"}
    await api.cycle(CRONJOBS, cronjob(), status=status)
