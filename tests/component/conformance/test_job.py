"""Jobs: the parts of upstream's test/e2e/apps/job.go that need no Pods."""

import pytest

JOBS = "/apis/batch/v1/namespaces/default/jobs"
STRATEGIC = "application/strategic-merge-patch+json"


def job(name="work", **spec):
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}
    return {"metadata": {"name": name, "labels": {"test": "job"}}, "spec": {"template": {"spec": pod}, **spec}}


@pytest.mark.conformance("[sig-apps] Job should apply changes to a job status [Conformance]")
async def test_the_status_of_a_job_is_its_own(api):
    await api.ok("POST", JOBS, job(parallelism=2, completions=2))
    condition = {"type": "CustomConditionType", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [condition]}}
    patched = await api.ok("PATCH", f"{JOBS}/work/status", patch)
    assert patched["metadata"]["annotations"] == {"patchedstatus": "true"}
    assert [c["type"] for c in patched["status"]["conditions"]] == ["CustomConditionType"]
    patched["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-02T00:00:00Z"
    updated = await api.ok("PUT", f"{JOBS}/work/status", patched)
    assert updated["status"]["conditions"][0]["lastTransitionTime"] == "2026-01-02T00:00:00Z"
    assert await api.ok("GET", f"{JOBS}/work/status") == updated


@pytest.mark.conformance("[sig-apps] Job should manage the lifecycle of a job [Conformance]")
async def test_a_job_lives(api):
    seen = await api.watch(f"{JOBS}?watch=1&labelSelector=test%3Djob&resourceVersion=0")
    await api.ok("POST", JOBS, job(suspend=True, backoffLimit=6))
    assert (await seen.until("ADDED"))["spec"]["suspend"] is True
    change = {"metadata": {"labels": {"patched": "true"}}}
    await api.ok("PATCH", f"{JOBS}/work", change, content_type=STRATEGIC)
    assert (await seen.until("MODIFIED"))["metadata"]["labels"]["patched"] == "true"
    got = await api.ok("GET", f"{JOBS}/work")
    got["spec"]["suspend"] = False
    got["metadata"]["annotations"] = {"updated": "true"}
    await api.ok("PUT", f"{JOBS}/work", got)
    updated = await seen.until("MODIFIED")
    assert (updated["spec"]["suspend"], updated["metadata"]["annotations"]) == (False, {"updated": "true"})
    everywhere = await api.ok("GET", "/apis/batch/v1/jobs?labelSelector=test%3Djob")
    assert len(everywhere["items"]) == 1
    await api.ok("DELETE", f"{JOBS}?labelSelector=test%3Djob&propagationPolicy=Background")
    assert (await seen.until("DELETED"))["metadata"]["name"] == "work"
    assert (await api.ok("GET", f"{JOBS}?labelSelector=test%3Djob"))["items"] == []


async def test_jobs_leave_their_pods_alone_unless_told(api):
    await api.ok("POST", JOBS, job())
    response = await api.send("DELETE", f"{JOBS}/work")
    (warning,) = [text for name, text in response.headers if name.lower() == "warning"]
    assert "child pods are preserved by default when jobs are deleted" in warning
    left = await api.ok("GET", f"{JOBS}/work")
    assert left["metadata"]["finalizers"] == ["orphan"]
    response = await api.send("DELETE", f"{JOBS}/work?propagationPolicy=Orphan")
    assert not [text for name, text in response.headers if name.lower() == "warning"]
