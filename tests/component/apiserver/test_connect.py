"""Logs and streams of Pods: what reaches the kubelet, and what is refused before."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.component.api import serving

from pybernetes.api.errors import BadRequest, ServiceUnavailable
from pybernetes.api.objects import User
from pybernetes.apiserver.connect import Kubelets, kubelet_url
from pybernetes.wire.http import Headers, Response, read_body
from pybernetes.wire.parsing import status_response

PODS = "/api/v1/namespaces/default/pods"
UPGRADE = {"upgrade": "websocket", "connection": "Upgrade", "sec_websocket_protocol": "v5.channel.k8s.io"}


class FakeKubelet:
    """Remembers what it was asked and answers what the test set."""

    def __init__(self) -> None:
        self.asked = []
        self.answer = Response(200, Headers(), b"log text\n")

    def transport(self, node):
        async def send(request):
            self.asked.append(request)
            return self.answer

        return send


class Stream:
    """The far end of an upgraded connection: echoes."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self.queue.get()

    async def write(self, data: bytes) -> None:
        await self.queue.put(data.upper())

    async def write_eof(self) -> None:
        await self.queue.put(b"")

    async def close(self) -> None:
        return


class Near:
    """The client's end."""

    def __init__(self, data: list[bytes]) -> None:
        self.data = data
        self.got: list[bytes] = []

    async def read(self) -> bytes:
        return self.data.pop(0) if self.data else b""

    async def write(self, data: bytes) -> None:
        self.got.append(data)

    async def write_eof(self) -> None:
        return

    async def close(self) -> None:
        return


@pytest.fixture
async def pod() -> AsyncIterator[tuple]:
    kubelet = FakeKubelet()
    async with serving(kubelets=kubelet) as api:
        await api("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
        await api("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
        two = {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}
        await api("POST", PODS, {"metadata": {"name": "two"}, "spec": {**two, "nodeName": "n1"}})
        await api("POST", PODS, {"metadata": {"name": "waiting"}, "spec": two})
        yield api, kubelet


async def test_a_log_is_the_kubelets_text(pod):
    api, kubelet = pod
    status, text = await api("GET", f"{PODS}/p/log?tailLines=5&follow=true&timestamps=true&pretty=true")
    assert (status, text) == (200, b"log text\n")
    assert kubelet.asked[0].target == "/containerLogs/default/p/c?follow=true&timestamps=true&tailLines=5"


async def test_logs_name_what_is_wrong_before_the_kubelet_is_asked(pod):
    api, kubelet = pod
    for target, code, text in (
        ("p/log?container=x", 400, "container x is not valid for pod p"),
        ("two/log", 400, "a container name must be specified for pod two, choose one of: [a b]"),
        ("none/log", 404, 'pods "none" not found'),
        ("p/log?tailLines=-1", 422, "tailLines: Invalid value: -1"),
        ("p/log?tailLines=x", 400, "invalid syntax"),
        ("p/log?sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z", 422, "at most one of"),
    ):
        status, error = await api("GET", f"{PODS}/{target}")
        assert (status, text in error["message"]) == (code, True), (target, error)
    assert kubelet.asked == []
    assert await api("GET", f"{PODS}/waiting/log?container=a") == (200, b"")


@pytest.mark.parametrize(
    ("protocol", "frames"),
    [
        ("binary.k8s.io", [b"\x82\x00", b"\x82\x05line\n", b"\x82\x05more\n"]),
        ("base64.binary.k8s.io", [b"\x81\x00", b"\x81\x08bGluZQo=", b"\x81\x08bW9yZQo="]),
    ],
)
async def test_a_log_is_sent_in_messages_where_a_websocket_is_asked_for(pod, protocol, frames):
    api, kubelet = pod

    async def lines():
        yield b"line\n"
        yield b"more\n"

    kubelet.answer = Response(200, Headers(), lines())
    key = {"sec_websocket_version": "13", "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ=="}
    asked = {"upgrade": "websocket", "connection": "Upgrade", "sec_websocket_protocol": protocol, **key}
    response = await api.send("GET", f"{PODS}/p/log?follow=true", **asked)
    assert (response.status, response.headers.get("sec-websocket-protocol")) == (101, protocol)
    near = Near([])
    near.read = asyncio.Event().wait
    await response.upgrade(near)
    assert near.got[:3] == frames
    assert near.got[3][0] == 0x88, "and closed"


async def test_a_log_ends_when_its_reader_goes_away(pod):
    api, kubelet = pod
    closed = []

    async def quiet():
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            closed.append(True)

    kubelet.answer = Response(200, Headers(), quiet())
    key = {"sec_websocket_version": "13", "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ=="}
    response = await api.send("GET", f"{PODS}/p/log?follow=true", upgrade="websocket", connection="Upgrade", **key)
    assert response.status == 101
    await response.upgrade(Near([]))
    assert closed


async def test_a_kubelets_refusal_keeps_its_words(pod):
    api, kubelet = pod
    text = 'container "c" in pod "p" is waiting to start: ImagePullBackOff'
    for answer in (Response(400, Headers(), text.encode()), status_response(BadRequest(text))):
        kubelet.answer = answer
        status, error = await api("GET", f"{PODS}/p/log")
        assert (status, error["reason"], error["message"]) == (400, "BadRequest", text)


async def test_exec_is_passed_through_byte_for_byte(pod):
    api, kubelet = pod
    kubelet.answer = Response(101, Headers([("sec-websocket-protocol", "v5.channel.k8s.io")]), stream=Stream())
    target = f"{PODS}/p/exec?command=sh&command=-c&stdin=true&stdout=1&tty=false&container=c"
    response = await api.send("GET", target, **UPGRADE, authorization="Bearer secret")
    assert response.status == 101
    asked = kubelet.asked[0]
    assert asked.target == "/exec/default/p/c?input=1&output=1&command=sh&command=-c"
    assert asked.headers.get("sec-websocket-protocol") == "v5.channel.k8s.io"
    assert "authorization" not in asked.headers
    near = Near([b"hello"])
    await response.upgrade(near)
    assert near.got == [b"HELLO"]


async def test_streams_that_cannot_be_are_refused_before_the_upgrade(pod):
    api, kubelet = pod
    for target, headers, text in (
        ("p/exec?stdout=1", UPGRADE, "you must specify at least 1 command"),
        ("p/exec?command=x", UPGRADE, "you must specify at least one of stdin, stdout, stderr"),
        ("p/exec?command=x&stdout=1", {}, "Upgrade request required"),
        ("waiting/exec?command=x&stdout=1&container=a", UPGRADE, "pod waiting does not have a host assigned"),
        ("waiting/portforward", UPGRADE, "pod waiting does not have a host assigned"),
    ):
        status, error = await api("GET", f"{PODS}/{target}", **headers)
        assert (status, text in error["message"]) == (400, True), (target, error)
    assert kubelet.asked == []


async def test_a_get_of_exec_needs_create_as_well(pod):
    api, kubelet = pod
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods/exec"]}]
    roles = "/apis/rbac.authorization.k8s.io/v1"
    await api("POST", f"{roles}/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    subjects = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"}]
    binding = {"metadata": {"name": "b"}, "roleRef": reference, "subjects": subjects}
    assert (await api("POST", f"{roles}/clusterrolebindings", binding))[0] == 201
    status, error = await api("GET", f"{PODS}/p/exec?command=x&stdout=1", user=User("bob"), **UPGRADE)
    assert (status, 'cannot create resource "pods/exec"' in error["message"]) == (403, True)
    assert kubelet.asked == []


def test_a_kubelet_is_reached_at_its_nodes_address():
    node = {
        "metadata": {"name": "n"},
        "status": {
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.2"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 11250}},
        },
    }
    assert kubelet_url(node) == "https://10.0.0.2:11250"
    node["status"] = {"addresses": [{"type": "InternalIP", "address": "fd00::2"}]}
    assert kubelet_url(node) == "https://[fd00::2]:10250"
    with pytest.raises(ServiceUnavailable):
        kubelet_url({"metadata": {"name": "n"}})
    with pytest.raises(ServiceUnavailable, match="kubelet-client-certificate"):
        Kubelets(None).transport(node)


async def test_a_log_stream_can_be_left(pod):
    api, kubelet = pod
    closed = []

    async def endless():
        try:
            while True:
                yield b"line\n"
        finally:
            closed.append(True)

    kubelet.answer = Response(200, Headers(), endless())
    response = await api.send("GET", f"{PODS}/p/log?follow=true")
    assert await anext(response.body) == b"line\n"
    await response.body.aclose()
    assert closed
    assert await read_body(Response(200, Headers(), b"x")) == b"x"
