"""gnostic: an OpenAPI v2 document as the protobuf message that client-go asks for (openapi.v2.Document). documents.py uses it.

Only what our documents hold is written: info, paths with operations and parameters, definitions, vendor extensions.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from pybernetes.api.objects import Object
from pybernetes.wire.codecs.varint import block, varint

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def head_bytes(version: str, info: Mapping[str, str]) -> bytes:
    """What an openapi.v2.Document begins with."""
    return _text(1, version) + block(2, _text(1, info["title"]) + _text(2, info["version"]))


def part_bytes(paths: Mapping[str, Any], definitions: Mapping[str, Any]) -> bytes:
    """Paths and definitions of an openapi.v2.Document; several such pieces may follow each other."""
    return block(8, _each(2, paths, _path_item)) + block(9, _each(1, definitions, _schema))


def _each(number: int, items: Mapping[str, Any], write: Any) -> bytes:
    """NamedX: name and value."""
    return b"".join(block(number, _text(1, name) + block(2, write(item))) for name, item in items.items())


def _path_item(item: Object) -> bytes:
    found = [block(number, _operation(item[method])) for method, number in _METHODS.items() if method in item]
    found += [block(9, _parameters_item(parameter)) for parameter in item.get("parameters", ())]
    return b"".join(found)


def _operation(operation: Object) -> bytes:
    parts = [_text(1, tag) for tag in operation.get("tags", ())]
    parts += [_text(3, operation.get("description", "")), _text(5, operation.get("operationId", ""))]
    parts += [_text(6, media) for media in operation.get("produces", ())]
    parts += [_text(7, media) for media in operation.get("consumes", ())]
    parts += [block(8, _parameters_item(parameter)) for parameter in operation.get("parameters", ())]
    parts.append(block(9, b"".join(_response(code, r) for code, r in operation["responses"].items())))
    parts += _extensions(13, operation)
    return b"".join(parts)


def _response(code: str, response: Object) -> bytes:
    found = _text(1, response["description"])
    if "schema" in response:
        found += block(2, block(1, _schema(response["schema"])))  # Response.schema: SchemaItem.schema
    return block(1, _text(1, code) + block(2, block(1, found)))  # ResponseValue.response


def _parameters_item(parameter: Object) -> bytes:
    """ParametersItem.parameter: a body parameter, or a non-body one of the query or the path."""
    if parameter["in"] == "body":
        body = b"".join(
            [
                _text(2, parameter["name"]),
                _text(3, "body"),
                _flag(4, bool(parameter.get("required"))),
                block(5, _schema(parameter["schema"])),
            ]
        )
        return block(1, block(1, body))
    if parameter["in"] == "path":
        # PathParameterSubSchema: required 1, in 2, name 4, type 5
        path = _flag(1, True) + _text(2, "path") + _text(4, parameter["name"]) + _text(5, parameter["type"])
        return block(1, block(2, block(4, path)))
    # QueryParameterSubSchema: required 1, in 2, description 3, name 4, allowEmptyValue 5, type 6
    query = _text(2, "query") + _text(4, parameter["name"]) + _text(6, parameter["type"])
    return block(1, block(2, block(3, query)))


_TEXTS = {1: "$ref", 2: "format", 3: "title", 4: "description", 13: "pattern"}
_NUMBERS = {6: "multipleOf", 7: "maximum", 9: "minimum"}
_COUNTS = {
    **{8: "exclusiveMaximum", 10: "exclusiveMinimum", 11: "maxLength", 12: "minLength", 14: "maxItems"},
    **{15: "minItems", 16: "uniqueItems", 17: "maxProperties", 18: "minProperties"},
}


def _schema(schema: Object) -> bytes:
    """openapi.v2.Schema."""
    parts = [_text(number, schema[name]) for number, name in _TEXTS.items() if schema.get(name)]
    if "default" in schema:
        parts.append(block(5, _any(schema["default"])))
    parts += [
        varint(number << 3 | 1) + struct.pack("<d", schema[name]) for number, name in _NUMBERS.items() if name in schema
    ]
    parts += [varint(number << 3) + varint(int(schema[name])) for number, name in _COUNTS.items() if name in schema]
    parts += [_text(19, name) for name in schema.get("required", ())]
    parts += [block(20, _any(value)) for value in schema.get("enum", ())]
    more = schema.get("additionalProperties")
    if isinstance(more, bool):
        parts.append(block(21, _flag(2, more)))
    elif more is not None:
        parts.append(block(21, block(1, _schema(more))))
    if "type" in schema:
        parts.append(block(22, _text(1, schema["type"])))
    if isinstance(schema.get("items"), Mapping):
        parts.append(block(23, block(1, _schema(schema["items"]))))
    if "properties" in schema:
        parts.append(block(25, _each(1, schema["properties"], _schema)))
    parts += _extensions(31, schema)
    return b"".join(parts)


def _any(value: object) -> bytes:
    """Any: its YAML text."""
    return _text(2, orjson.dumps(value).decode() + "\n")


def _extensions(number: int, holder: Object) -> Iterable[bytes]:
    """vendor_extension: NamedAny whose Any is YAML text (field 2)."""
    for name, value in holder.items():
        if name.startswith("x-"):
            yield block(number, _text(1, name) + block(2, _any(value)))


def _text(number: int, text: str) -> bytes:
    return block(number, text.encode())


def _flag(number: int, value: bool) -> bytes:
    return varint(number << 3) + varint(int(value))
