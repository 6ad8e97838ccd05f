"""The life of a Pod: upstream's pods.go of common/node and of node."""

import pytest
from tests.component.api import STRATEGIC
from tests.node.conformance.place import condition, finished, gone, ready, statuses
from tests.node.conformance.pods import container, pod, shell

from pybernetes.wire import channels, websocket


@pytest.mark.conformance("[sig-node] Pods should get a host IP [NodeConformance] [Conformance]")
async def test_a_pod_knows_the_address_of_its_node(space):
    found = await space.run(pod("p"))
    assert found["status"]["hostIP"] == space.address_of(found["spec"]["nodeName"])
    assert found["status"]["hostIPs"] == [{"ip": found["status"]["hostIP"]}]


@pytest.mark.conformance("[sig-node] Pods should be submitted and removed [NodeConformance] [Conformance]")
async def test_a_pod_is_watched_from_its_creation_to_its_end(space):
    events = await space.api.watch(space.path("pods") + "?watch=1&labelSelector=name%3Dwatched")
    await space.create("pods", pod("watched", terminationGracePeriodSeconds=30))
    kind, found = await events.next()
    assert (kind, found["metadata"]["name"]) == ("ADDED", "watched")
    await space.until("watched", ready)
    await space.delete("watched", grace=5)
    ended = await events.until("DELETED")
    await events.close()
    assert ended["metadata"]["deletionGracePeriodSeconds"] in (0, 5)
    assert ended["metadata"]["deletionTimestamp"]
    assert (await space.api.ok("GET", space.path("pods") + "?labelSelector=name%3Dwatched"))["items"] == []


@pytest.mark.conformance("[sig-node] Pods should be updated [NodeConformance] [Conformance]")
async def test_a_running_pod_is_given_another_label(space):
    found = await space.run(pod("p"))
    found["metadata"]["labels"]["time"] = "now"
    code, answer = await space.api("PUT", space.path("pods", "p"), found)
    if code == 409:  # its status has changed meanwhile
        answer = await space.patch("p", {"metadata": {"labels": {"time": "now"}}})
    assert answer["metadata"]["labels"]["time"] == "now"
    listed = await space.api.ok("GET", space.path("pods") + "?labelSelector=time%3Dnow")
    assert [one["metadata"]["name"] for one in listed["items"]] == ["p"]
    assert condition(await space.get("p"), "Ready") == "True"


@pytest.mark.conformance(
    "[sig-node] Pods should allow activeDeadlineSeconds to be updated [NodeConformance] [Conformance]"
)
async def test_a_deadline_that_is_set_later_ends_the_pod(space):
    await space.run(pod("p"))
    await space.patch("p", {"spec": {"activeDeadlineSeconds": 3}})
    found = await space.until("p", finished)
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "DeadlineExceeded")


@pytest.mark.conformance(
    "[sig-node] Pods should contain environment variables for services [NodeConformance] [Conformance]"
)
async def test_services_that_are_there_are_variables(space):
    service = {"metadata": {"name": "fooservice"}, "spec": {"ports": [{"port": 8765, "targetPort": 8080}]}}
    address = (await space.create("services", service))["spec"]["clusterIP"]
    wanted = {
        "FOOSERVICE_SERVICE_HOST": address,
        "FOOSERVICE_SERVICE_PORT": "8765",
        "FOOSERVICE_PORT": f"tcp://{address}:8765",
        "FOOSERVICE_PORT_8765_TCP": f"tcp://{address}:8765",
        "FOOSERVICE_PORT_8765_TCP_PROTO": "tcp",
        "FOOSERVICE_PORT_8765_TCP_PORT": "8765",
        "FOOSERVICE_PORT_8765_TCP_ADDR": address,
    }
    await space.settled()
    printed = await space.output(pod("client", container("env")))
    seen = dict(line.split("=", 1) for line in printed.splitlines())
    assert wanted == {name: seen.get(name) for name in wanted}


@pytest.mark.conformance("[sig-node] Pods should delete a collection of pods [Conformance]")
async def test_running_pods_are_deleted_by_label(space):
    for name in ("a", "b", "c"):
        made = pod(name)
        made["metadata"]["labels"]["type"] = "Testing"
        await space.create("pods", made)
    for name in ("a", "b", "c"):
        await space.until(name, ready)
    await space.api.ok("DELETE", space.path("pods") + "?labelSelector=type%3DTesting")
    for name in ("a", "b", "c"):
        await space.until(name, gone)


@pytest.mark.conformance("[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]")
async def test_a_pod_and_its_status_are_patched_watched_and_deleted(space):
    events = await space.api.watch(space.path("pods") + "?watch=1&labelSelector=name%3Dp")
    await space.create("pods", pod("p"))
    assert (await events.next())[0] == "ADDED"
    await space.until("p", ready)
    changed = {
        "metadata": {"labels": {"test": "patched"}},
        "spec": {"containers": [{"name": "c", "image": "conformance/defaults:1"}]},
    }
    patched = await space.api.ok("PATCH", space.path("pods", "p"), changed, content_type=STRATEGIC)
    assert patched["spec"]["containers"][0]["image"] == "conformance/defaults:1"
    no = {"status": {"conditions": [{"type": "TestCondition", "status": "False"}]}}
    told = await space.api.ok("PATCH", space.path("pods", "p") + "/status", no, content_type=STRATEGIC)
    assert condition(told, "TestCondition") == "False"
    code, told = 409, {}
    while code == 409:  # the kubelet restarts the container for its new image, and says so
        told = await space.get("p")
        next(c for c in told["status"]["conditions"] if c["type"] == "TestCondition")["status"] = "True"
        code, told = await space.api("PUT", space.path("pods", "p") + "/status", told)
    assert (code, condition(told, "TestCondition")) == (200, "True")
    await space.api.ok("DELETE", space.path("pods") + "?labelSelector=test%3Dpatched&gracePeriodSeconds=0")
    assert (await events.until("DELETED"))["metadata"]["name"] == "p"
    await events.close()


@pytest.mark.conformance("[sig-node] Pods should patch a pod status [Conformance]")
async def test_the_status_of_a_running_pod_is_patched(space):
    await space.run(pod("p"))
    patched = await space.patch("p", {"status": {"message": "patched", "reason": "because"}}, status=True)
    assert (patched["status"]["message"], patched["status"]["reason"]) == ("patched", "because")


@pytest.mark.conformance(
    "[sig-node] Pods should support remote command execution over websockets [NodeConformance] [Conformance]"
)
async def test_a_command_is_run_over_the_old_websocket_protocol(space):
    await space.run(pod("p"))
    target = (
        space.path("pods", "p") + "/exec?command=echo&command=remote&command=execution&stdout=1&stderr=1&container=c"
    )
    streams = channels.Channels(await space.api.connect(target, ["channel.k8s.io"]))
    said = b""
    while (message := await streams.receive()) is not None:
        channel, data = message
        assert channel in (channels.STDOUT, channels.ERROR)
        said += (data or b"") if channel == channels.STDOUT else b""
    await streams.close()
    assert said == b"remote execution\n"


@pytest.mark.conformance(
    "[sig-node] Pods should support retrieving logs from the container over websockets [NodeConformance] [Conformance]"
)
async def test_logs_are_read_over_websockets(space):
    await space.run(pod("p", shell("echo container is alive; exec tool pause")))
    await space.says("p", "alive")
    socket = await space.api.connect(space.path("pods", "p") + "/log?container=c", ["binary.k8s.io"])
    said = b""
    while (message := await socket.receive()) is not None:
        assert message[0] == websocket.BINARY
        said += message[1]
    await socket.close()
    assert said == b"container is alive\n"


@pytest.mark.conformance(
    "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for "
    "memory and cpu [Conformance]"
)
async def test_equal_requests_and_limits_are_guaranteed(space):
    amounts = {"cpu": "20m", "memory": "20Mi"}
    found = await space.run(pod("p", container(resources={"requests": amounts, "limits": amounts})))
    assert found["status"]["qosClass"] == "Guaranteed"


@pytest.mark.conformance(
    "[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per "
    "update [MinimumKubeletVersion:1.34] [Conformance]"
)
async def test_each_change_of_the_spec_is_one_generation_and_is_observed(space):
    made = await space.create("pods", pod("p", initContainers=[container("true", name="init")]))
    assert made["metadata"]["generation"] == 1
    await space.until("p", ready)
    toleration = [*made["spec"]["tolerations"], {"key": "foo", "operator": "Exists", "effect": "NoSchedule"}]
    changes = [
        ({"spec": {"tolerations": toleration}}, 2),
        ({"spec": {"activeDeadlineSeconds": 600}}, 3),
        ({"metadata": {"labels": {"new": "label"}}}, 3),
        ({"metadata": {"generation": 100}}, 3),
        ({}, 3),
        ({"spec": {"initContainers": [{"name": "init", "image": "conformance/defaults:1"}]}}, 4),
        ({"spec": {"containers": [{"name": "c", "image": "conformance/defaults:1"}]}}, 5),
    ]
    for change, generation in changes:
        patched = await space.api.ok("PATCH", space.path("pods", "p"), change, content_type=STRATEGIC)
        assert patched["metadata"]["generation"] == generation, change
    await space.until("p", lambda p: p["status"]["observedGeneration"] == 5, timeout=20)


@pytest.mark.conformance(
    "[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete "
    "[Conformance]"
)
async def test_a_generation_of_the_client_is_ignored_and_deletion_is_one(space):
    given = pod("p", terminationGracePeriodSeconds=60)
    given["metadata"]["generation"] = 100
    given["spec"]["containers"] = [shell("trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done")]
    assert (await space.create("pods", given))["metadata"]["generation"] == 1
    await space.until("p", ready)
    await space.delete("p", grace=60)
    assert (await space.get("p"))["metadata"]["generation"] == 2
    await space.until("p", gone)


@pytest.mark.serial
@pytest.mark.conformance(
    "[sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and "
    "observedGeneration eventually converge [MinimumKubeletVersion:1.34] [Conformance]"
)
async def test_five_hundred_changes_are_all_counted_and_the_last_is_observed(space):
    await space.run(pod("p"))
    for number in range(499):
        await space.patch("p", {"spec": {"activeDeadlineSeconds": 10000 - number}})
    found = await space.until("p", lambda p: p["status"]["observedGeneration"] == 500)
    assert found["metadata"]["generation"] == 500


@pytest.mark.conformance(
    "[sig-node] Ephemeral Containers will start an ephemeral container in an existing pod "
    "[Conformance] [NodeConformance]"
)
async def test_an_ephemeral_container_runs_in_a_pod_that_is_there(space):
    await space.run(pod("p"))
    await _debug(space, "debugger")
    found = await space.get("p")
    assert found["metadata"]["generation"] == 2
    assert [one["name"] for one in found["spec"]["ephemeralContainers"]] == ["debugger"]
    assert await space.exec("p", "echo", "polo", container="debugger") == (0, "polo\n")
    assert "marco" in await space.says("p", "marco", "debugger")


@pytest.mark.conformance(
    "[sig-node] Ephemeral Containers should update the ephemeral containers in an existing pod "
    "[Conformance] [NodeConformance]"
)
async def test_more_ephemeral_containers_are_added_by_put(space):
    await space.run(pod("p"))
    await _debug(space, "debugger")
    code, path = 409, space.path("pods", "p") + "/ephemeralcontainers"
    while code == 409:
        found = await space.get("p")
        found["spec"]["ephemeralContainers"].append(_debugger("debugger2"))
        code, answer = await space.api("PUT", path, found)
    assert code == 200, answer
    await space.until("p", lambda p: _debugs(p) == {"debugger", "debugger2"})
    assert (await space.get("p"))["metadata"]["generation"] == 3


def _debugger(name: str) -> dict:
    return shell("trap 'exit 0' TERM; while true; do echo marco; sleep 1; done", name=name)


async def _debug(space, name: str) -> None:
    path = space.path("pods", "p") + "/ephemeralcontainers"
    await space.api.ok("PATCH", path, {"spec": {"ephemeralContainers": [_debugger(name)]}}, content_type=STRATEGIC)
    await space.until("p", lambda p: _debugs(p) == {name})


def _debugs(found: dict | None) -> set[str]:
    return {name for name, one in statuses(found, "ephemeralContainerStatuses").items() if "running" in one["state"]}
