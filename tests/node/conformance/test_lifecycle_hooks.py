"""postStart and preStop: upstream's common/node/lifecycle_hook.go and node/pre_stop.go. Another Pod is told by them."""

import pytest
from tests.node.conformance.place import gone, ready
from tests.node.conformance.pods import container, pod


async def _handler(space) -> str:
    """A web server that notes what it is asked; its address."""
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    found = await space.run(pod("handler", container("web", "8080", readinessProbe=probe)))
    return found["status"]["podIP"]


async def _asked(space) -> str:
    return (await space.exec("handler", "sh", "-c", "cat /tmp/asked 2>/dev/null"))[1]


def _exec(address: str, message: str) -> dict:
    request = f"GET /cgi-bin/echo?msg={message} HTTP/1.0\\r\\n\\r\\n"
    return {"exec": {"command": ["sh", "-c", f"printf '{request}' | nc {address} 8080 | grep -q msg={message}"]}}


def _http(address: str, message: str) -> dict:
    return {"httpGet": {"host": address, "port": 8080, "path": f"/cgi-bin/echo?msg={message}"}}


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param(
            _exec,
            id="exec",
            marks=pytest.mark.conformance(
                "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart "
                "exec hook properly [NodeConformance] [Conformance]"
            ),
        ),
        pytest.param(
            _http,
            id="http",
            marks=pytest.mark.conformance(
                "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart "
                "http hook properly [NodeConformance] [Conformance]"
            ),
        ),
    ],
)
async def test_poststart_is_done_before_a_container_counts_as_running(space, hook):
    address = await _handler(space)
    hooked = pod("hooked", container(lifecycle={"postStart": hook(address, "poststart")}))
    await space.create("pods", hooked)
    await space.until("hooked", ready)
    assert await _asked(space) == "GET msg=poststart\n"


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param(
            _exec,
            id="exec",
            marks=pytest.mark.conformance(
                "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop "
                "exec hook properly [NodeConformance] [Conformance]"
            ),
        ),
        pytest.param(
            _http,
            id="http",
            marks=pytest.mark.conformance(
                "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop "
                "http hook properly [NodeConformance] [Conformance]"
            ),
        ),
    ],
)
async def test_prestop_is_done_before_a_container_ends(space, hook):
    address = await _handler(space)
    hooked = container(lifecycle={"preStop": hook(address, "prestop")})
    await space.run(pod("hooked", hooked, terminationGracePeriodSeconds=15))
    assert await _asked(space) == ""
    await space.delete("hooked")
    await space.until("hooked", gone)
    assert await _asked(space) == "GET msg=prestop\n"


@pytest.mark.conformance("[sig-node] PreStop should call prestop when killing a pod  [Conformance]")
async def test_a_pod_that_is_killed_tells_its_server_first(space):
    address = await _handler(space)
    await space.run(pod("tester", container(lifecycle={"preStop": _exec(address, "killed")})))
    await space.delete("tester", grace=5)
    await space.until("tester", gone)
    assert await _asked(space) == "GET msg=killed\n"
