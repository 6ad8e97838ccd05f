"""What runs at a container on the kubelet's behalf: exec, HTTP and TCP actions of lifecycle hooks and probes.

See "Container Lifecycle Hooks" and "Liveness, Readiness and Startup Probes".
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Protocol

import grpc
import grpc.aio
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import ExecResult, RuntimeRefused, RuntimeUnavailable

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 10 * 1024
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""A HealthCheckResponse with status 1, as protobuf: too little for compiled messages."""
_HEALTH_NAMES = {b"\x08\x02": "NOT_SERVING", b"\x08\x03": "SERVICE_UNKNOWN"}


class HookFailed(Exception):
    """A hook did not succeed; `str()` says why."""


class Answer(Struct, frozen=True):
    """Outcome of one probe or hook action."""

    ok: bool
    output: str = ""


class Exec(Protocol):
    """Runs a command in a container: cri.model.PodRuntime."""

    async def exec(self, container: str, command: tuple[str, ...], timeout: float) -> ExecResult: ...


class Hooks:
    """Actions at containers. TLS is not verified: nobody could know a Pod's certificate."""

    def __init__(self, runtime: Exec, clock: Clock, node_name: str = "") -> None:
        self._runtime = runtime
        self._clock = clock
        self._node_name = node_name
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    async def run(self, hook: core_v1.LifecycleHandler, container: core_v1.Container, id: str, ip: str) -> None:
        """A lifecycle hook. Raises HookFailed."""
        if hook.sleep is not None:
            await self._clock.sleep(hook.sleep.seconds)
        elif hook.exec is not None:
            answer = await self.exec(id, hook.exec.command, 0)
            if not answer.ok:
                raise HookFailed(f"Exec lifecycle hook ({list(hook.exec.command)}) failed: {answer.output}")
        elif hook.httpGet is not None:
            answer = await self.http(hook.httpGet, container, ip)
            if not answer.ok:
                raise HookFailed(answer.output)
        elif hook.tcpSocket is not None:
            raise HookFailed("tcpSocket is not supported as a lifecycle hook")

    async def exec(self, id: str, command: tuple[str, ...], timeout: float) -> Answer:
        """A command in the container; 0 is success."""
        try:
            result = await self._runtime.exec(id, command, timeout)
        except RuntimeUnavailable as away:
            return Answer(False, str(away))
        except RuntimeRefused as refused:
            if refused.code == "DEADLINE_EXCEEDED" or "timed out" in refused.message:
                return Answer(False, f"command timed out: {' '.join(command)!r} timed out after {timeout:g}s")
            return Answer(False, refused.rpc)
        output = (result.stdout + result.stderr)[:_BODY_LIMIT].decode(errors="replace")
        return Answer(result.exit_code == 0, output)

    async def http(self, action: core_v1.HTTPGetAction, container: core_v1.Container, ip: str) -> Answer:
        """GET; 200 to 399 is success."""
        host = action.host or ip
        port = port_number(action.port, container)
        if port is None:
            return Answer(False, f"couldn't find port: {action.port}")
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        scheme = (action.scheme or "HTTP").lower()
        path = action.path or "/"
        path = path if path.startswith("/") else f"/{path}"
        url = f"{scheme}://{shown}{path}"
        headers = {"host": shown, "user-agent": "kube-probe/1.37", "accept": "*/*", "connection": "close"}
        headers |= {h.name.lower(): h.value for h in action.httpHeaders}
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        try:
            status, body = await _get(host, port, head.encode(), self._tls if scheme == "https" else None)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            return Answer(False, f'Get "{url}": {_dial_error(error, shown)}')
        if 200 <= status < 400:
            return Answer(True, body)
        return Answer(False, f"HTTP probe failed with statuscode: {status}")

    async def tcp(self, action: core_v1.TCPSocketAction, container: core_v1.Container, ip: str) -> Answer:
        """A connection that is accepted."""
        host = action.host or ip
        port = port_number(action.port, container)
        if port is None:
            return Answer(False, f"couldn't find port: {action.port}")
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            return Answer(False, _dial_error(error, shown))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return Answer(True)

    async def grpc(self, action: core_v1.GRPCAction, ip: str) -> Answer:
        """A health check (grpc.health.v1) that answers SERVING."""
        where = f"[{ip}]:{action.port}" if ":" in ip else f"{ip}:{action.port}"
        service = (action.service or "").encode()
        request = bytes([0x0A, len(service)]) + service if service else b""
        async with grpc.aio.insecure_channel(where) as channel:
            check = channel.unary_unary(_HEALTH, request_serializer=bytes, response_deserializer=bytes)
            try:
                said = bytes(await check(request))
            except grpc.aio.AioRpcError as error:
                return Answer(False, f"error: health rpc probe failed: {error.details()}")
        if said == _SERVING:
            return Answer(True)
        return Answer(False, f"service unhealthy (responded with {_HEALTH_NAMES.get(said, 'UNKNOWN')!r})")


def _dial_error(error: BaseException, where: str) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {where}: connect: connection refused"
    return f"dial tcp {where}: {error}" if isinstance(error, OSError) else str(error) or type(error).__name__


async def _get(host: str, port: int, head: bytes, tls: ssl.SSLContext | None) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=_HEAD_LIMIT)
    try:
        writer.write(head)
        await writer.drain()
        line = await reader.readline()
        parts = line.split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/"):
            raise ValueError(f"malformed HTTP response {line[:50]!r}")
        with suppress(OSError):
            while (await reader.readline()).strip():
                continue
            return int(parts[1]), (await reader.read(_BODY_LIMIT)).decode(errors="replace")
        return int(parts[1]), ""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def port_number(port: int | str, container: core_v1.Container) -> int | None:
    """A port by number or by the name of one of the container's ports."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    return next((p.containerPort for p in container.ports if p.name == port), None)
