"""CSIDrivers: upstream's test/e2e/storage/csi_inline.go."""

import pytest
from tests.examples_of_kinds import example

DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"


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
