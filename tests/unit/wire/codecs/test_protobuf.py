"""Protobuf: bytes as Go writes them, the envelope, and what is malformed. test_laws.py has the round trips."""

import base64
from typing import Any

import pytest

from pybernetes.api.canonical import canonicalize
from pybernetes.api.errors import BadRequest, UnsupportedMediaType
from pybernetes.api.objects import GroupVersionKind
from pybernetes.wire.codecs import protobuf

CORE = "io.k8s.api.core.v1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."


def encoded(obj: dict[str, Any], name: str) -> bytes:
    return protobuf.encode(canonicalize(obj, name).object, name)


@pytest.mark.parametrize(
    ("name", "obj", "data"),
    [
        # Scalars that are no pointers are written even when zero; pointers only when set.
        (CORE + "ContainerPort", {"containerPort": 80}, b"\x0a\x00\x10\x00\x18\x50\x22\x00\x2a\x00"),
        (META + "Preconditions", {"uid": "u"}, b"\x0a\x01u"),
        (META + "Preconditions", {}, b""),
        # A struct by value is there even when empty; the name of a reference sits in a message of its own.
        (CORE + "SecretKeySelector", {"name": "s", "key": "k"}, b"\x0a\x03\x0a\x01s\x12\x01k"),
        (CORE + "Volume", {"name": "v", "emptyDir": {}}, b"\x0a\x01v\x12\x04\x12\x02\x0a\x00"),
    ],
)
def test_bytes_are_those_of_go(name: str, obj: dict[str, Any], data: bytes) -> None:
    found = encoded(obj, name)
    assert found == data
    assert protobuf.decode(found, name) == canonicalize(obj, name).object


def test_a_port_is_a_message_of_three_whether_number_or_name() -> None:
    assert b"\x22\x07\x08\x01\x10\x00\x1a\x01w" in encoded({"port": 1, "targetPort": "w"}, CORE + "ServicePort")
    assert b"\x22\x06\x08\x00\x10\x50\x1a\x00" in encoded({"port": 1, "targetPort": 80}, CORE + "ServicePort")


def test_maps_are_sorted_entries_and_quantities_messages() -> None:
    limits = encoded({"limits": {"memory": "1Gi", "cpu": "1"}}, CORE + "ResourceRequirements")
    assert limits == b"\x0a\x0a\x0a\x03cpu\x12\x03\x0a\x011\x0a\x0f\x0a\x06memory\x12\x05\x0a\x031Gi"


def test_a_time_has_seconds_and_nanoseconds_and_an_unset_one_is_empty() -> None:
    meta = encoded({"creationTimestamp": "1970-01-01T00:02:00Z"}, META + "ObjectMeta")
    assert b"\x42\x04\x08\x78\x10\x00" in meta
    assert b"\x42\x00" in encoded({}, META + "ObjectMeta")
    lease = encoded({"spec": {"renewTime": "1970-01-01T00:00:01.000002Z"}}, "io.k8s.api.coordination.v1.Lease")
    assert b"\x08\x01\x10\xd0\x0f" in lease


def test_whole_seconds_are_what_a_time_keeps_of_the_wire() -> None:
    with_nanos = b"\x42\x06\x08\x78\x10\xff\xff\x01"
    assert protobuf.decode(with_nanos, META + "ObjectMeta") == {"creationTimestamp": "1970-01-01T00:02:00Z"}


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b"\x08\x02\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "1970-01-01T00:00:01.999999Z"),
        (b"\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01", None),  # the first second of the year 1
        (b"\x0a\x01x\x12\x01y", "1970-01-01T00:00:00.000000Z"),
    ],
    ids=["before its second", "zero", "texts instead of numbers"],
)
def test_whatever_a_time_holds_is_a_time(message: bytes, found: str | None) -> None:
    spec = b"\x22" + bytes((len(message),)) + message
    lease = protobuf.decode(b"\x12" + bytes((len(spec),)) + spec, "io.k8s.api.coordination.v1.Lease")
    assert lease["spec"].get("renewTime") == found


def test_secrets_are_bytes_on_the_wire_and_base64_in_json() -> None:
    secret = {"data": {"a": base64.b64encode(b"\x00\xff").decode()}}
    data = encoded(secret, CORE + "Secret")
    assert b"\x12\x07\x0a\x01a\x12\x02\x00\xff" in data
    assert protobuf.decode(data, CORE + "Secret")["data"] == secret["data"]


def test_extra_values_are_messages_of_strings() -> None:
    name = "io.k8s.api.authentication.v1.UserInfo"
    data = encoded({"username": "u", "extra": {"k": ["a", "b"]}}, name)
    assert b"\x22\x0b\x0a\x01k\x12\x06\x0a\x01a\x0a\x01b" in data
    assert protobuf.decode(data, name)["extra"] == {"k": ["a", "b"]}


def test_raw_json_travels_as_bytes() -> None:
    name = "io.k8s.api.apps.v1.ControllerRevision"
    data = encoded({"data": {"b": 1, "a": None}, "revision": 1}, name)
    assert b'\x12\x12\x0a\x10{"b":1,"a":null}' in data
    assert protobuf.decode(data, name)["data"] == {"b": 1, "a": None}


def test_unions_of_schemas_come_back_as_they_were() -> None:
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    obj = {
        "items": {"type": "string"},
        "additionalProperties": False,
        "dependencies": {"a": ["b"], "c": {"type": "object"}},
        "default": {"x": [1, None]},
        "enum": ["a", 1, None],
        "x-kubernetes-preserve-unknown-fields": True,
        "maximum": 1.5,
    }
    assert protobuf.decode(encoded(obj, name), name) == canonicalize(obj, name).object


def test_the_envelope_names_the_kind_and_holds_the_message() -> None:
    body = protobuf.encode_object(canonicalize({"data": {"a": "1"}}, CORE + "ConfigMap").object, CORE + "ConfigMap")
    assert body.startswith(b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12")
    assert body.endswith(b"\x1a\x00\x22\x00")
    assert protobuf.unwrap(body).gvk == GroupVersionKind("", "v1", "ConfigMap")
    assert protobuf.decode_object(body)["data"] == {"a": "1"}


def test_options_keep_the_group_version_they_came_in() -> None:
    raw = b"\x08\x00\x22\x06Orphan"
    body = protobuf.wrap(raw, "apps/v1", "DeleteOptions")
    found = protobuf.decode_object(body)
    assert found["apiVersion"] == "apps/v1"
    assert (found["gracePeriodSeconds"], found["propagationPolicy"]) == (0, "Orphan")


def test_unknown_fields_of_newer_clients_are_skipped() -> None:
    data = b"\x0a\x01v" + b"\xf8\x7f\x05" + b"\xf9\x7f" + bytes(8) + b"\xfa\x7f\x01x" + b"\xfd\x7f" + bytes(4)
    assert protobuf.decode(data, CORE + "EnvVar")["name"] == "v"


@pytest.mark.parametrize(
    "data", [b"\x0a", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x00\x00", b"\x0b", b"\x0a" + b"\xff" * 11, b"\xfa"]
)
def test_malformed_messages_are_bad_requests(data: bytes) -> None:
    with pytest.raises(BadRequest, match='ConfigMap in version "v1" cannot be handled as a ConfigMap: '):
        protobuf.decode(data, CORE + "ConfigMap")


@pytest.mark.parametrize("body", [b"", b"{}", b"k8s\x00\x0a\x7f", b"k8s\x00\x0a\x03\x12\x01\xff"])
def test_malformed_envelopes_are_bad_requests(body: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf.decode_object(body)


def test_a_frame_of_a_watch_is_its_length_and_the_event() -> None:
    frame = protobuf.watch_event("ADDED", b"k8s\x00x")
    assert frame == b"\x00\x00\x00\x10\x0a\x05ADDED\x12\x07\x0a\x05k8s\x00x"


def test_tables_have_no_protobuf_form() -> None:
    assert not protobuf.supported(META + "Table")
    with pytest.raises(UnsupportedMediaType):
        protobuf.encode({}, META + "Table")
