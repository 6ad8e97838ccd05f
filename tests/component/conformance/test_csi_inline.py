"""CSIDrivers: upstream's test/e2e/storage/csi_inline.go."""

import pytest
from tests.examples_of_kinds import example

DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
PODS = "/api/v1/namespaces/default/pods"


@pytest.mark.conformance("[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]")
async def test_csi_drivers_live_and_go(api):
    made = {}
    for name in ("csi-a", "csi-b"):
        body = example("storage.k8s.io", "v1", "csidrivers")
        body["metadata"] = {"name": name}
        made[name] = await api.ok("POST", DRIVERS, body)
        got = await api.ok("GET", f"{DRIVERS}/{name}")
        assert got["metadata"]["uid"] == made[name]["metadata"]["uid"]
    patched = await api.ok("PATCH", f"{DRIVERS}/csi-a", {"metadata": {"labels": {"test": "csi"}}})
    assert patched["metadata"]["labels"] == {"test": "csi"}
    current = await api.ok("GET", f"{DRIVERS}/csi-b")
    current["metadata"]["labels"] = {"test": "csi"}
    updated = await api.ok("PUT", f"{DRIVERS}/csi-b", current)
    assert updated["metadata"]["labels"] == {"test": "csi"}
    assert len((await api.ok("GET", f"{DRIVERS}?labelSelector=test%3Dcsi"))["items"]) == 2
    await api.ok("DELETE", f"{DRIVERS}/csi-a")
    assert (await api("GET", f"{DRIVERS}/csi-a"))[0] == 404
    await api.ok("DELETE", f"{DRIVERS}?labelSelector=test%3Dcsi")
    assert (await api.ok("GET", f"{DRIVERS}?labelSelector=test%3Dcsi"))["items"] == []


@pytest.mark.conformance("[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]")
async def test_a_pod_may_bring_a_csi_volume_of_its_own(api):
    driver = example("storage.k8s.io", "v1", "csidrivers")
    driver["spec"] = {"volumeLifecycleModes": ["Ephemeral"]}
    await api.ok("POST", DRIVERS, driver)
    body = example("", "v1", "pods")
    source = {"driver": "example", "readOnly": True, "volumeAttributes": {"a": "b"}}
    body["spec"]["volumes"] = [{"name": "inline", "csi": source}]
    body["spec"]["containers"][0]["volumeMounts"] = [{"name": "inline", "mountPath": "/inline"}]
    await api.ok("POST", PODS, body)
    got = await api.ok("GET", f"{PODS}/example")
    assert got["spec"]["volumes"][0] == {"name": "inline", "csi": source}
    assert [pod["metadata"]["name"] for pod in (await api.ok("GET", PODS))["items"]] == ["example"]
    patched = await api.ok("PATCH", f"{PODS}/example", {"metadata": {"annotations": {"patched": "true"}}})
    assert patched["metadata"]["annotations"]["patched"] == "true"
    await api.ok("DELETE", f"{PODS}/example")
    assert (await api("GET", f"{PODS}/example"))[0] == 404
