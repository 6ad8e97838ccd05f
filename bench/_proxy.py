"""A proxy in front of containerd's socket that is slow, refuses, and loses answers: faults of the runtime, made at will.

Speaks gRPC without knowing the messages: bytes in, bytes out. The kubelet is given `endpoint` in the place of containerd's.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from msgspec import Struct

_LIMIT = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_NAMESPACE = "containerd-namespace"
"""What calls of containerd's own API carry beside their message."""
_STREAMS = ("/containerd.services.events.v1.Events/Subscribe",)


class Trouble(Struct, frozen=True):
    """What happens to calls. Chances are between 0 and 1, each call rolls once for each."""

    slow: float = 0.0
    """Seconds at most that a call waits before it goes on, by chance."""
    refuse: float = 0.0
    """The call is not made, its answer is an error."""
    lose: float = 0.0
    """The call is made, and its answer is lost."""
    only: tuple[str, ...] = ()
    """Methods that this concerns (`StartContainer`); all where empty."""


class FaultyRuntime:
    """`async with` it; `trouble` may be changed at any time. `calls` counts methods by name."""

    def __init__(self, socket: Path, behind: str, seed: int = 0) -> None:
        self.endpoint = f"unix://{socket}"
        self.trouble = Trouble()
        self.calls: dict[str, int] = {}
        self._behind = behind
        self._socket = socket
        self._chance = random.Random(seed)
        self._server: grpc.aio.Server | None = None
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> "FaultyRuntime":
        self._channel = grpc.aio.insecure_channel("unix:" + self._behind.removeprefix("unix://"), options=_LIMIT)
        self._server = grpc.aio.server(options=_LIMIT)
        self._server.add_generic_rpc_handlers((_Handler(self),))
        self._server.add_insecure_port(f"unix:{self._socket}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.stop(None)
        if self._channel is not None:
            await self._channel.close(None)

    async def call(self, method: str, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        """Passes one call on, or not."""
        assert self._channel is not None
        name = method.rpartition("/")[2]
        self.calls[name] = self.calls.get(name, 0) + 1
        trouble = self.trouble
        concerned = not trouble.only or name in trouble.only
        if concerned and trouble.slow:
            await asyncio.sleep(self._chance.random() * trouble.slow)
        if concerned and self._chance.random() < trouble.refuse:
            await context.abort(grpc.StatusCode.UNKNOWN, f"the proxy refuses {name}")
        passed = self._channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        try:
            told = [pair for pair in context.invocation_metadata() or () if pair[0] == _NAMESPACE]
            answer = bytes(await passed(request, timeout=context.time_remaining(), metadata=told))
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
            raise
        if concerned and self._chance.random() < trouble.lose:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the proxy lost the answer of {name}")
        return answer

    async def stream(self, method: str, request: bytes) -> AsyncIterator[bytes]:
        """Passes a stream on as it is."""
        assert self._channel is not None
        passed = self._channel.unary_stream(method, request_serializer=bytes, response_deserializer=bytes)
        async for message in passed(request):
            yield bytes(message)


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg] # generic in the stubs alone
    def __init__(self, proxy: FaultyRuntime) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method in _STREAMS:

            async def stream(request: bytes, context: object) -> AsyncIterator[bytes]:
                async for message in self._proxy.stream(method, request):
                    yield message

            return grpc.unary_stream_rpc_method_handler(stream)

        async def call(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            return await self._proxy.call(method, request, context)

        return grpc.unary_unary_rpc_method_handler(call)
