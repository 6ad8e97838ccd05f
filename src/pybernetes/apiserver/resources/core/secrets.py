"""Secret: confidential data for Pods; each type demands keys of its own."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable

MAX_SIZE = 1024 * 1024
ACCOUNT_NAME = "kubernetes.io/service-account.name"


def _default(obj: Object) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {}) or {}
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})
        obj["data"] = data


def _validate(obj: Object) -> FieldErrors:
    data = obj.get("data") or {}
    for key in data:
        yield from check(f"data[{key}]", key, names.config_key(key))
    if sum(len(value) * 3 // 4 for value in data.values()) > MAX_SIZE:
        yield too_long("data", MAX_SIZE)
    rule = _BY_TYPE.get(obj.get("type", ""))
    if rule is not None:
        yield from rule(obj, data)


def _account(obj: Object, data: Mapping[str, Any]) -> FieldErrors:
    if not (obj["metadata"].get("annotations") or {}).get(ACCOUNT_NAME):
        yield required(f"metadata.annotations[{ACCOUNT_NAME}]")


def _json(obj: Object, data: Mapping[str, Any], key: str) -> FieldErrors:
    if key not in data:
        yield required(f"data[{key}]")
        return
    try:
        orjson.loads(base64.b64decode(data[key]))
    except (binascii.Error, orjson.JSONDecodeError) as error:
        yield invalid_value(f"data[{key}]", "<secret contents redacted>", str(error))


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
    "kubernetes.io/dockercfg": lambda obj, data: _json(obj, data, ".dockercfg"),
    "kubernetes.io/dockerconfigjson": lambda obj, data: _json(obj, data, ".dockerconfigjson"),
    "kubernetes.io/basic-auth": _basic,
    "kubernetes.io/ssh-auth": _ssh,
    "kubernetes.io/tls": _tls,
}


def _prepare(obj: Object, old: Object | None) -> None:
    if old is not None and not obj.get("type"):
        obj["type"] = old.get("type")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("type", obj.get("type"), old.get("type"))
    if old.get("immutable"):
        if not obj.get("immutable"):
            yield field_forbidden("immutable", "field is immutable when `immutable` is set")
        if (obj.get("data") or {}) != (old.get("data") or {}):
            yield field_forbidden("data", "field is immutable when `immutable` is set")


RESOURCE = Resource(
    group="",
    plural="secrets",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    generation=False,
    columns=(
        Column("Type", lambda obj: obj.get("type", ""), description="Used to facilitate programmatic handling."),
        Column("Data", lambda obj: len(obj.get("data") or {}), "integer", description="Number of keys in data."),
        AGE,
    ),
    selectable_fields={"type": lambda obj: obj.get("type", "")},
)
