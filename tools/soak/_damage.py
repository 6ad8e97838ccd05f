"""Ways of being wrong: what random requests do to good bodies, and to the bytes that carry them. _requests.py uses it."""

import json
import random
from collections.abc import Sequence
from typing import Any

import orjson

from pybernetes.wire.codecs import yaml

ODD: Sequence[Any] = (
    None, True, False, 0, -1, 1, 65536, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, 2**64, 1.5, -0.0, 1e308, 1e-300,
    "", "x", " ", "0", "-1", "10Ki", "1e999", "1e-999999", "a" * 300, "a" * 5000, "\x00", "\x7f", "ä☃𝄞", "\u202e", "\ud7ff",
    "2026-01-01T00:00:00Z", "9999-99-99T99:99:99Z", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00.000000Z", "P1D", "24h",
    "10.0.0.1", "::1", "::ffff:1.2.3.4", "10.0.0.0/33", "fd00::/300", "999.1.1.1", "0.0.0.0/0", "*", "*.a", "a/b/c", "a.b/c",
    "../..", "/", "http://[", "https://a:99999/", "{", "[", "(", "a{99999}", "self.x", "$(A)", "<none>", "None", "All", "Exists",
    "In", "TCP", "100%", "-5%", "101%", "1.0.0.1%", "YQ==", "YQ", "system:masters", "kubernetes.io/x", "Never", "default",
    [], [None], [[]], [{}], ["x", "x"], [1], {}, {"": ""}, {"a": None}, {"a": {"b": {"c": None}}}, {"x": [{"y": []}]},
)  # fmt: skip
_DIRECTIVES: Sequence[tuple[str, Any]] = (
    ("$patch", "delete"), ("$patch", "replace"), ("$patch", "merge"), ("$patch", "x"), ("$patch", 1),
    ("$retainKeys", ["name"]), ("$retainKeys", []), ("$retainKeys", "x"), ("$setElementOrder/containers", [{"name": "web"}]),
    ("$setElementOrder/containers", [None]), ("$setElementOrder/x", []), ("$deleteFromPrimitiveList/finalizers", ["orphan"]),
    ("$deleteFromPrimitiveList/finalizers", {}), ("$deleteFromPrimitiveList/x", [1]), ("$setElementOrder", 5), ("$", {}),
)  # fmt: skip
_YAML: Sequence[bytes] = (
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
    b"g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
    b"a: &a [*a]", b"a:\n\t- b", b"<<: {a: b}", b"<<: [1]", b"<<: *x", b"&x <<: *x", b"!!python/object:os.system x", b"!!binary x",
    b"? [a]\n: b", b"? {a: b}\n: c", b"--- a\n--- b", b"%YAML 9.9\n---\na", b"a: b: c", b"- a\nb", b"'", b'"\\x', b"|", b">9\nx",
    b"{" * 3000, b"[" * 100000, b"- " * 5000, b"a: " * 2000, b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"a: 0o9", b"a: 1:30:00",
    b"a: .inf", b"a: .nan", b"a: 1e400", b"~: a", b"1: a\n1.5: b\ntrue: c\nnull: d", b"a: !!set {x}", b"a: !!omap [x: 1]",
    b"a: !!timestamp 2026-01-01", b"a: !!float x", b"a: !!int x", b"a: !!null x", b"=: a", b"a: =", b"<<: <<", b"a: !!pairs [1]",
    b"!<tag:yaml.org,2002:map> [1]", b"!!map x", b"!!str {a: b}", b"!!seq {a: b}", b"!!bool x", b"a: !!int 0x", b"a: -0b",
)  # fmt: skip
_JSON: Sequence[bytes] = (
    b"", b"{", b"nul", b"NaN", b"[Infinity]", b"-", b"1e", b"01", b'"\\ud800"', b'{"a":"\\ud800"}', b'"\\', b"\x00", b"{}{}", b"{} x",
    b"[" * 100000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a":' * 900 + b"1" + b"}" * 900, b"9" * 10000, b'{"a":1e99999}',
    b'{"metadata":{"name":"a","name":"b"}}', b"\xef\xbb\xbf{}", b'{"\xff":"\xff"}', b"{'a': 1}", b"[1,]", b"// x\n{}", b"\x1f\x8b\x08",
    b'{"spec":{"spec":' * 300 + b"1" + b"}}" * 300, b'{"metadata":{"annotations":{"' + b"k" * 300_000 + b'":""}}}',
)  # fmt: skip


def spoiled(rng: random.Random, body: Any) -> Any:
    """A copy in which something deep inside has become something else, is gone, is there twice, or is new."""
    if isinstance(body, dict) and body and rng.random() < 0.85:
        key = rng.choice(list(body))
        return {**body, key: spoiled(rng, body[key])}
    if isinstance(body, list) and body and rng.random() < 0.85:
        index = rng.randrange(len(body))
        return [*body[:index], spoiled(rng, body[index]), *body[index + 1 :]]
    chance = rng.random()
    if isinstance(body, dict) and chance < 0.6:
        if chance < 0.3 and body:
            gone = rng.choice(list(body))
            return {key: value for key, value in body.items() if key != gone}
        return {**body, rng.choice(("x", "", "spec", "status", "metadata", "name", "a" * 300)): rng.choice(ODD)}
    if isinstance(body, list) and chance < 0.6:
        return [*body, *body] if chance < 0.3 else [*body, rng.choice(ODD)]
    if isinstance(body, str) and chance < 0.3:
        return rng.choice((body * 2, body.upper(), body + " ", body + "ä", body[:-1], f"-{body}", body * 100))
    if isinstance(body, int) and not isinstance(body, bool) and chance < 0.3:
        return rng.choice((-body, body + 1, body * 2**20, str(body), body + 0.5))
    if chance > 0.99:
        return nested(rng.choice((50, 250, 254, 300)))
    return rng.choice(ODD)


def nested(depth: int) -> Any:
    """Objects and lists inside each other."""
    value: Any = "x"
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


def directed(rng: random.Random, patch: Any) -> Any:
    """A strategic merge patch with a directive somewhere."""
    if isinstance(patch, dict) and (not patch or rng.random() < 0.4):
        name, value = rng.choice(_DIRECTIVES)
        return {**patch, name: value}
    if isinstance(patch, dict):
        key = rng.choice(list(patch))
        return {**patch, key: directed(rng, patch[key])}
    if isinstance(patch, list):
        name, value = rng.choice(_DIRECTIVES)
        return [*patch, {name: value}] if not patch or rng.random() < 0.5 else [directed(rng, patch[0]), *patch[1:]]
    return patch


def spoiled_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them changed, gone, or new; or others altogether."""
    chance = rng.random()
    if chance < 0.15:
        return rng.choice(_JSON if rng.random() < 0.5 else _YAML)
    if not data:
        return rng.randbytes(rng.randrange(20))
    at = rng.randrange(len(data))
    if chance < 0.3:
        return data[:at]
    if chance < 0.4:
        return (
            data[:at]
            + rng.choice((b"\xff", b"\x00", b"\xed\xa0\x80", b"\xc0\x80", b"\t", b"&a *a", b'"', b"{", b"\\u0000"))
            + data[at:]
        )
    if chance < 0.5:
        return data[:at] + data[at + rng.randrange(1, 9) :]
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def as_json(value: Any) -> bytes:
    """orjson writes no integers beyond 64 bits; such numbers are sent as floats."""
    try:
        return orjson.dumps(_writable(value))
    except TypeError:  # nested deeper than orjson writes
        return json.dumps(value).encode()


def as_yaml(value: Any) -> bytes:
    """The same as YAML."""
    try:
        return yaml.encode(_writable(value))
    except RecursionError:
        return as_json(value)


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_writable(item) for item in value]
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value
