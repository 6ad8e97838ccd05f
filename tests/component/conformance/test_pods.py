"""Pods: upstream's test/e2e/common/node/pods.go and test/e2e/node/pods.go, as far as they need no kubelet."""

import pytest

PODS = "/api/v1/namespaces/default/pods"
STRATEGIC = "application/strategic-merge-patch+json"


def pod(name, spec=None, **container):
    containers = [{"name": "c", "image": "registry.k8s.io/pause:3.10", **container}]
    return {"metadata": {"name": name, "labels": {"test": "yes"}}, "spec": {"containers": containers, **(spec or {})}}


@pytest.mark.conformance(
    "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits "
    "for memory and cpu [Conformance]"
)
async def test_equal_requests_and_limits_are_guaranteed(api):
    amounts = {"cpu": "100m", "memory": "100Mi"}
    made = await api.ok("POST", PODS, pod("q", resources={"requests": amounts, "limits": amounts}))
    assert made["status"]["qosClass"] == "Guaranteed"


@pytest.mark.conformance("[sig-node] Pods should be updated [NodeConformance] [Conformance]")
async def test_labels_of_a_pod_are_updated(api):
    made = await api.ok("POST", PODS, pod("p"))
    made["metadata"]["labels"]["time"] = "now"
    await api.ok("PUT", f"{PODS}/p", made)
    found = await api.ok("GET", f"{PODS}?labelSelector=time%3Dnow")
    assert [item["metadata"]["name"] for item in found["items"]] == ["p"]
    assert found["items"][0]["metadata"]["generation"] == 1


@pytest.mark.conformance(
    "[sig-node] Pods should allow activeDeadlineSeconds to be updated [NodeConformance] [Conformance]"
)
async def test_a_deadline_is_set_later(api):
    made = await api.ok("POST", PODS, pod("p"))
    made["spec"]["activeDeadlineSeconds"] = 5
    made = await api.ok("PUT", f"{PODS}/p", made)
    assert (made["spec"]["activeDeadlineSeconds"], made["metadata"]["generation"]) == (5, 2)


@pytest.mark.conformance("[sig-node] Pods should delete a collection of pods [Conformance]")
async def test_pods_are_deleted_by_label(api):
    for name in ("a", "b", "c"):
        await api.ok("POST", PODS, pod(name))
    await api.ok("DELETE", f"{PODS}?labelSelector=test%3Dyes&gracePeriodSeconds=0")
    assert (await api.ok("GET", PODS))["items"] == []


@pytest.mark.conformance("[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]")
async def test_a_pod_and_its_status_are_patched_and_watched(api):
    events = await api.watch(f"{PODS}?watch=1&labelSelector=test%3Dyes")
    await api.ok("POST", PODS, pod("p", {"terminationGracePeriodSeconds": 1}))
    assert (await events.until("ADDED"))["metadata"]["name"] == "p"
    patch = {
        "metadata": {"labels": {"test": "yes", "more": "1"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    patched = await api.ok("PATCH", f"{PODS}/p", patch, content_type=STRATEGIC)
    assert patched["spec"]["containers"][0]["image"] == "i"
    assert (await events.until("MODIFIED"))["metadata"]["labels"]["more"] == "1"
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    status = await api.ok("PATCH", f"{PODS}/p/status", ready, content_type=STRATEGIC)
    assert status["status"]["conditions"][0]["status"] == "True"
    assert status["spec"] == patched["spec"]
    await api.ok("DELETE", f"{PODS}/p?gracePeriodSeconds=0")
    assert (await events.until("DELETED"))["metadata"]["name"] == "p"


@pytest.mark.conformance("[sig-node] Pods should patch a pod status [Conformance]")
async def test_the_status_of_a_pod_is_patched(api):
    await api.ok("POST", PODS, pod("p"))
    patch = {"metadata": {"annotations": {"patched": "yes"}}, "status": {"message": "m", "reason": "r"}}
    patched = await api.ok("PATCH", f"{PODS}/p/status", patch)
    assert (patched["status"]["message"], patched["status"]["reason"]) == ("m", "r")
    assert (await api.ok("GET", f"{PODS}/p/status"))["status"]["reason"] == "r"


@pytest.mark.conformance("[sig-node] Sysctls [LinuxOnly] should reject invalid sysctls [Conformance] [NodeConformance]")
async def test_bad_sysctls_are_refused(api):
    sysctls = [{"name": name, "value": "0"} for name in ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")]
    code, answer = await api("POST", PODS, pod("p", {"securityContext": {"sysctls": sysctls}}))
    assert code == 422
    assert [cause["field"] for cause in answer["details"]["causes"]] == [
        "spec.securityContext.sysctls[0].name",
        "spec.securityContext.sysctls[3].name",
    ]


@pytest.mark.conformance(
    "[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete "
    "[Conformance]"
)
async def test_generation_counts_changes_of_the_spec_and_the_deletion(api):
    given = pod("g", {"nodeName": "n"})
    given["metadata"]["generation"] = 100
    made = await api.ok("POST", PODS, given)
    assert made["metadata"]["generation"] == 1
    changed = await api.ok("PATCH", f"{PODS}/g", {"spec": {"activeDeadlineSeconds": 9}})
    assert changed["metadata"]["generation"] == 2
    labelled = await api.ok("PATCH", f"{PODS}/g", {"metadata": {"labels": {"a": "b"}, "generation": 7}})
    assert labelled["metadata"]["generation"] == 2
    for _ in range(2):
        await api.ok("DELETE", f"{PODS}/g")
        assert (await api.ok("GET", f"{PODS}/g"))["metadata"]["generation"] == 3


@pytest.mark.conformance(
    "[sig-node] Ephemeral Containers should update the ephemeral containers in an existing pod "
    "[Conformance] [NodeConformance]"
)
async def test_ephemeral_containers_are_added_by_patch_and_put(api):
    await api.ok("POST", PODS, pod("e"))
    one = {"spec": {"ephemeralContainers": [{"name": "one", "image": "busybox:1", "targetContainerName": "c"}]}}
    patched = await api.ok("PATCH", f"{PODS}/e/ephemeralcontainers", one, content_type=STRATEGIC)
    assert [container["name"] for container in patched["spec"]["ephemeralContainers"]] == ["one"]
    assert patched["metadata"]["generation"] == 2
    patched["spec"]["ephemeralContainers"].append({"name": "two", "image": "busybox:1"})
    patched["spec"]["containers"][0]["image"] = "ignored"
    put = await api.ok("PUT", f"{PODS}/e/ephemeralcontainers", patched)
    assert [container["name"] for container in put["spec"]["ephemeralContainers"]] == ["one", "two"]
    assert put["spec"]["containers"][0]["image"] == "registry.k8s.io/pause:3.10"
    assert (await api.ok("GET", f"{PODS}/e/ephemeralcontainers"))["metadata"]["name"] == "e"


@pytest.mark.conformance(
    "[sig-node] Pod InPlace Resize Container resize pod via the replace endpoint "
    "[MinimumKubeletVersion:1.34] [Conformance]"
)
async def test_a_pod_is_resized_by_put(api):
    amounts = {"cpu": "100m", "memory": "100Mi"}
    made = await api.ok("POST", PODS, pod("r", resources={"requests": amounts}))
    more = {"cpu": "200m", "memory": "50Mi"}
    made["spec"]["containers"][0]["resources"] = {"requests": more}
    made["metadata"]["labels"]["ignored"] = "yes"
    put = await api.ok("PUT", f"{PODS}/r/resize", made)
    assert put["spec"]["containers"][0]["resources"]["requests"] == more
    assert "ignored" not in put["metadata"]["labels"]
    assert "resize" in [entry.get("subresource") for entry in put["metadata"]["managedFields"]]
    assert (await api.ok("GET", f"{PODS}/r/resize")) == (await api.ok("GET", f"{PODS}/r"))
    assert put["metadata"]["generation"] == 2
