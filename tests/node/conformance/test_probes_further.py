"""Probes, beyond the conformance suite: the other tests of upstream's test/e2e/common/node/container_probe.go."""

import asyncio

import pytest
from tests.node.conformance.place import condition, gone, ready, restarts, statuses
from tests.node.conformance.pods import container, entry, pod, shell

CALM = 6.0
"""Seconds in which nothing must happen; upstream: four minutes."""
FALSE, SLOW = {"exec": {"command": ["false"]}}, {"exec": {"command": ["sleep", "10"]}}
HTTP = {"httpGet": {"path": "/healthz", "port": 8080}}


def _probe(action: dict, **fields) -> dict:
    return {**action, "periodSeconds": 1, "failureThreshold": 1, **fields}


def _redirect(where: str) -> dict:
    return {"httpGet": {"path": f"/cgi-bin/redirect?loc={where}", "port": 8080}}


async def _restarted(space, one: dict, **spec) -> None:
    await space.create("pods", pod("sick", one, restartPolicy="Always", **spec))
    await space.until("sick", lambda p: restarts(p) >= 1)


@pytest.mark.parametrize(
    "action",
    [
        entry(
            "[sig-node] Probing container should be restarted with an exec liveness probe with timeout", SLOW, id="slow"
        ),
        entry(
            "[sig-node] Probing container should be restarted with a failing exec liveness probe that took longer than "
            "the timeout",
            {"exec": {"command": ["sh", "-c", "sleep 10 & exit 1"]}},
            id="leaves a process",
        ),
    ],
)
async def test_a_command_that_does_not_end_in_time_restarts_the_container(space, action):
    await _restarted(space, container(livenessProbe=_probe(action, timeoutSeconds=1)))


@pytest.mark.conformance("[sig-node] Probing container should not be ready with an exec readiness probe timeout")
async def test_a_command_that_does_not_end_in_time_makes_nothing_ready(space):
    await space.create("pods", pod("never", container(readinessProbe=_probe(SLOW, timeoutSeconds=1))))
    message = await space.event("never", "Unhealthy")
    assert message.startswith("Readiness probe errored: ") or message.startswith(
        "Readiness probe failed: command timed out"
    )
    assert condition(await space.get("never"), "Ready") == "False"


@pytest.mark.conformance("[sig-node] Probing container should be restarted with a local redirect http liveness probe")
async def test_a_redirect_within_the_container_is_followed(space):
    script = "web 8080 & sleep 2; rm /www/healthz; exec tool pause"
    await _restarted(space, shell(script, livenessProbe=_probe(_redirect("/healthz"), initialDelaySeconds=1)))
    assert await space.event("sick", "Unhealthy") == "Liveness probe failed: HTTP probe failed with statuscode: 404"


@pytest.mark.conformance(
    "[sig-node] Probing container should *not* be restarted with a non-local redirect http liveness probe"
)
async def test_a_redirect_to_elsewhere_is_a_success_with_a_warning(space):
    one = container("web", "8080", livenessProbe=_probe(_redirect("http://0.0.0.0/"), failureThreshold=3))
    await space.run(pod("away", one, restartPolicy="Always"))
    message = await space.event("away", "ProbeWarning")
    body = '<a href="http://0.0.0.0/">Found</a>.\n'
    assert message == f"Liveness probe warning: Probe terminated redirects, Response body: {body}"
    await asyncio.sleep(CALM)
    assert restarts(await space.get("away")) == 0


@pytest.mark.conformance("[sig-node] Probing container should be restarted startup probe fails")
async def test_a_startup_probe_that_fails_restarts_the_container(space):
    live = _probe({"exec": {"command": ["true"]}})
    await _restarted(space, container(livenessProbe=live, startupProbe=_probe(FALSE, failureThreshold=3)))
    assert await space.event("sick", "Killing") == "Container c failed startup probe, will be restarted"


@pytest.mark.conformance(
    "[sig-node] Probing container should *not* be restarted by liveness probe because startup probe delays it"
)
async def test_liveness_waits_for_the_startup_probe(space):
    one = container(livenessProbe=_probe(FALSE), startupProbe=_probe(FALSE, failureThreshold=60))
    await space.create("pods", pod("starting", one, restartPolicy="Always"))
    await space.until("starting", lambda p: p["status"]["phase"] == "Running")
    await asyncio.sleep(CALM)
    found = await space.get("starting")
    assert (restarts(found), statuses(found)["c"]["started"]) == (0, False)


@pytest.mark.conformance(
    "[sig-node] Probing container should be restarted by liveness probe after startup probe enables it"
)
async def test_liveness_counts_once_the_startup_probe_succeeds(space):
    start = _probe({"exec": {"command": ["cat", "/tmp/startup"]}}, failureThreshold=60)
    script = "sleep 3; echo ok > /tmp/startup; exec tool pause"
    await _restarted(space, shell(script, livenessProbe=_probe(FALSE), startupProbe=start))
    assert await space.event("sick", "Killing") == "Container c failed liveness probe, will be restarted"


@pytest.mark.conformance("[sig-node] Probing container should be ready immediately after startupProbe succeeds")
async def test_readiness_is_looked_at_as_soon_as_the_startup_probe_succeeds(space):
    start = _probe({"exec": {"command": ["cat", "/tmp/startup"]}}, failureThreshold=60)
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 50}
    await space.create("pods", pod("p", container(readinessProbe=probe, startupProbe=start)))
    await space.until("p", lambda p: p["status"]["phase"] == "Running")
    await asyncio.sleep(2)
    assert condition(await space.get("p"), "Ready") == "False"
    assert (await space.exec("p", "touch", "/tmp/startup"))[0] == 0
    await space.until("p", ready, timeout=20)


@pytest.mark.parametrize(
    "kind",
    [
        entry(
            "[sig-node] Probing container should override timeoutGracePeriodSeconds when LivenessProbe field is set",
            "livenessProbe",
        ),
        entry(
            "[sig-node] Probing container should override timeoutGracePeriodSeconds when StartupProbe field is set",
            "startupProbe",
        ),
    ],
)
async def test_the_grace_of_a_probe_is_shorter_than_the_pods(space, kind):
    one = container("sleep", "1000", **{kind: _probe(HTTP, terminationGracePeriodSeconds=2)})
    await _restarted(space, one, terminationGracePeriodSeconds=500)
    await space.delete("sick", grace=1)


END = """
touch /tmp/ready /tmp/alive
trap 'rm /tmp/ready /tmp/alive; sleep 5; exit 0' TERM
while true; do sleep 0.2; done
"""


@pytest.mark.parametrize(
    "alive",
    [
        entry(
            "[sig-node] Probing container should mark readiness on pods to false while pod is in progress of "
            "terminating when a pod has a readiness probe",
            False,
            id="readiness",
        ),
        entry(
            "[sig-node] Probing container should mark readiness on pods to false and disable liveness probes while pod "
            "is in progress of terminating",
            True,
            id="readiness and liveness",
        ),
    ],
)
async def test_while_a_pod_ends_readiness_is_looked_at_and_liveness_is_not(space, alive):
    probes = {"readinessProbe": _probe({"exec": {"command": ["cat", "/tmp/ready"]}})}
    if alive:
        live = _probe({"exec": {"command": ["cat", "/tmp/alive"]}}, initialDelaySeconds=2)
        probes["livenessProbe"] = live
    await space.run(pod("ends", shell(END, **probes), terminationGracePeriodSeconds=30))
    await space.delete("ends")
    found = await space.until("ends", lambda p: p is None or condition(p, "Ready") == "False")
    assert found["metadata"]["deletionTimestamp"]
    assert "running" in statuses(found)["c"]["state"], "not ready while it still runs"
    await space.until("ends", gone)
    assert not [text for text in await space.events("ends", "Unhealthy") if text.startswith("Liveness")]
    assert not [text for text in await space.events("ends", "Killing") if "liveness" in text]


def _sidecar(**fields) -> dict:
    return container("web", "8080", name="side", restartPolicy="Always", **fields)


@pytest.mark.conformance(
    "[sig-node] Probing restartable init container with readiness probe that fails should never be ready and never "
    "restart"
)
async def test_a_sidecar_that_is_not_ready_keeps_its_pod_from_being_ready(space):
    await space.create("pods", pod("p", container(), initContainers=[_sidecar(readinessProbe=_probe(FALSE))]))
    await space.until("p", lambda p: statuses(p).get("c", {}).get("ready", False))
    await space.event("p", "Unhealthy")
    found = await space.get("p")
    assert condition(found, "Ready") == "False"
    assert statuses(found, "initContainerStatuses")["side"]["restartCount"] == 0


@pytest.mark.conformance(
    "[sig-node] Probing restartable init container should be restarted with a /healthz http liveness probe"
)
async def test_a_sidecar_is_restarted_alone(space):
    script = "web 8080 & sleep 2; rm /www/healthz; exec tool pause"
    live = _probe(HTTP, initialDelaySeconds=1)
    side = shell(script, name="side", restartPolicy="Always", livenessProbe=live)
    await space.create("pods", pod("p", container(), initContainers=[side], restartPolicy="Always"))
    found = await space.until(
        "p", lambda p: statuses(p, "initContainerStatuses").get("side", {}).get("restartCount", 0) >= 1
    )
    assert restarts(found) == 0


@pytest.mark.conformance(
    "[sig-node] Probing restartable init container should be ready immediately after startupProbe succeeds"
)
async def test_what_comes_after_a_sidecar_waits_for_its_startup_probe(space):
    start = _probe({"exec": {"command": ["cat", "/tmp/startup"]}}, failureThreshold=60)
    await space.create("pods", pod("p", container(), initContainers=[_sidecar(startupProbe=start)]))
    await space.until("p", lambda p: "running" in statuses(p, "initContainerStatuses").get("side", {}).get("state", {}))
    await asyncio.sleep(2)
    found = await space.get("p")
    assert statuses(found)["c"]["state"]["waiting"]["reason"] == "PodInitializing"
    assert (await space.exec("p", "touch", "/tmp/startup", container="side"))[0] == 0
    await space.until("p", ready)
