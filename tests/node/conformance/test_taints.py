"""NoExecute taints on a node: upstream's test/e2e/node/taints.go. Serial: they empty the node."""

import asyncio

import pytest
from tests.node.conformance.place import gone, ready
from tests.node.conformance.pods import pod

NODE = "worker-1"
KEY = "kubernetes.io/e2e-evict-taint-key"
TAINT = {"key": KEY, "value": "evictTaintVal", "effect": "NoExecute"}


def _pod(name: str, seconds: int | None) -> dict:
    toleration = {"key": KEY, "operator": "Equal", "value": "evictTaintVal", "effect": "NoExecute"}
    tolerated = [{**toleration, "tolerationSeconds": seconds}] if seconds is not None else []
    return pod(name, nodeSelector={"kubernetes.io/hostname": NODE}, tolerations=tolerated)


async def _taint(space, *taints: dict) -> None:
    await space.api.ok("PATCH", f"/api/v1/nodes/{NODE}", {"spec": {"taints": list(taints)}})


@pytest.mark.serial
@pytest.mark.conformance(
    "[sig-node] NoExecuteTaintManager Single Pod [Serial] removing taint cancels eviction [Disruptive] [Conformance]"
)
async def test_a_taint_that_is_taken_away_in_time_evicts_nobody(space):
    """The Pod may stay for 4 seconds; the taint goes after 2. Upstream: a minute, 30 seconds."""
    await space.run(_pod("stays", 4))
    try:
        await _taint(space, TAINT)
        await asyncio.sleep(2)
        assert "deletionTimestamp" not in (await space.get("stays"))["metadata"]
    finally:
        await _taint(space)
    with pytest.raises(AssertionError, match="not within"):
        await space.until("stays", lambda p: p is None or "deletionTimestamp" in p["metadata"], timeout=4)


@pytest.mark.serial
@pytest.mark.conformance(
    "[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds "
    "[Disruptive] [Conformance]"
)
async def test_each_pod_is_evicted_after_what_it_tolerates(space):
    await space.create("pods", _pod("short", 1))
    await space.create("pods", _pod("long", 30))
    await space.until("short", ready)
    await space.until("long", ready)
    try:
        await _taint(space, TAINT)
        await space.until("short", gone)
        assert "deletionTimestamp" not in (await space.get("long"))["metadata"]
    finally:
        await _taint(space)
