"""containerd's own event stream: what happened to which container, at once. CRI of 1.6 has none, so this asks
`/containerd.services.events.v1.Events/Subscribe` on the same socket. Next stop: the kubelet wakes the Pod's worker.

The three messages it needs are read by hand (fields.py).
"""

import logging
from collections.abc import AsyncIterator, Mapping

import grpc
import grpc.aio
from msgspec import Struct

from pybernetes.kubelet.cri.fields import fields, text
from pybernetes.kubelet.cri.model import RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.cri.runtime import channel

log = logging.getLogger(__name__)

_METHOD = "/containerd.services.events.v1.Events/Subscribe"
# Not /tasks/start: whatever starts here was started by this kubelet, which looks when the call returns.
_TOPICS = ("/tasks/exit", "/tasks/oom", "/containers/delete")
_NAMESPACE = "k8s.io"


class Exit(Struct, frozen=True):
    """How and when (seconds since 1970) a main process ended."""

    code: int
    at: float


class RuntimeEvent(Struct, frozen=True):
    """Something happened to a container or a sandbox. `topic` is containerd's: `/tasks/exit`."""

    topic: str
    container: str
    exit: Exit | None = None
    """The main process has ended. CRI learns it from the same stream, perhaps a moment later than we do."""


class EventSource:
    """Subscribes to one containerd. `stream()` ends by raising; the caller relists and subscribes again."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def stream(self) -> AsyncIterator[RuntimeEvent]:
        """Events as they come. Raises RuntimeUnavailable when the runtime goes away or has no such stream."""
        async with channel(self._endpoint) as opened:
            subscribe = opened.unary_stream(_METHOD, request_serializer=bytes, response_deserializer=bytes)
            try:
                async for envelope in subscribe(_request()):
                    event = parse_envelope(envelope)
                    if event is not None:
                        yield event
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    raise RuntimeRefused(
                        "UNIMPLEMENTED", "the runtime has no event stream of containerd's kind"
                    ) from None
                raise RuntimeUnavailable(f"event stream ended: {error.details()}") from None
        raise RuntimeUnavailable("event stream ended")


def _request() -> bytes:
    filters = [f'topic=="{topic}",namespace=={_NAMESPACE}' for topic in _TOPICS]
    return b"".join(text(1, f) for f in filters)


def parse_envelope(data: bytes) -> RuntimeEvent | None:
    """The topic of an Envelope and the container its event names; None where it names none or only an exec."""
    topic, named = "", dict[int, bytes | int]()
    for number, value in fields(data):
        if number == 3 and isinstance(value, bytes):
            topic = value.decode()
        elif number == 4 and isinstance(value, bytes):  # google.protobuf.Any: 2 is the message's bytes
            payload = dict(fields(value)).get(2, b"")
            named = dict(fields(payload)) if isinstance(payload, bytes) else {}
    container = _string(named.get(1))
    if not topic or not container:
        return None
    if topic != "/tasks/exit":
        return RuntimeEvent(topic, container)
    if _string(named.get(2)) != container:
        return None  # the end of an exec
    return RuntimeEvent(topic, container, _exit(named))


def _exit(named: Mapping[int, bytes | int]) -> Exit:
    """4 is the exit status, 5 a google.protobuf.Timestamp."""
    code, stamp = named.get(4, 0), named.get(5, b"")
    time = dict(fields(stamp)) if isinstance(stamp, bytes) else {}
    seconds, nanos = time.get(1, 0), time.get(2, 0)
    at = seconds + nanos / 1e9 if isinstance(seconds, int) and isinstance(nanos, int) else 0.0
    return Exit(code if isinstance(code, int) else 0, at)


def _string(value: bytes | int | None) -> str:
    return value.decode() if isinstance(value, bytes) else ""
