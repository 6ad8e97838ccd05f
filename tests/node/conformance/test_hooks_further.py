"""Hooks and the order of an end, beyond the conformance suite: the rest of upstream's common/node/lifecycle_hook.go, and
of e2e_node/container_lifecycle_test.go what sidecars are promised."""

from datetime import datetime

import pytest
from tests.node.conformance.place import finished, gone, ready, statuses
from tests.node.conformance.pods import container, entry, mount, pod, shell

SIDECAR = "[sig-node] Restartable Init Container Lifecycle Hook when create a pod with lifecycle hook should execute "


async def _handler(space) -> str:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    found = await space.run(pod("handler", container("web", "8080", readinessProbe=probe)))
    return found["status"]["podIP"]


async def _asked(space) -> str:
    return (await space.exec("handler", "sh", "-c", "cat /tmp/asked 2>/dev/null"))[1]


def _web() -> dict:
    """A sidecar that takes the hook's request at the Pod's own address and asks the handler."""
    start = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 30}
    return container("web", "8080", name="web", restartPolicy="Always", startupProbe=start)


def _exec(address: str, message: str) -> dict:
    return {"exec": {"command": ["sh", "-c", f"QUERY_STRING={address},{message} /www/cgi-bin/dial"]}}


def _http(address: str, message: str) -> dict:
    return {"httpGet": {"port": 8080, "path": f"/cgi-bin/dial?{address},{message}"}}


@pytest.mark.parametrize(
    ("when", "hook"),
    [
        entry(f"{SIDECAR}poststart exec hook properly", "postStart", _exec, id="poststart exec"),
        entry(f"{SIDECAR}poststart http hook properly", "postStart", _http, id="poststart http"),
        entry(f"{SIDECAR}prestop exec hook properly", "preStop", _exec, id="prestop exec"),
        entry(f"{SIDECAR}prestop http hook properly", "preStop", _http, id="prestop http"),
    ],
)
async def test_sidecars_have_hooks_and_earlier_ones_serve_them(space, when, hook):
    address = await _handler(space)
    hooked = container(name="hooked", restartPolicy="Always", lifecycle={when: hook(address, when)})
    made = pod("p", container(), initContainers=[_web(), hooked], terminationGracePeriodSeconds=15)
    await space.run(made)
    assert await _asked(space) == ("GET msg=postStart\n" if when == "postStart" else "")
    await space.delete("p")
    await space.until("p", gone)
    assert await _asked(space) == f"GET msg={when}\n"


async def _sleeps(space, sleep: int, grace: int) -> float:
    """Seconds between the deletion and the end of a container whose preStop sleeps."""
    made = pod("p", container(lifecycle={"preStop": {"sleep": {"seconds": sleep}}}), terminationGracePeriodSeconds=60)
    made["metadata"]["finalizers"] = ["test/finalizer"]
    await space.run(made)
    try:
        await space.delete("p", grace=grace)
        asked = datetime.fromisoformat((await space.get("p"))["metadata"]["deletionTimestamp"])
        found = await space.until("p", lambda p: "terminated" in statuses(p)["c"]["state"])
        ended = datetime.fromisoformat(statuses(found)["c"]["state"]["terminated"]["finishedAt"])
        return (ended - asked).total_seconds() + grace
    finally:
        await space.patch("p", {"metadata": {"finalizers": None}})


SLEEP = "[sig-node] Lifecycle Sleep Hook when create a pod with lifecycle hook using sleep action "


@pytest.mark.conformance(f"{SLEEP}valid prestop hook using sleep action")
async def test_a_prestop_that_sleeps_delays_the_end(space):
    assert 4 <= await _sleeps(space, 4, 30) < 20


@pytest.mark.conformance(f"{SLEEP}reduce GracePeriodSeconds during runtime")
async def test_a_prestop_sleeps_no_longer_than_the_grace(space):
    assert 3 <= await _sleeps(space, 40, 3) < 20


@pytest.mark.conformance(f"{SLEEP}ignore terminated container")
async def test_a_container_that_has_ended_has_no_prestop(space):
    one = shell("sleep 1", lifecycle={"preStop": {"sleep": {"seconds": 40}}})
    await space.create("pods", pod("p", one, terminationGracePeriodSeconds=60))
    await space.until("p", finished, timeout=30)
    await space.delete("p")
    await space.until("p", gone, timeout=20)


@pytest.mark.conformance(
    "[sig-node] Lifecycle sleep action zero value when create a pod with lifecycle hook using sleep action with a "
    "duration of zero seconds prestop hook using sleep action with zero duration"
)
async def test_a_prestop_may_sleep_for_nothing(space):
    await space.run(
        pod("p", container(lifecycle={"preStop": {"sleep": {"seconds": 0}}}), terminationGracePeriodSeconds=60)
    )
    await space.delete("p")
    await space.until("p", gone, timeout=20)


@pytest.mark.conformance(
    "[sig-node] ContainerStopSignals when create a pod with a StopSignal lifecycle StopSignal defined with pod.OS"
)
async def test_a_pod_may_name_a_signal_to_be_ended_with(space):
    """It runs. That the runtime sends it needs CRI of 1.33: containerd 1.6 sends TERM, or what the image names."""
    await space.run(pod("p", container(lifecycle={"stopSignal": "SIGUSR1"}), os={"name": "linux"}))


LOG = [mount("/log")]
STEP = "echo start {0} >> /log/steps; trap 'echo end {0} >> /log/steps; exit 0' TERM; while true; do sleep 0.05; done"


@pytest.mark.conformance(
    "[sig-node] Containers Lifecycle when A pod with restartable init containers should terminate sidecars in reverse "
    "order after all main containers have exited"
)
async def test_sidecars_start_in_order_and_end_in_reverse_after_the_others(space):
    sides = [
        shell(STEP.format(name), name=name, restartPolicy="Always", volumeMounts=LOG) for name in ("s1", "s2", "s3")
    ]
    folder = f"/tmp/conformance-{space.name}"
    volumes = [{"name": "v", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}}]
    main = shell(STEP.format("main"), volumeMounts=LOG)
    made = pod("p", main, initContainers=sides, volumes=volumes, terminationGracePeriodSeconds=20)
    found = await space.run(made)
    await space.delete("p")
    await space.until("p", gone)
    reader = pod("reader", container("cat", "/log/steps", volumeMounts=LOG), volumes=volumes)
    reader["spec"]["nodeName"] = found["spec"]["nodeName"]
    steps = (await space.output(reader)).split("\n")[:-1]
    assert steps[:4] == ["start s1", "start s2", "start s3", "start main"]
    assert steps[4:] == ["end main", "end s3", "end s2", "end s1"]


@pytest.mark.conformance(
    "[sig-node] Containers Lifecycle when A pod with restartable init containers should complete once its main "
    "containers have"
)
async def test_a_pod_that_has_done_its_work_ends_its_sidecars(space):
    side = container(name="side", restartPolicy="Always")
    await space.create("pods", pod("p", shell("sleep 1"), initContainers=[side]))
    found = await space.until("p", finished)
    assert found["status"]["phase"] == "Succeeded"
    assert "terminated" in statuses(found, "initContainerStatuses")["side"]["state"]


@pytest.mark.conformance("[sig-node] Pods should support pod readiness gates [NodeConformance]")
async def test_a_pod_is_ready_when_its_gates_are_open_too(space):
    gates = [{"conditionType": "k8s.io/test-condition1"}, {"conditionType": "k8s.io/test-condition2"}]
    await space.create("pods", pod("p", readinessGates=gates))
    found = await space.until("p", lambda p: statuses(p).get("c", {}).get("ready", False))
    assert next(c for c in found["status"]["conditions"] if c["type"] == "Ready")["reason"] == "ReadinessGatesNotReady"
    path = space.path("pods", "p") + "/status"
    for number in (1, 2):
        change = {"status": {"conditions": [{"type": f"k8s.io/test-condition{number}", "status": "True"}]}}
        await space.api.ok("PATCH", path, change, content_type="application/strategic-merge-patch+json")
    await space.until("p", ready)
    change = {"status": {"conditions": [{"type": "k8s.io/test-condition1", "status": "False"}]}}
    await space.api.ok("PATCH", path, change, content_type="application/strategic-merge-patch+json")
    await space.until("p", lambda p: not ready(p))
