"""Liveness and readiness: upstream's test/e2e/common/node/container_probe.go. Where upstream watches for minutes that
nothing happens, these tests do for the seconds of CALM."""

import asyncio
from datetime import datetime

import pytest
from tests.node.conformance.place import condition, ready, restarts, statuses
from tests.node.conformance.pods import container, pod, shell

CALM = 8.0
"""Seconds: eight probes; a failing one would have restarted its container after three."""
EXEC = {"exec": {"command": ["cat", "/tmp/health"]}}
HTTP = {"httpGet": {"path": "/healthz", "port": 8080}}
SICK_FILE = "echo ok > /tmp/health; sleep 2; rm /tmp/health; exec tool pause"
SICK_WEB = "web 8080 & sleep 2; rm /www/healthz; exec tool pause"


def _probe(action: dict, **fields) -> dict:
    return {**action, "periodSeconds": 1, "initialDelaySeconds": 1, "failureThreshold": 1, **fields}


async def _restarted(space, one: dict, times: int = 1) -> None:
    """It is restarted so often, and counts each time by one."""
    await space.create("pods", pod("sick", one, restartPolicy="Always"))
    seen = []
    await space.until("sick", lambda p: seen.append(restarts(p)) or seen[-1] >= times)
    assert sorted(set(seen)) == list(range(times + 1)), "counts by one"
    assert seen == sorted(seen), "never falls"


async def _not_restarted(space, one: dict) -> None:
    """It runs through the calm without a restart."""
    await space.run(pod("well", one, restartPolicy="Always"))
    await asyncio.sleep(CALM)
    found = await space.get("well")
    assert restarts(found) == 0
    assert condition(found, "Ready") == "True"


@pytest.mark.conformance(
    '[sig-node] Probing container should be restarted with a exec "cat /tmp/health" liveness probe '
    "[NodeConformance] [Conformance]"
)
async def test_a_command_that_fails_restarts_the_container(space):
    await _restarted(space, shell(SICK_FILE, livenessProbe=_probe(EXEC)))
    message = await space.event("sick", "Unhealthy")
    assert message == "Liveness probe failed: cat: can't open '/tmp/health': No such file or directory\n"
    assert await space.event("sick", "Killing") == "Container c failed liveness probe, will be restarted"


@pytest.mark.conformance(
    "[sig-node] Probing container should be restarted with a /healthz http liveness probe "
    "[NodeConformance] [Conformance]"
)
async def test_a_page_that_is_missing_restarts_the_container(space):
    await _restarted(space, shell(SICK_WEB, livenessProbe=_probe(HTTP)))
    assert await space.event("sick", "Unhealthy") == "Liveness probe failed: HTTP probe failed with statuscode: 404"


@pytest.mark.conformance(
    "[sig-node] Probing container should be restarted with a GRPC liveness probe [Conformance] [NodeConformance]"
)
async def test_a_grpc_port_that_nobody_serves_restarts_the_container(space):
    probe = _probe({"grpc": {"port": 2333}})
    await _restarted(space, container("tool", "grpc", "5000", livenessProbe=probe))


@pytest.mark.slow
@pytest.mark.conformance(
    "[sig-node] Probing container should have monotonically increasing restart count [NodeConformance] [Conformance]"
)
async def test_restarts_are_counted_one_by_one(space):
    """Three restarts, the last after twenty seconds of back-off; upstream waits for five."""
    await _restarted(space, shell(SICK_WEB, livenessProbe=_probe(HTTP)), times=3)


@pytest.mark.conformance(
    '[sig-node] Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe '
    "[NodeConformance] [Conformance]"
)
async def test_a_command_that_succeeds_restarts_nothing(space):
    await _not_restarted(space, shell("echo ok > /tmp/health; exec tool pause", livenessProbe=_probe(EXEC)))


@pytest.mark.conformance(
    "[sig-node] Probing container should *not* be restarted with a /healthz http liveness probe "
    "[NodeConformance] [Conformance]"
)
async def test_a_page_that_is_there_restarts_nothing(space):
    await _not_restarted(space, container("web", "8080", livenessProbe=_probe(HTTP, failureThreshold=3)))


@pytest.mark.conformance(
    "[sig-node] Probing container should *not* be restarted with a tcp:8080 liveness probe "
    "[NodeConformance] [Conformance]"
)
async def test_a_port_that_is_open_restarts_nothing(space):
    probe = _probe({"tcpSocket": {"port": 8080}}, failureThreshold=3)
    await _not_restarted(space, container("web", "8080", livenessProbe=probe))


@pytest.mark.conformance(
    "[sig-node] Probing container should *not* be restarted with a GRPC liveness probe [Conformance] [NodeConformance]"
)
async def test_a_grpc_service_that_is_healthy_restarts_nothing(space):
    probe = _probe({"grpc": {"port": 5000}}, failureThreshold=3)
    await _not_restarted(space, container("tool", "grpc", "5000", livenessProbe=probe))


@pytest.mark.conformance(
    "[sig-node] Probing container with readiness probe should not be ready before initial delay and never restart "
    "[NodeConformance] [Conformance]"
)
async def test_nothing_is_ready_before_the_initial_delay(space):
    """Five seconds; upstream's delay is thirty."""
    probe = {**HTTP, "initialDelaySeconds": 5, "periodSeconds": 1}
    await space.create("pods", pod("late", container("web", "8080", readinessProbe=probe)))
    found = await space.until("late", ready)
    began = datetime.fromisoformat(statuses(found)["c"]["state"]["running"]["startedAt"])
    since = next(c["lastTransitionTime"] for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert (datetime.fromisoformat(since) - began).total_seconds() >= 4, "times are whole seconds"
    assert restarts(found) == 0


@pytest.mark.conformance(
    "[sig-node] Probing container with readiness probe that fails should never be ready and never restart "
    "[NodeConformance] [Conformance]"
)
async def test_a_readiness_probe_that_fails_neither_makes_ready_nor_restarts(space):
    probe = _probe({"exec": {"command": ["false"]}})
    await space.create("pods", pod("never", container(readinessProbe=probe)))
    await space.until("never", lambda p: p["status"]["phase"] == "Running")
    with pytest.raises(AssertionError, match="not within"):
        await space.until("never", ready, timeout=CALM)
    assert restarts(await space.get("never")) == 0
