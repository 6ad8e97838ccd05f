"""Actions at containers: HTTP, TCP and gRPC, against servers of this process."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from tests.unit.kubelet.pods import container

from pybernetes.aio.clock import SystemClock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import ExecResult, RuntimeRefused
from pybernetes.kubelet.hooks import HookFailed, Hooks, port_number
from pybernetes.kubelet.http_get import request_for

HOST = "127.0.0.1"


class Runtime:
    """Answers exec with what it is given."""

    def __init__(self, answer: ExecResult | Exception) -> None:
        self._answer = answer
        self.asked: list[tuple[str, ...]] = []

    async def exec(self, container: str, command: tuple[str, ...], timeout: float) -> ExecResult:
        self.asked.append(command)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def untold(reason: str, message: str) -> None:
    raise AssertionError(f"{reason}: {message}")


def hooks(answer: ExecResult | Exception | None = None) -> Hooks:
    return Hooks(Runtime(answer or ExecResult(0, b"", b"")), SystemClock())


class Web:
    """A server whose answer is the status in the path; what follows `?` is where it redirects to."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[tuple[str, list[str]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if not line.startswith(b"GET "):  # TLS, for example
            writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            writer.close()
            return
        target = line.split()[1].decode()
        headers: list[str] = []
        while header := (await reader.readline()).strip():
            headers.append(header.decode())
        self.requests.append((target, headers))
        path, _, onward = target.partition("?")
        location = f"location: {onward}\r\n" if onward else ""
        writer.write(f"HTTP/1.1 {path[1:]} X\r\n{location}\r\nbody".encode())
        writer.close()


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    made = Web()
    server = await asyncio.start_server(made.serve, HOST, 0)
    async with server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


@pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (304, True), (404, False), (500, False)])
async def test_http_succeeds_from_200_to_399(web: Web, status: int, ok: bool) -> None:
    answer = await hooks().http(core_v1.HTTPGetAction(port=web.port, path=f"/{status}"), container(), HOST)
    assert answer.ok is ok
    if not ok:
        assert answer.output == f"HTTP probe failed with statuscode: {status}"


async def test_a_port_may_be_named_and_must_be_known(web: Web) -> None:
    named = container(ports=(core_v1.ContainerPort(name="web", containerPort=web.port),))
    assert (await hooks().http(core_v1.HTTPGetAction(port="web", path="/200"), named, HOST)).ok
    assert (await hooks().tcp(core_v1.TCPSocketAction(port="web"), named, HOST)).ok
    assert (await hooks().http(core_v1.HTTPGetAction(port="x"), named, HOST)).output == 'port "x" not found'
    assert port_number("80", named) == 80


async def test_a_refused_connection_is_said_as_go_says_it(unused_tcp_port: int) -> None:
    said = (await hooks().tcp(core_v1.TCPSocketAction(port=unused_tcp_port), container(), HOST)).output
    assert said == f"dial tcp {HOST}:{unused_tcp_port}: connect: connection refused"


async def test_exec_gives_its_output_and_its_failures() -> None:
    answer = await hooks(ExecResult(1, b"a", b"b")).exec("id", ("x",), 1)
    assert (answer.ok, answer.output) == (False, "ab")
    late = await hooks(RuntimeRefused("DEADLINE_EXCEEDED", "timeout")).exec("id", ("x",), 1)
    assert "timed out after 1s" in late.output
    hook = core_v1.LifecycleHandler(exec=core_v1.ExecAction(command=("x",)))
    with pytest.raises(HookFailed) as caught:
        await hooks(ExecResult(4, b"so\n", b"no\n")).run(hook, container(), "id", HOST, untold)
    told = caught.value.told("c", "p_default(1)")
    wanted = 'Exec lifecycle hook ([x]) for Container "c" in Pod "p_default(1)" failed - error: '
    assert told == wanted + "command 'x' exited with 4: no\n, message: \"so\\nno\\n\""


async def test_exec_of_a_probe_knows_the_variables_of_the_pod() -> None:
    runtime = Runtime(ExecResult(0, b"", b""))
    await Hooks(runtime, SystemClock()).exec("id", ("cat", "$(FILE)", "$$(FILE)", "$(X)"), 1, {"FILE": "/a"})
    assert runtime.asked == [("cat", "/a", "$(FILE)", "$(X)")]


async def test_an_exec_that_the_runtime_cannot_make_says_nothing_of_the_container() -> None:
    assert (await hooks(RuntimeRefused("UNKNOWN", "no such container")).exec("id", ("x",), 1)).error


async def test_redirects_are_followed_within_the_host(web: Web) -> None:
    action = core_v1.HTTPGetAction(port=web.port, path="/302?/200")
    assert (await hooks().http(action, container(), HOST)).output == "body"
    assert [target for target, _ in web.requests] == ["/302?/200", "/200"]
    web.requests.clear()
    elsewhere = core_v1.HTTPGetAction(port=web.port, path="/302?http://localhost:1/")
    answer = await hooks().http(elsewhere, container(), HOST)
    assert (answer.ok, answer.warning) == (True, True)
    assert answer.output == "Probe terminated redirects, Response body: body"
    assert len(web.requests) == 1


async def test_endless_redirects_are_a_success_with_a_warning(web: Web) -> None:
    answer = await hooks().http(core_v1.HTTPGetAction(port=web.port, path="/302?/302?/302"), container(), HOST)
    assert (answer.ok, answer.warning) == (True, True)


async def test_headers_are_the_kubelets_unless_the_pod_says_other_ones(web: Web) -> None:
    await hooks().http(core_v1.HTTPGetAction(port=web.port, path="/200"), container(), HOST)
    _, sent = web.requests[-1]
    assert sent == [f"Host: {HOST}:{web.port}", "User-Agent: kube-probe/1.37", "Accept: */*", "Connection: close"]
    headers = [("Host", "web.example"), ("Accept", ""), ("user-agent", "me"), ("X-A", "1"), ("X-A", "2")]
    own = tuple(core_v1.HTTPHeader(name=n, value=v) for n, v in headers)
    await hooks().http(core_v1.HTTPGetAction(port=web.port, path="/200", httpHeaders=own), container(), HOST)
    _, sent = web.requests[-1]
    assert sent == ["Connection: close", "Host: web.example", "user-agent: me", "X-A: 1", "X-A: 2"]


async def test_a_hook_takes_any_answer_and_falls_back_to_http_with_an_event(web: Web) -> None:
    told: list[str] = []
    secret = (core_v1.HTTPHeader(name="Authorization", value="x"),)
    action = core_v1.HTTPGetAction(port=web.port, path="/500", scheme="HTTPS", httpHeaders=secret)
    made = hooks()
    hook = core_v1.LifecycleHandler(httpGet=action)
    await made.run(hook, container(), "id", HOST, lambda reason, message: told.append(f"{reason}: {message}"))
    where = f"{HOST}:{web.port}"
    assert told == [
        f"LifecycleHTTPFallback: request to HTTPS lifecycle hook {where} got HTTP response, retry with HTTP succeeded"
    ]
    _, sent = web.requests[-1]
    assert "User-Agent: kube-lifecycle/1.37" in sent
    assert not [line for line in sent if line.startswith("Authorization")]
    answer = await made.http(action, container(), HOST)
    assert answer.output.endswith("http: server gave HTTP response to HTTPS client")


async def test_a_server_that_says_nothing_is_late(unused_tcp_port: int) -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(listen, HOST, unused_tcp_port)
    async with silent:
        answer = await hooks().http(core_v1.HTTPGetAction(port=unused_tcp_port), container(), HOST, 0.05)
    assert answer.output == (
        f'Get "http://{HOST}:{unused_tcp_port}/": '
        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    )


async def test_ipv6_targets_stand_in_brackets() -> None:
    asked = request_for("http", "fd00::1", 80, "x", [], "me")
    assert asked.url == "http://[fd00::1]:80/x"
    assert ("Host", "[fd00::1]:80") in asked.headers


async def test_tcp_is_no_lifecycle_hook() -> None:
    hook = core_v1.LifecycleHandler(tcpSocket=core_v1.TCPSocketAction(port=80))
    with pytest.raises(HookFailed, match="invalid handler") as caught:
        await hooks().run(hook, container(), "id", HOST, untold)
    assert caught.value.told("c", "p").startswith("Cannot run handler: invalid handler: ")


async def test_a_hook_that_reaches_nobody_says_where_it_asked(unused_tcp_port: int) -> None:
    hook = core_v1.LifecycleHandler(httpGet=core_v1.HTTPGetAction(port=unused_tcp_port, path="/up"))
    with pytest.raises(HookFailed) as caught:
        await hooks().run(hook, container(), "id", HOST, untold)
    told = caught.value.told("c", "p")
    assert told.startswith('HTTP lifecycle hook (/up) for Container "c" in Pod "p" failed - error: Get "http://')


@pytest.mark.parametrize(("status", "ok"), [(1, True), (2, False)])
async def test_grpc_asks_for_health(status: int, ok: bool) -> None:
    asked: list[bytes] = []

    async def check(request: bytes, context: object) -> bytes:
        asked.append(request)
        return bytes([8, status])

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        answer = await hooks().grpc(core_v1.GRPCAction(port=port, service="db"), HOST)
    finally:
        await server.stop(None)
    assert answer.ok is ok
    assert asked == [b"\x0a\x02db"]
    if not ok:
        assert answer.output == 'service unhealthy (responded with "NOT_SERVING")'
