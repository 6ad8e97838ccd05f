"""Leases: upstream's test/e2e/common/node/lease.go."""

import pytest

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@pytest.mark.conformance("[sig-node] Lease lease API should be available [Conformance]")
async def test_leases_can_be_made_read_changed_and_deleted(api):
    await api.cycle(LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 30}})
