"""PersistentVolumes and claims: upstream's test/e2e/storage/persistent_volumes.go, what the API alone has to do."""

import pytest

VOLUMES = "/api/v1/persistentvolumes"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
LABELS = {"e2e-pv-pool": "x"}


def volume(name):
    return {
        "metadata": {"name": name, "labels": LABELS, "finalizers": []},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "e2e",
            "csi": {"driver": "inline-driver.example.com", "volumeHandle": "e2e-conformance"},
        },
    }


def claim(name):
    return {
        "metadata": {"name": name, "labels": LABELS},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "e2e",
        },
    }


async def gone(api, path):
    """Deleted, and let go by the protection whose controller is not here."""
    await api.ok("DELETE", path)
    code, _ = await api("PATCH", path, {"metadata": {"finalizers": None}})
    assert code in (200, 404)
    assert (await api("GET", path))[0] == 404


@pytest.mark.conformance(
    "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]"
)
async def test_the_lifecycle_of_a_volume_and_a_claim(api):
    for path, made in ((VOLUMES, volume), (CLAIMS, claim)):
        first = await api.ok("POST", path, made("pv-1"))
        found = await api.ok("GET", f"{path}?labelSelector=e2e-pv-pool%3Dx")
        assert [item["metadata"]["name"] for item in found["items"]] == ["pv-1"]
        patched = await api.ok("PATCH", f"{path}/pv-1", {"metadata": {"labels": {"pv-1": "patched"}}})
        assert patched["metadata"]["labels"]["pv-1"] == "patched"
        assert (await api.ok("GET", f"{path}/pv-1"))["metadata"]["uid"] == first["metadata"]["uid"]
        await gone(api, f"{path}/pv-1")
        second = await api.ok("POST", path, made("pv-2"))
        second["metadata"]["labels"]["pv-2"] = "updated"
        updated = await api.ok("PUT", f"{path}/pv-2", second)
        assert updated["metadata"]["labels"]["pv-2"] == "updated"
        await api.ok("PATCH", f"{path}/pv-2", {"metadata": {"finalizers": None}})
        await api.ok("DELETE", f"{path}?labelSelector=pv-2%3Dupdated")
        assert (await api.ok("GET", f"{path}?labelSelector=pv-2%3Dupdated"))["items"] == []


@pytest.mark.conformance(
    "[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]"
)
async def test_the_status_of_a_volume_and_a_claim(api):
    await api.ok("POST", VOLUMES, volume("v"))
    await api.ok("POST", CLAIMS, claim("c"))
    assert (await api.ok("GET", f"{CLAIMS}/c/status"))["status"]["phase"] == "Pending"
    condition = {"type": "StatusPatched", "status": "True", "reason": "E2E patchedStatus", "message": "from e2e test"}
    patched = await api.ok("PATCH", f"{CLAIMS}/c/status", {"status": {"conditions": [condition]}})
    assert [one["type"] for one in patched["status"]["conditions"]] == ["StatusPatched"]
    patched["status"]["conditions"].append({**condition, "type": "StatusUpdated"})
    updated = await api.ok("PUT", f"{CLAIMS}/c/status", patched)
    assert [one["type"] for one in updated["status"]["conditions"]] == ["StatusPatched", "StatusUpdated"]
    assert (await api.ok("GET", f"{VOLUMES}/v/status"))["status"]["phase"] == "Pending"
    status = {"message": "StatusPatched", "reason": "E2E patchStatus"}
    patched = await api.ok("PATCH", f"{VOLUMES}/v/status", {"status": status})
    assert patched["status"] | status == patched["status"]
    patched["status"] |= {"message": "StatusUpdated", "reason": "E2E updateStatus"}
    updated = await api.ok("PUT", f"{VOLUMES}/v/status", patched)
    assert (updated["status"]["message"], updated["status"]["reason"]) == ("StatusUpdated", "E2E updateStatus")
