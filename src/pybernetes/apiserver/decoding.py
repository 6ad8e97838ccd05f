"""Decoding: the body of a write as a canonical dict, whatever it came as. writes.py and patching.py call it.

Null where Go has a value, unknown fields, duplicate fields, numbers that are strings: all of it is settled here, once.
"""

from typing import Any

import orjson
from msgspec import Struct

from pybernetes.api import schema
from pybernetes.api.errors import BadRequest, UnsupportedMediaType, invalid, invalid_value
from pybernetes.api.objects import GroupVersionKind, Object, split_api_version
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.form import Form
from pybernetes.apiserver.media import JSON, PROTOBUF, YAML
from pybernetes.apiserver.options import Validation
from pybernetes.wire.codecs import json, protobuf, yaml
from pybernetes.wire.http import Request

_NO_KIND = "couldn't get version/kind; json parse error"
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


class Document(Struct, frozen=True):
    """A decoded body and what strict decoding has against it."""

    value: Any
    problems: tuple[str, ...] = ()
    body: bytes = b""
    """The JSON that it was, where that tells in which order its problems are."""
    canonical: bool = False
    """A reader of protobuf makes nothing else."""


def canonical(served: Served, obj: Object, old: Object | None = None) -> Object:
    """The canonical form of what strategies and admission have worked on.

    Parts that are equal to those of `old`, which is canonical, are not walked: they are taken as they are.
    """
    form = (served if served.own_form else served.stored).form
    if old is None or not form.type_name:
        return form.walk(obj).object
    same = {name: value for name, value in obj.items() if name != "metadata" and name in old and value == old[name]}
    made = form.walk({name: value for name, value in obj.items() if name not in same}).object
    made.update(same)
    return {name: made[name] for name in schema.get(form.type_name).fields if name in made}


def decode(request: Request, form: Form) -> Document:
    """The body by its Content-Type, not yet canonical; `form` is what it should be. Raises BadRequest, 415."""
    media = request.media_type
    kinds = (JSON, YAML, PROTOBUF) if form.type_name else (JSON, YAML)
    try:
        if media in ("", JSON, "text/json"):
            return _identified(decode_json(request.body))
        if media in (YAML, "application/x-yaml", "text/yaml"):
            return _identified(Document(*yaml.decode_strictly(request.body)))
        if media == PROTOBUF and form.type_name:
            return Document(protobuf.decode_object(request.body, form.gvk), canonical=True)
    except BadRequest as error:
        if "cannot be handled as" in error.message:
            raise  # its kind is known, so the refusal names it
        why = error.message.removeprefix("error converting YAML to JSON: ")
        raise json.unrecognized(form.gvk.kind, why, request.body) from None
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(kinds)}"
    )


def decode_json(body: bytes, refused: str = _NO_KIND) -> Document:
    """JSON with the duplicate fields it has. Raises BadRequest: `<refused>: ...`."""
    value = json.decode(body, refused)
    try:
        return Document(value, json.duplicate_fields(body, value), body)
    except (TypeError, RecursionError):
        raise BadRequest(f"{refused}: exceeded max depth") from None


def _identified(document: Document) -> Document:
    """The document where its kind can be told: an object, or null, which is an empty one. Raises BadRequest."""
    value = document.value
    if value is None:
        return Document({}, document.problems)
    if not isinstance(value, dict):
        raise BadRequest(f"{_NO_KIND}: json: cannot unmarshal {_go_kind(value)} into Go value of type {_TYPE_META}")
    for name in ("kind", "apiVersion"):
        found = value.get(name)
        if found is not None and not isinstance(found, str):
            why = f"json: cannot unmarshal {_go_kind(found)} into Go struct field .{name} of type string"
            raise BadRequest(f"{_NO_KIND}: {why}")
    return document


def _go_kind(value: Any) -> str:
    """As encoding/json names a JSON value."""
    names = ((bool, "bool"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in names if isinstance(value, kind)), "number")


_FORMER = {("Eviction", "policy/v1"): "policy/v1beta1"}
"""A version in which a body may still come though it is no longer served: `kubectl drain` before 1.22 sends it."""


def decode_object(request: Request, form: Form, validation: Validation, warnings: list[str]) -> Object:
    """The canonical object of a body that must be of one kind. Raises BadRequest with every strict problem at once."""
    problems: list[str] = []
    obj = accept(decode(request, form), form, "Warn", problems)
    if problems and validation == "Strict":
        kind, why = form.gvk.kind, ", ".join(problems)
        text = f'{kind} in version "{form.gvk.version}" cannot be handled as a {kind}: strict decoding error: {why}'
        raise BadRequest(text)
    if validation == "Warn":
        warnings.extend(problems)
    return obj


def accept(document: Document, form: Form, validation: Validation, warnings: list[str]) -> Object:
    """A decoded document as an object of this kind: canonical, its strict problems refused or made warnings."""
    value = document.value
    if form.type_name:
        _check_kind(value, form.gvk)
    else:
        _check_custom_kind(value, form.gvk)
    if document.canonical:
        made: Object = value
        return made
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") == []:
        # The canonical form has no empty list, but this one means something: forget who owns what.
        value = {**value, "metadata": {**metadata, "managedFields": [{}]}}
    result = form.walk(value)
    problems = (*document.problems, *result.problems)
    if document.problems and document.body and form.type_name:
        problems = json.in_order(document.body, problems)
    report(problems, validation, warnings)
    return result.object


def report(problems: tuple[str, ...], validation: Validation, warnings: list[str]) -> None:
    """Strict refuses all problems in one text, Warn makes each a warning."""
    if not problems or validation == "Ignore":
        return
    if validation == "Strict":
        raise BadRequest(f"strict decoding error: {', '.join(problems)}")
    warnings.extend(problems)


def _check_kind(value: Object, gvk: GroupVersionKind) -> None:
    kind, version = value.get("kind") or gvk.kind, value.get("apiVersion") or gvk.api_version
    if not isinstance(kind, str) or not isinstance(version, str):
        raise BadRequest("couldn't get version/kind; json parse error: kind and apiVersion must be strings")
    former = _FORMER.get((gvk.kind, gvk.api_version))
    if version not in (gvk.api_version, former) and gvk.kind != "DeleteOptions":
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({gvk.api_version})"
        )
    if kind != gvk.kind:
        group, short = split_api_version(version)
        raise BadRequest(
            f'{kind} in version "{short}" cannot be handled as a {gvk.kind}: '
            f"converting ({short}.{kind}) to ({group.partition('.')[0] or 'core'}.{gvk.kind}): unknown conversion"
        )
    value["kind"], value["apiVersion"] = gvk.kind, gvk.api_version


def _check_custom_kind(value: Object, gvk: GroupVersionKind) -> None:
    """Custom objects must say what they are. Raises BadRequest, Invalid."""
    kind, version = value.get("kind"), value.get("apiVersion") or ""
    if not isinstance(kind or "", str) or not isinstance(version, str):
        raise BadRequest("couldn't get version/kind; json parse error: kind and apiVersion must be strings")
    if not kind:
        text = f"Object 'Kind' is missing in '{orjson.dumps(value).decode()}'"
        raise BadRequest(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: {text}')
    if version != gvk.api_version:
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({gvk.api_version})"
        )
    if kind != gvk.kind:
        metadata = value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else ""
        fault = invalid_value("kind", kind, f"must be {gvk.kind}")
        raise invalid(gvk.group, kind, name if isinstance(name, str) else "", [fault])
