"""Secret: confidential data for Pods; each type demands keys of its own."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.resources.core.configmaps import MAX_SIZE, SET, decoded_size
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable

ACCOUNT_NAME = "kubernetes.io/service-account.name"
_TLS = "kubernetes.io/tls"


def _default(obj: Object) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _validate(obj: Object) -> FieldErrors:
    data = obj.get("data") or {}
    for key in data:
        yield from check(f"data[{key}]", key, names.config_key(key))
    if sum(map(decoded_size, data.values())) > MAX_SIZE:
        yield too_long("data", MAX_SIZE)
    rule = _BY_TYPE.get(obj.get("type", ""))
    if rule is not None:
        yield from rule(obj, data)


def _account(obj: Object, data: Mapping[str, Any]) -> FieldErrors:
    if not (obj["metadata"].get("annotations") or {}).get(ACCOUNT_NAME):
        yield required(f"metadata.annotations[{ACCOUNT_NAME}]")


def _json(data: Mapping[str, Any], key: str) -> FieldErrors:
    if key not in data:
        yield required(f"data[{key}]")
        return
    fault = _json_fault(_plain(data, key))
    if fault:
        yield invalid_value(f"data[{key}]", "<secret contents redacted>", fault)


_GO_WORDS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Extra data": "after top-level value",
}
_GO_TYPES = {list: "array", str: "string", int: "number", float: "number", bool: "bool"}


def _json_fault(raw: bytes) -> str:
    """What Go says of text that is no JSON object, empty for one that is."""
    text = raw.decode(errors="replace")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()):
            return "unexpected end of JSON input"
        return f"invalid character '{text[error.pos]}' {_GO_WORDS.get(error.msg, 'in string literal')}"
    except RecursionError:
        return "exceeded max depth"
    if found is None or isinstance(found, dict):
        return ""
    return f"json: cannot unmarshal {_GO_TYPES[type(found)]} into Go value of type map[string]interface {{}}"


def _plain(data: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(data.get(key) or "")
    except binascii.Error:
        return b""


def _basic(obj: Object, data: Mapping[str, Any]) -> FieldErrors:
    if "username" not in data and "password" not in data:
        yield required("data[username]")
        yield required("data[password]")


def _ssh(obj: Object, data: Mapping[str, Any]) -> FieldErrors:
    if not data.get("ssh-privatekey"):
        yield required("data[ssh-privatekey]")


def _tls(obj: Object, data: Mapping[str, Any]) -> FieldErrors:
    for key in ("tls.crt", "tls.key"):
        if key not in data:
            yield required(f"data[{key}]")


_BY_TYPE = {
    "kubernetes.io/service-account-token": _account,
    "kubernetes.io/dockercfg": lambda obj, data: _json(data, ".dockercfg"),
    "kubernetes.io/dockerconfigjson": lambda obj, data: _json(data, ".dockerconfigjson"),
    "kubernetes.io/basic-auth": _basic,
    "kubernetes.io/ssh-auth": _ssh,
    _TLS: _tls,
}


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("type", obj.get("type"), old.get("type"))
    if old.get("immutable"):
        if not obj.get("immutable"):
            yield field_forbidden("immutable", SET)
        if (obj.get("data") or {}) != (old.get("data") or {}):
            yield field_forbidden("data", SET)


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    """A pair that no server could use is stored all the same."""
    if obj.get("type") == _TLS:
        data = obj.get("data") or {}
        for key, called in (("tls.crt", "certificate"), ("tls.key", "key")):
            if b"-----BEGIN " not in _plain(data, key):
                yield f"tls: failed to find any PEM data in {called} input"
                return


RESOURCE = Resource(
    group="",
    plural="secrets",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    warn=_warn,
    generation=False,
    columns=(
        Column("Type", lambda obj: obj.get("type", ""), description="Used to facilitate programmatic handling."),
        Column("Data", lambda obj: len(obj.get("data") or {}), description="Number of keys in data."),
        AGE,
    ),
    selectable_fields={"type": lambda obj: obj.get("type", "")},
)
