"""What is said of workloads that are odd, but well: Warning headers."""

import copy

import pytest

APPS, BATCH = "/apis/apps/v1/namespaces/default", "/apis/batch/v1/namespaces/default"
POD = {"containers": [{"name": "c", "image": "c"}], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
JOB = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
NAME = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior"


@pytest.mark.parametrize(
    ("path", "spec", "at", "named"),
    [
        (f"{APPS}/deployments", SELECTED, "spec.template", True),
        (f"{APPS}/replicasets", SELECTED, "spec.template", True),
        (f"{APPS}/statefulsets", SELECTED, "spec.template", False),
        (f"{APPS}/daemonsets", SELECTED, "spec.template", False),
        (f"{BATCH}/jobs", JOB, "spec.template", True),
        (
            f"{BATCH}/cronjobs",
            {"schedule": "@daily", "jobTemplate": {"spec": JOB}},
            "spec.jobTemplate.spec.template",
            True,
        ),
    ],
)
async def test_templates_and_names_are_warned_of_once(api, path, spec, at, named):
    name = "a.b" if named else "ab"
    said = await api.warnings("POST", path, {"metadata": {"name": name}, "spec": copy.deepcopy(spec)})
    assert len([text for text in said if NAME in text]) == named
    assert len([text for text in said if f"{at}.spec.nodeSelector[beta.kubernetes.io/os]" in text]) == 1
    made = await api.ok("GET", f"{path}/{name}")
    made["metadata"]["labels"] = {"x": "y"}
    assert await api.warnings("PUT", f"{path}/{name}", made) == []


async def test_sets_that_keep_every_revision_are_warned_of(api):
    body = {"metadata": {"name": "s"}, "spec": {**copy.deepcopy(SELECTED), "revisionHistoryLimit": -1}}
    body["spec"]["template"]["spec"].pop("nodeSelector")
    (text,) = await api.warnings("POST", f"{APPS}/statefulsets", body)
    assert "a negative value retains all historical revisions" in text


async def test_jobs_with_too_many_indexes_to_follow_are_warned_of(api):
    spec = {**copy.deepcopy(JOB), "completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001}
    spec["template"]["spec"].pop("nodeSelector")
    said = await api.warnings("POST", f"{BATCH}/jobs", {"metadata": {"name": "j"}, "spec": spec})
    assert len(said) == 1
    assert "spec: In Indexed Jobs with a number of completions higher than 10^5" in said[0]
