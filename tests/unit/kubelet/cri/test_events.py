"""containerd's events, read by hand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.kubelet.cri.events import Exit, RuntimeEvent, parse_envelope


def field(number: int, data: bytes) -> bytes:
    size = len(data)
    assert size < 1 << 14
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + data


def envelope(topic: str, event: bytes) -> bytes:
    any_ = field(1, b"containerd.events.TaskExit") + field(2, event)
    return field(1, b"\x08\x01") + field(2, b"k8s.io") + field(3, topic.encode()) + field(4, any_)


def test_the_end_of_a_container_is_told() -> None:
    stamp = b"\x08\x64" + b"\x10\x80\xca\xb5\xee\x01"
    event = field(1, b"abc") + field(2, b"abc") + b"\x18\x05" + b"\x20\x89\x01" + field(5, stamp)
    found = parse_envelope(envelope("/tasks/exit", event))
    assert found == RuntimeEvent("/tasks/exit", "abc", Exit(137, 100.5))


def test_the_end_of_an_exec_is_nobodys_end() -> None:
    event = field(1, b"abc") + field(2, b"exec-1")
    assert parse_envelope(envelope("/tasks/exit", event)) is None


def test_a_start_is_told() -> None:
    assert parse_envelope(envelope("/tasks/start", field(1, b"abc"))) == RuntimeEvent("/tasks/start", "abc")


def test_an_event_without_container_is_none() -> None:
    assert parse_envelope(envelope("/images/create", b"")) is None


@settings(max_examples=50)
@given(st.text(alphabet="0123456789abcdef", min_size=1, max_size=200))
def test_every_id_comes_through(id: str) -> None:
    event = field(1, id.encode()) + field(2, id.encode())
    assert parse_envelope(envelope("/tasks/exit", event)) == RuntimeEvent("/tasks/exit", id, Exit(0, 0.0))
