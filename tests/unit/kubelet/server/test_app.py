"""The kubelet's API on a node that a test has made: routes, methods, refusals, words."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from tests.unit.kubelet.pods import container, pod, run, sandbox

from pybernetes.aio.clock import SystemClock
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import ExecResult, RuntimeRefused, State, StreamOptions
from pybernetes.kubelet.pod_actions import Observed
from pybernetes.kubelet.server import system_logs
from pybernetes.kubelet.server.app import KubeletApi
from pybernetes.kubelet.settings import Settings
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import ByteStream, Headers, Request, Response, read_body
from pybernetes.wire.server import HttpServer
from pybernetes.wire.websocket import connect

ENDED = core_v1.ContainerStateTerminated(containerID="containerd://c0", exitCode=1)
WAITING = core_v1.ContainerState(waiting=core_v1.ContainerStateWaiting(reason="CrashLoopBackOff"))


def status(**fields: Any) -> core_v1.ContainerStatus:
    return core_v1.ContainerStatus(name="c", **fields)


class Worker:
    """One Pod, as its worker shows it."""

    def __init__(self, *runs: Any, said: core_v1.ContainerStatus | None = None) -> None:
        self.pod: core_v1.Pod | None = pod(container())
        self.ref = runs[0].pod if runs else run().pod
        self.observed = Observed(now=0.0, sandboxes=(sandbox(),), containers=runs)
        self.said = said

    def status(self) -> core_v1.PodStatus:
        return core_v1.PodStatus(containerStatuses=(self.said,) if self.said else ())


class Node:
    """The kubelet, and its runtime, which streams what it gets back."""

    def __init__(self, **config: Any) -> None:
        self.settings = Settings("n1", (), Configuration(**config))
        self.runtime = self
        self.worker = Worker(run())
        self.seen = SystemClock().monotonic()
        self.far = HttpServer(self._stream)
        self.asked: list[Any] = []
        self.answer = Response(404, Headers(), b"no such token")

    def looked(self) -> float:
        return self.seen

    def pods(self) -> list[core_v1.Pod]:
        return [self.worker.pod] if self.worker.pod else []

    def find(self, namespace: str, name: str, uid: str = "") -> Any:
        return self.worker if (namespace, name) == ("default", "web") and uid in ("", "uid-1") else None

    def config(self) -> dict[str, Any]:
        return {"kind": "KubeletConfiguration"}

    async def exec(self, container: str, command: list[str], timeout: float) -> ExecResult:
        self.asked.append((container, command))
        if command == ["refuse"]:
            raise RuntimeRefused("UNKNOWN", "cannot")
        return ExecResult(0 if command[0] == "echo" else 3, b"out", b"err")

    async def checkpoint(self, container: str, location: str, timeout: int) -> None:
        self.asked.append((container, location, timeout))
        if timeout == 7:
            raise RuntimeRefused(
                "UNIMPLEMENTED", "unknown method CheckpointContainer for service runtime.v1.RuntimeService"
            )

    async def exec_url(self, container: str, command: list[str], options: StreamOptions) -> str:
        self.asked.append((container, command, options))
        return f"http://127.0.0.1:{self.far.port}/exec/token"

    async def port_forward_url(self, sandbox: str, ports: list[int]) -> str:
        self.asked.append((sandbox, ports))
        return f"http://127.0.0.1:{self.far.port}/portforward/token"

    async def _stream(self, request: Request) -> Response:
        return self.answer


class Api:
    """Requests to it, over a socket."""

    def __init__(self, node: Node, client: HttpClient, server: HttpServer) -> None:
        self.node = node
        self.client = client
        self.server = server

    async def __call__(self, target: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        response = await self.client(Request(method, target, Headers([*headers.items()])))
        return response.status, (await read_body(response)).decode()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    node = Node()
    server = HttpServer(KubeletApi(node, None, SystemClock()))  # type: ignore[arg-type]
    await server.start()
    await node.far.start()
    client = HttpClient(f"http://127.0.0.1:{server.port}")
    yield Api(node, client, server)
    await client.aclose()
    await server.stop()
    await node.far.stop()


async def test_health_is_told_check_by_check(api: Api) -> None:
    assert await api("/healthz") == (200, "ok")
    assert await api("/healthz/") == (200, "ok")
    assert (await api("/healthz?verbose"))[1].startswith("[+]ping ok\n[+]log ok\n[+]syncloop ok\n")
    assert await api("/healthz/nothing") == (404, "404 page not found\n")
    api.node.seen -= 121
    assert await api("/healthz/syncloop") == (500, "internal server error: sync Loop took longer than expected\n")
    assert (await api("/healthz"))[0] == 500


@pytest.mark.parametrize("follow", ["", "?follow=true"])
async def test_a_log_is_read_when_its_runtime_has_written_all_of_it(api: Api, tmp_path: Path, follow: str) -> None:
    """The end is announced before the runtime's list shows it, and it may still be writing then."""
    file = tmp_path / "0.log"
    file.write_text("2026-01-01T00:00:00Z stdout F first\n")
    ended = run(state=State.EXITED, log_path=str(file))
    said = status(state=core_v1.ContainerState(terminated=ENDED))
    worker = api.node.worker = Worker(ended, said=said)
    worker.observed = replace(worker.observed, late=frozenset({"c0"}))
    reading = asyncio.create_task(api(f"/containerLogs/default/web/c{follow}"))
    await asyncio.wait({reading}, timeout=0.1)
    assert not reading.done()
    with file.open("a") as log:
        log.write("2026-01-01T00:00:01Z stdout F last\n")
    worker.observed = replace(worker.observed, late=frozenset())
    assert await reading == (200, "first\nlast\n")


async def test_a_checkpoint_is_the_runtimes_to_make(api: Api, tmp_path: Path) -> None:
    api.node.settings = replace(api.node.settings, root=tmp_path)
    code, text = await api("/checkpoint/default/web/c?timeout=5", "POST")
    (file,) = orjson.loads(text)["items"]
    assert (code, api.node.asked) == (200, [("c0", file, 5)])
    assert file.startswith(f"{tmp_path}/checkpoints/checkpoint-web_default-c-20")
    assert (tmp_path / "checkpoints").stat().st_mode & 0o777 == 0o700
    why = "rpc error: code = Unimplemented desc = unknown method CheckpointContainer for service runtime.v1.RuntimeService"
    assert await api("/checkpoint/default/web/c?timeout=7", "POST") == (
        500,
        f"checkpointing of default/web/c failed ({why})",
    )
    assert await api("/checkpoint/default/web/c?timeout=x", "POST") == (404, "cannot parse value of timeout parameter")
    assert await api("/checkpoint/default/web/none", "POST") == (404, "container none does not exist")
    assert await api("/checkpoint/default/none/c", "POST") == (404, "pod does not exist")
    assert (await api("/checkpoint/default/web/c"))[0] == 405
    api.node.worker = Worker(run(state=State.EXITED))
    assert await api("/checkpoint/default/web/c", "POST") == (
        500,
        "checkpointing of default/web/c failed (container c not found)",
    )


async def test_pods_and_configuration_are_shown(api: Api) -> None:
    listed = orjson.loads((await api("/pods"))[1])
    assert (listed["kind"], listed["items"][0]["metadata"]["name"]) == ("PodList", "web")
    (shown,) = orjson.loads((await api("/runningpods/"))[1])["items"]
    assert shown["spec"]["containers"][0]["name"] == "c"
    assert orjson.loads((await api("/configz"))[1]) == {"kubeletconfig": {"kind": "KubeletConfiguration"}}


async def test_methods_and_paths_that_are_not_there(api: Api) -> None:
    assert await api("/nothing") == (404, "404 page not found\n")
    response = await api.client(Request("POST", "/pods"))
    assert (response.status, response.headers.get("allow")) == (405, "GET")
    assert await api("/run/default/web/c") == (405, "405: Method Not Allowed")
    assert (await api("/exec/default/web?output=1"))[0] == 404


async def test_debugging_handlers_can_be_switched_off(api: Api) -> None:
    api.node.settings = Settings("n1", (), Configuration(enable_debugging_handlers=False))
    for path in ("/exec/default/web/c", "/containerLogs/default/web/c", "/runningpods/", "/logs/", "/debug/pprof/"):
        assert await api(path) == (405, "Debug endpoints are disabled.\n")
    assert (await api("/run/default/web/c", "POST"))[0] == 405
    assert (await api("/pods"))[0] == 200
    assert (await api("/healthz"))[0] == 200


async def test_run_answers_with_the_output(api: Api) -> None:
    assert await api("/run/default/web/c?cmd=echo%20hi", "POST") == (200, "outerr")
    assert await api("/run/default/web/uid-1/c?cmd=echo", "POST") == (200, "outerr")
    assert api.node.asked[0] == ("c0", ["echo", "hi"])
    assert await api("/run/default/web/c?cmd=fail", "POST") == (500, "command 'fail' exited with 3: outerr")
    assert await api("/run/default/web/c?cmd=refuse", "POST") == (500, "rpc error: code = Unknown desc = cannot")


async def test_streams_say_what_is_wrong_before_they_begin(api: Api) -> None:
    upgrade = {"upgrade": "SPDY/3.1", "connection": "Upgrade"}
    nothing = "you must specify at least 1 of stdin, stdout, stderr"
    for target, code, text in (
        ("/exec/default/web/c?command=id", 400, nothing),
        ("/attach/default/web/c?tty=1&error=1", 400, nothing),
        ("/exec/default/web/c?output=1", 400, "you must specify at least 1 command for the container"),
        ("/exec/default/none/c?output=1&command=id", 404, "pod does not exist"),
        ("/exec/default/web/x?output=1&command=id", 500, 'container not found ("x")'),
        ("/exec/default/web/other/c?output=1&command=id", 500, 'container not found ("c")'),
        ("/portForward/default/none", 404, "pod does not exist"),
        ("/portForward/default/web/other", 404, "pod not found"),
    ):
        assert await api(target, "POST", **upgrade) == (code, text)
    assert await api("/exec/default/web/c?output=1&command=id") == (400, "Upgrade request required")
    api.node.worker = Worker(run(state=State.EXITED))
    assert (await api("/exec/default/web/c?output=1&command=id", "POST", **upgrade))[0] == 500


async def test_what_the_runtime_refuses_is_answered_and_leaves_no_connection(api: Api) -> None:
    upgrade = {"upgrade": "SPDY/3.1", "connection": "Upgrade"}
    answer = await api("/exec/default/web/uid-1/c?output=1&error=1&command=id", "POST", **upgrade)
    assert answer == (404, "no such token")
    assert api.node.asked == [("c0", ["id"], StreamOptions(stdout=True, stderr=True))]
    for _ in range(100):
        if not api.node.far.connections:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the connection to the runtime is open")


async def test_idle_streams_end(api: Api) -> None:
    async def silent(near: ByteStream) -> None:
        await near.read()

    api.node.settings = Settings("n1", (), Configuration(streaming_connection_idle_timeout=0.2))
    api.node.answer = Response(101, Headers([("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]), upgrade=silent)
    headers = Headers([("upgrade", "SPDY/3.1"), ("connection", "Upgrade")])
    for target in (
        "/exec/default/web/c?output=1&command=id",
        "/portForward/default/web",
    ):
        response = await api.client(Request("POST", target, headers))
        assert response.status == 101
        assert response.stream is not None
        async with asyncio.timeout(10):
            assert await response.stream.read() == b""


async def test_ports_are_named_where_the_protocol_has_none(api: Api) -> None:
    async def asked(query: str) -> Any:
        return await connect(api.client, Request("GET", f"/portForward/default/web{query}"), ["v4.channel.k8s.io"])

    for query, text in (
        ("", b'query parameter "port" is required'),
        ("?port=many", b'unable to parse "many" as a port: it is no number from 1 to 65535'),
    ):
        response = await asked(query)
        assert (response.status, await read_body(response)) == (400, text)
    await asked("?port=80,81&port=90")
    assert api.node.asked == [("s0", [80, 81, 90])]


@pytest.mark.parametrize(
    ("said", "query", "text"),
    [
        (None, "", 'container "c" in pod "web" is not available'),
        (status(), "", 'container "c" in pod "web" is waiting to start - no logs yet'),
        (status(state=WAITING), "", 'container "c" in pod "web" is waiting to start: CrashLoopBackOff'),
        (
            status(state=core_v1.ContainerState(waiting=core_v1.ContainerStateWaiting(reason="ErrImagePull"))),
            "",
            'container "c" in pod "web" is waiting to start: image can\'t be pulled',
        ),
        (status(), "?previous=true", 'previous terminated container "c" in pod "web" not found'),
        (
            status(state=core_v1.ContainerState(terminated=core_v1.ContainerStateTerminated())),
            "",
            'container "c" in pod "web" is terminated',
        ),
    ],
)
async def test_logs_that_are_not_there(api: Api, said: core_v1.ContainerStatus | None, query: str, text: str) -> None:
    api.node.worker = Worker(said=said)
    assert await api(f"/containerLogs/default/web/c{query}") == (400, text)


async def test_logs_name_a_pod_and_container_that_are_not_there(api: Api) -> None:
    assert await api("/containerLogs/default/none/c") == (404, 'pod "none" does not exist')
    assert await api("/containerLogs/default/web/x") == (404, 'container "x" not found in pod "web"')
    bad = '{"message": "Unable to decode query."}'
    assert await api("/containerLogs/default/web/c?tailLines=x") == (400, bad)
    assert await api("/containerLogs/default/web/c?tailLines=-1") == (422, '{"message": "Invalid request."}')


async def test_the_log_is_that_of_the_run_that_goes_on_or_was_last(api: Api, tmp_path: Path) -> None:
    runs = []
    for attempt in (0, 1):
        file = tmp_path / f"{attempt}.log"
        file.write_text(f"2026-01-01T00:00:00Z stdout F run {attempt}\n")
        runs.append(run(attempt=attempt, log_path=str(file)))
    going = core_v1.ContainerState(running=core_v1.ContainerStateRunning())
    last = core_v1.ContainerState(terminated=ENDED)
    for said, query, text in (
        (status(state=going, containerID="containerd://c1", lastState=last), "", "run 1\n"),
        (status(state=going, containerID="containerd://c1", lastState=last), "?previous=true", "run 0\n"),
        (status(state=WAITING, lastState=last), "", "run 0\n"),
        (status(state=last), "", "run 0\n"),
    ):
        api.node.worker = Worker(*runs, said=said)
        assert await api(f"/containerLogs/default/web/c{query}") == (200, text)


async def test_a_followed_log_ends_with_its_pod_and_with_its_reader(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text("2026-01-01T00:00:00Z stdout F first\n")
    going = core_v1.ContainerState(running=core_v1.ContainerStateRunning())
    worker = Worker(run(log_path=str(file)), said=status(state=going, containerID="containerd://c0"))
    api.node.worker = worker
    for pod_goes in (True, False):
        response = await api.client(Request("GET", "/containerLogs/default/web/c?follow=true"))
        assert not isinstance(response.body, bytes)
        assert await anext(response.body) == b"first\n"
        if pod_goes:
            worker.pod = None
            assert [piece async for piece in response.body] == []
            worker.pod = pod(container())
        else:
            await response.body.aclose()  # type: ignore[attr-defined]
            async with asyncio.timeout(5):
                while api.server.connections:
                    await asyncio.sleep(0.01)


async def test_system_logs_are_files_below_one_folder(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log" / "apt").mkdir(parents=True)
    (tmp_path / "log" / "sys<log").write_text("line\n")
    (tmp_path / "secret").write_text("no")
    (tmp_path / "log" / "out").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(system_logs.system_log, "__defaults__", (tmp_path / "log",))
    _, page = await api("/logs/")
    assert '<a href="apt/">apt/</a>' in page
    assert '<a href="sys%3Clog">sys&lt;log</a>' in page
    assert await api("/logs/sys%3Clog") == (200, "line\n")
    assert (await api("/logs/apt"))[0] == 301
    for path in ("/logs/out", "/logs/none", "/logs/../secret", "/logs/%2e%2e/secret"):
        assert (await api(path))[0] == 404
    api.node.settings = Settings("n1", (), Configuration(enable_system_log_handler=False))
    assert await api("/logs/") == (405, "logs endpoint is disabled.\n")


async def test_requests_are_counted_by_path_and_method(api: Api) -> None:
    def count(*labels: str) -> float:
        return metrics.HTTP_REQUESTS.values.get(labels, 0)

    before = count("GET", "pods", "readwrite", "false"), count("other", "other", "readwrite", "false")
    await api("/pods")
    await api("/made/up", "PATCH")
    after = count("GET", "pods", "readwrite", "false"), count("other", "other", "readwrite", "false")
    assert after == (before[0] + 1, before[1] + 1)
    assert set(metrics.HTTP_INFLIGHT.values.values()) == {0}
