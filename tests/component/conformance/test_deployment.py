"""Deployments: the parts of upstream's test/e2e/apps/deployment.go that need no Pods."""

import pytest

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
STRATEGIC = "application/strategic-merge-patch+json"


def deployment(name="web", replicas=1):
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "httpd"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": {"test": "deployment"}}, "spec": spec}


@pytest.mark.conformance("[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]")
async def test_scale_is_read_written_and_patched(api):
    await api.ok("POST", DEPLOYMENTS, deployment())
    scale = await api.ok("GET", f"{DEPLOYMENTS}/web/scale")
    assert (scale["apiVersion"], scale["kind"], scale["spec"]["replicas"]) == ("autoscaling/v1", "Scale", 1)
    scale["metadata"]["resourceVersion"] = ""
    scale["spec"]["replicas"] = 2
    assert (await api.ok("PUT", f"{DEPLOYMENTS}/web/scale", scale))["spec"]["replicas"] == 2
    assert (await api.ok("GET", f"{DEPLOYMENTS}/web"))["spec"]["replicas"] == 2
    await api.ok("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 4}}, content_type=STRATEGIC)
    assert (await api.ok("GET", f"{DEPLOYMENTS}/web"))["spec"]["replicas"] == 4


@pytest.mark.conformance("[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]")
async def test_a_deployment_lives(api):
    seen = await api.watch(f"{DEPLOYMENTS}?watch=1&labelSelector=test%3Ddeployment&resourceVersion=0")
    made = await api.ok("POST", DEPLOYMENTS, deployment())
    assert (await seen.until("ADDED"))["spec"]["replicas"] == 1
    pod = {"TerminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "pause"}]}
    change = {"metadata": {"labels": {"patched": "yes"}}, "spec": {"replicas": 2, "template": {"spec": pod}}}
    await api.ok("PATCH", f"{DEPLOYMENTS}/web", change, content_type=STRATEGIC)
    patched = await seen.until("MODIFIED")
    assert patched["spec"]["template"]["spec"]["containers"][0]["image"] == "pause"
    assert patched["metadata"]["generation"] == 2
    everywhere = await api.ok("GET", "/apis/apps/v1/deployments?labelSelector=test%3Ddeployment")
    assert [item["metadata"]["name"] for item in everywhere["items"]] == ["web"]
    blank = deployment(replicas=2)
    blank["metadata"] |= {"creationTimestamp": None, "labels": {"test": "deployment", "step": "updated"}}
    updated = await api.ok("PUT", f"{DEPLOYMENTS}/web", {**blank, "status": {}})
    assert updated == await seen.until("MODIFIED")
    kept = ("uid", "creationTimestamp")
    assert [updated["metadata"][name] for name in kept] == [made["metadata"][name] for name in kept]
    assert updated["spec"]["template"]["spec"]["containers"][0]["image"] == "httpd"
    assert (updated["metadata"]["labels"]["step"], updated["metadata"]["generation"]) == ("updated", 3)
    status = {"readyReplicas": 2, "replicas": 2}
    await api.ok("PATCH", f"{DEPLOYMENTS}/web/status", {"status": status}, content_type=STRATEGIC)
    assert (await seen.until("MODIFIED"))["status"] == status
    shown = await api.ok("GET", f"{DEPLOYMENTS}/web/status")
    shown["status"]["readyReplicas"] = 1
    assert (await api.ok("PUT", f"{DEPLOYMENTS}/web/status", shown))["status"]["readyReplicas"] == 1
    options = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 0}
    await api.ok("DELETE", f"{DEPLOYMENTS}?labelSelector=test%3Ddeployment", options)
    assert (await seen.until("DELETED"))["metadata"]["name"] == "web"


@pytest.mark.conformance("[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]")
async def test_the_status_of_a_deployment_is_its_own(api):
    await api.ok("POST", DEPLOYMENTS, deployment())
    seen = await api.watch(f"{DEPLOYMENTS}?watch=1&resourceVersion=0")
    shown = await api.ok("GET", f"{DEPLOYMENTS}/web/status")
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    shown["status"].setdefault("conditions", []).append(condition)
    shown["spec"]["replicas"] = 9
    updated = await api.ok("PUT", f"{DEPLOYMENTS}/web/status", shown)
    assert updated["spec"]["replicas"] == 1
    assert "StatusUpdate" in [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]]
    patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    await api.ok("PATCH", f"{DEPLOYMENTS}/web/status", patch)
    assert [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]] == ["StatusPatched"]


async def test_deployments_have_every_verb(api):
    await api.cycle(DEPLOYMENTS, deployment(), status={"replicas": 1})
