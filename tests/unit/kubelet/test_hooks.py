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

HOST = "127.0.0.1"


class Runtime:
    """Answers exec with what it is given."""

    def __init__(self, answer: ExecResult | Exception) -> None:
        self._answer = answer

    async def exec(self, container: str, command: tuple[str, ...], timeout: float) -> ExecResult:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def hooks(answer: ExecResult | Exception | None = None) -> Hooks:
    return Hooks(Runtime(answer or ExecResult(0, b"", b"")), SystemClock())


@pytest_asyncio.fixture
async def web() -> AsyncIterator[int]:
    """The port of a server whose answer is the status in the path."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 " + line.split()[1][1:] + b" X\r\n\r\nbody")
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("status", "ok"), [(200, True), (302, True), (404, False), (500, False)])
async def test_http_succeeds_from_200_to_399(web: int, status: int, ok: bool) -> None:
    answer = await hooks().http(core_v1.HTTPGetAction(port=web, path=f"/{status}"), container(), HOST)
    assert answer.ok is ok
    if not ok:
        assert answer.output == f"HTTP probe failed with statuscode: {status}"


async def test_a_port_may_be_named_and_must_be_known(web: int) -> None:
    named = container(ports=(core_v1.ContainerPort(name="web", containerPort=web),))
    assert (await hooks().http(core_v1.HTTPGetAction(port="web", path="/200"), named, HOST)).ok
    assert (await hooks().tcp(core_v1.TCPSocketAction(port="web"), named, HOST)).ok
    assert (await hooks().http(core_v1.HTTPGetAction(port="x"), named, HOST)).output == "couldn't find port: x"
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
    with pytest.raises(HookFailed, match="no"):
        await hooks(ExecResult(1, b"no", b"")).run(hook, container(), "id", HOST)


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
