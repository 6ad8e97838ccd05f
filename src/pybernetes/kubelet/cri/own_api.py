"""Calls of containerd's own API, on the socket of CRI: what CRI of 1.6 cannot. snapshots.py and tasks.py make them.

Their few messages are written by hand, as in events.py.
"""

import grpc
import grpc.aio

_NAMESPACE = (("containerd-namespace", "k8s.io"),)
_TIMEOUT = 30.0


async def ask(channel: grpc.aio.Channel, method: str, request: bytes) -> bytes:
    """One call of `/containerd.services.<service>.v1.<Service>/<Method>`. Raises AioRpcError."""
    call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    answer: bytes = await call(request, timeout=_TIMEOUT, metadata=_NAMESPACE)
    return answer
