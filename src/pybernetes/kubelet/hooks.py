"""What runs at a container on the kubelet's behalf: exec, HTTP, TCP and gRPC actions of lifecycle hooks and probes.

See "Container Lifecycle Hooks" and "Liveness, Readiness and Startup Probes". http_get.py speaks HTTP; probes/prober.py
counts the answers.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

import grpc
import grpc.aio
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cri.model import ExecResult, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.environment import expand
from pybernetes.kubelet.http_get import BODY_LIMIT, Asked, HttpGet, PlainAnswer, dial_error, request_for
from pybernetes.rules.goquote import quoted
from pybernetes.wire.http import join_host_port

_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""A HealthCheckResponse with status 1, as protobuf: too little for compiled messages."""
_HEALTH_NAMES = {b"\x08\x02": "NOT_SERVING", b"\x08\x03": "SERVICE_UNKNOWN"}

Tell = Callable[[str, str], None]
"""Records a warning about the container: reason, message."""


class HookFailed(Exception):
    """A hook did not succeed. `hook` says which: empty for one of a kind that cannot be run."""

    def __init__(self, hook: str, why: str) -> None:
        super().__init__(f"{hook} failed - error: {why}")
        self.hook = hook
        self.why = why

    def told(self, container: str, pod: str) -> str:
        """In upstream's words, for the status of the container; `pod` is its full name."""
        if not self.hook:
            return f"Cannot run handler: {self.why}"
        return f"{self.hook} for Container {quoted(container)} in Pod {quoted(pod)} failed - error: {self.why}"


class Answer(Struct, frozen=True):
    """Outcome of one probe or hook action."""

    ok: bool
    output: str = ""
    warning: bool = False
    """It is a success that somebody should hear of."""
    error: bool = False
    """Nothing was learnt of the container: the action itself could not be done."""
    ended: str = ""
    """How a command ended that did not succeed."""


class Exec(Protocol):
    """Runs a command in a container: cri.model.PodRuntime."""

    async def exec(self, container: str, command: tuple[str, ...], timeout: float) -> ExecResult: ...


class Hooks:
    """Actions at containers. TLS is not verified: nobody could know a Pod's certificate."""

    def __init__(self, runtime: Exec, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._get = HttpGet()

    async def run(
        self, hook: core_v1.LifecycleHandler, container: core_v1.Container, id: str, ip: str, tell: Tell
    ) -> None:
        """A lifecycle hook. Raises HookFailed."""
        if hook.sleep is not None:
            await self._clock.sleep(hook.sleep.seconds)
        elif hook.exec is not None:
            answer = await self.exec(id, hook.exec.command, 0)
            if not answer.ok:
                why, said = (answer.ended, answer.output) if answer.ended else (answer.output, "")
                hooked = f"Exec lifecycle hook ([{' '.join(hook.exec.command)}])"
                raise HookFailed(hooked, f"{why}, message: {quoted(said)}")
        elif hook.httpGet is not None:
            await self._http_hook(hook.httpGet, container, ip, tell)
        else:
            raise HookFailed("", "invalid handler: only exec, httpGet and sleep are supported")

    async def _http_hook(
        self, action: core_v1.HTTPGetAction, container: core_v1.Container, ip: str, tell: Tell
    ) -> None:
        """Any answer is a success. An HTTPS port that speaks HTTP is asked in HTTP, as kubelets of old did."""
        hooked = f"HTTP lifecycle hook ({action.path or ''})"
        asked = _asked(action, container, ip, "kube-lifecycle/1.37")
        if asked is None:
            raise HookFailed(hooked, f"couldn't find port: {action.port}")
        try:
            await self._get.follow(asked)
        except PlainAnswer:
            try:
                await self._get.follow(asked.plain())
            except (OSError, EOFError, ValueError) as error:
                raise HookFailed(hooked, f'Get "{asked.url}": {dial_error(error, asked.where)}') from None
            metrics.FALLBACKS.add()
            message = f"request to HTTPS lifecycle hook {asked.where} got HTTP response, retry with HTTP succeeded"
            tell("LifecycleHTTPFallback", message)
        except (OSError, EOFError, ValueError) as error:
            raise HookFailed(hooked, f'Get "{asked.url}": {dial_error(error, asked.where)}') from None

    async def exec(
        self, id: str, command: tuple[str, ...], timeout: float, known: Mapping[str, str] | None = None
    ) -> Answer:
        """A command in the container; 0 is success. `known` are the variables that `$(NAME)` in it may mean."""
        if known is not None:
            command = tuple(expand(word, known) for word in command)
        try:
            result = await self._runtime.exec(id, command, timeout)
        except RuntimeUnavailable as away:
            return Answer(False, str(away), error=True)
        except RuntimeRefused as refused:
            if refused.code == "DEADLINE_EXCEEDED" or "timed out" in refused.message:
                return Answer(False, f"command timed out: {quoted(' '.join(command))} timed out after {timeout:g}s")
            return Answer(False, refused.rpc, error=True)
        output = (result.stdout + result.stderr)[:BODY_LIMIT].decode(errors="replace")
        if result.exit_code == 0:
            return Answer(True, output)
        complaint = result.stderr[:BODY_LIMIT].decode(errors="replace")
        return Answer(False, output, ended=f"command '{' '.join(command)}' exited with {result.exit_code}: {complaint}")

    async def http(
        self, action: core_v1.HTTPGetAction, container: core_v1.Container, ip: str, timeout: float = 1.0
    ) -> Answer:
        """GET; 200 to 399 is success. Redirects are followed within the host; another host is a warning."""
        if action.protocol is not None:
            return Answer(False, f"httpGet with protocol {quoted(action.protocol)} is not supported", error=True)
        asked = _asked(action, container, ip, "kube-probe/1.37")
        if asked is None:
            return Answer(False, f"port {quoted(str(action.port))} not found", error=True)
        try:
            async with asyncio.timeout(timeout):
                status, body = await self._get.follow(asked)
        except TimeoutError:
            late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return Answer(False, f'Get "{asked.url}": {late}')
        except (OSError, EOFError, ValueError) as error:
            return Answer(False, f'Get "{asked.url}": {dial_error(error, asked.where)}')
        if 300 <= status < 400:
            return Answer(True, f"Probe terminated redirects, Response body: {body}", warning=True)
        if 200 <= status < 300:
            return Answer(True, body)
        return Answer(False, f"HTTP probe failed with statuscode: {status}")

    async def tcp(
        self, action: core_v1.TCPSocketAction, container: core_v1.Container, ip: str, timeout: float = 1.0
    ) -> Answer:
        """A connection that is accepted."""
        host = action.host or ip
        port = port_number(action.port, container)
        if port is None:
            return Answer(False, f"port {quoted(str(action.port))} not found", error=True)
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return Answer(False, f"dial tcp {join_host_port(host, port)}: i/o timeout")
        except OSError as error:
            return Answer(False, dial_error(error, join_host_port(host, port)))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return Answer(True)

    async def grpc(self, action: core_v1.GRPCAction, ip: str, timeout: float = 1.0) -> Answer:
        """A health check (grpc.health.v1) that answers SERVING."""
        where = join_host_port(ip, action.port)
        service = (action.service or "").encode()
        request = b"\x0a" + _varint(len(service)) + service if service else b""
        options = (("grpc.primary_user_agent", "kube-probe/1.37"), ("grpc.enable_http_proxy", 0))
        try:
            async with asyncio.timeout(timeout), grpc.aio.insecure_channel(where, options=options) as channel:
                await channel.channel_ready()
                check = channel.unary_unary(_HEALTH, request_serializer=bytes, response_deserializer=bytes)
                try:
                    said = bytes(await check(request))
                except grpc.aio.AioRpcError as error:
                    return Answer(False, _rpc_error(error, timeout))
        except TimeoutError:
            late = f"within {timeout:g}s: context deadline exceeded"
            return Answer(False, f"timeout: failed to connect service {quoted(where)} {late}")
        if said == _SERVING:
            return Answer(True)
        return Answer(False, f"service unhealthy (responded with {quoted(_HEALTH_NAMES.get(said, 'UNKNOWN'))})")


def _rpc_error(error: grpc.aio.AioRpcError, timeout: float) -> str:
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        name = "grpc.health.v1.Health"
        return f"error: this server does not implement the grpc health protocol ({name}): {error.details()}"
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {timeout:g}s"
    return f"error: health rpc probe failed: {error.details()}"


def _varint(number: int) -> bytes:
    """A number as protobuf writes lengths."""
    rest, low = number >> 7, number & 0x7F
    return bytes([low]) if not rest else bytes([low | 0x80]) + _varint(rest)


def _asked(action: core_v1.HTTPGetAction, container: core_v1.Container, ip: str, agent: str) -> Asked | None:
    port = port_number(action.port, container)
    if port is None:
        return None
    headers = [(h.name, h.value) for h in action.httpHeaders]
    return request_for((action.scheme or "HTTP").lower(), action.host or ip, port, action.path or "", headers, agent)


def port_number(port: int | str, container: core_v1.Container) -> int | None:
    """A port by number or by the name of one of the container's ports."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    return next((p.containerPort for p in container.ports if p.name == port), None)
