"""Reading and writing a Pod in protobuf, against parsing and writing its JSON, which is done in C."""

from collections.abc import Sequence

import orjson

from bench import Benchmark, Row, microseconds
from bench.canonical import POD, pod
from pybernetes.api.canonical import canonicalize
from pybernetes.wire.codecs import protobuf


def run() -> Sequence[Row]:
    """A row each way; what is read is canonical, as the door of the API server makes it of JSON."""
    obj = canonicalize(pod(), POD).object
    message, text = protobuf.encode(obj, POD), orjson.dumps(obj)
    reading = microseconds(lambda: protobuf.decode(message, POD), calls=1000)
    door = microseconds(lambda: canonicalize(orjson.loads(text), POD), calls=1000)
    writing = microseconds(lambda: protobuf.encode(obj, POD), calls=1000)
    written = microseconds(lambda: orjson.dumps(obj), calls=1000)
    size = f"{len(message) / 1000:.1f} kB"
    return [Row(f"read {size} of protobuf", reading, door), Row(f"write {size} of protobuf", writing, written)]


BENCHMARK = Benchmark("codecs", "a Pod in protobuf; floor: the same in JSON, made canonical where it is read", run)
