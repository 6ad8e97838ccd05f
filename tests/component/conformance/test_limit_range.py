"""Limit ranges: upstream's test/e2e/scheduling/limit_range.go."""

import pytest
from tests.component.api import STRATEGIC

NS = "/api/v1/namespaces/default"
RANGES = f"{NS}/limitranges"
LIMIT = {
    "type": "Container",
    "min": {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"},
    "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
    "default": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
    "defaultRequest": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"},
}


def pod(name, requests=None, limits=None):
    resources = {"requests": requests or {}, "limits": limits or {}}
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}


def resources(made):
    return made["spec"]["containers"][0]["resources"]


@pytest.mark.conformance(
    "[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied. "
    "[Conformance]"
)
async def test_pods_get_the_defaults_of_a_limit_range_and_keep_within_it(api):
    made = await api.ok("POST", RANGES, {"metadata": {"name": "r", "labels": {"a": "b"}}, "spec": {"limits": [LIMIT]}})
    listed = await api.ok("GET", f"{RANGES}?labelSelector=a%3Db")
    assert [one["metadata"]["name"] for one in listed["items"]] == ["r"]
    assert made["spec"]["limits"] == [LIMIT]
    bare = await api.ok("POST", f"{NS}/pods", pod("bare"))
    assert resources(bare) == {"requests": LIMIT["defaultRequest"], "limits": LIMIT["default"]}
    partly = await api.ok("POST", f"{NS}/pods", pod("partly", {"cpu": "60m", "memory": "150Mi"}, {"cpu": "300m"}))
    assert resources(partly) == {
        "requests": {"cpu": "60m", "memory": "150Mi", "ephemeral-storage": "200Gi"},
        "limits": {**LIMIT["default"], "cpu": "300m"},
    }
    code, answer = await api("POST", f"{NS}/pods", pod("small", {"cpu": "10m", "memory": "50Mi"}))
    assert (code, answer["reason"]) == (403, "Forbidden")
    code, answer = await api("POST", f"{NS}/pods", pod("big", {"cpu": "600m"}, {"cpu": "600m"}))
    assert code == 403
    lower = {**LIMIT, "min": {"cpu": "10m", "memory": "50Mi", "ephemeral-storage": "50Gi"}}
    made["spec"]["limits"] = [lower]
    await api.ok("PUT", f"{RANGES}/r", made)
    await api.ok("POST", f"{NS}/pods", pod("small", {"cpu": "10m", "memory": "50Mi", "ephemeral-storage": "50Gi"}))
    assert (await api("POST", f"{NS}/pods", pod("big", {"cpu": "600m"}, {"cpu": "600m"})))[0] == 403
    await api.ok("DELETE", f"{RANGES}/r")
    assert (await api.ok("GET", RANGES))["items"] == []
    await api.ok("POST", f"{NS}/pods", pod("big", {"cpu": "600m"}, {"cpu": "600m"}))


@pytest.mark.conformance(
    "[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection [Conformance]"
)
async def test_limit_ranges_are_listed_patched_and_deleted_by_collection(api):
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    obj = {"metadata": {"name": "r", "labels": {"e2e": "x"}}, "spec": {"limits": [LIMIT]}}
    other = "/api/v1/namespaces/other/limitranges"
    ours, _ = [await api.ok("POST", path, obj) for path in (RANGES, other)]
    everywhere = "/api/v1/limitranges?labelSelector=e2e%3Dx"
    assert len((await api.ok("GET", everywhere))["items"]) == 2
    lower = {**LIMIT, "min": {"cpu": "25m"}}
    meta = {"creationTimestamp": ours["metadata"]["creationTimestamp"], "labels": {"r": "p"}}
    patch = {"metadata": meta, "spec": {"limits": [lower]}}
    patched = await api.ok("PATCH", f"{RANGES}/r", patch, content_type=STRATEGIC)
    assert patched["metadata"]["labels"] == {"e2e": "x", "r": "p"}
    assert patched["spec"]["limits"][0]["min"] == {"cpu": "25m"}
    await api.ok("DELETE", f"{RANGES}?labelSelector=r%3Dp")
    left = (await api.ok("GET", everywhere))["items"]
    assert [one["metadata"]["namespace"] for one in left] == ["other"]
