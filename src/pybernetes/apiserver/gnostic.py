"""gnostic: an OpenAPI v2 document as the protobuf message that client-go asks for (openapi.v2.Document). openapi.py uses it.

Only what our documents hold is written: info, paths with operations and parameters, definitions, vendor extensions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from pybernetes.api.objects import Object
from pybernetes.wire.codecs.varint import block, varint

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def document_bytes(document: Object) -> bytes:
    """openapi.v2.Document."""
    return b"".join(
        [
            _text(1, document["swagger"]),
            block(2, _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])),
            block(8, _each(2, document["paths"], _path_item)),
            block(9, _each(1, document["definitions"], _schema)),
        ]
    )


def _each(number: int, items: Mapping[str, Any], write: Any) -> bytes:
    """NamedX: name and value."""
    return b"".join(block(number, _text(1, name) + block(2, write(item))) for name, item in items.items())


def _path_item(item: Object) -> bytes:
    found = [block(number, _operation(item[method])) for method, number in _METHODS.items() if method in item]
    found += [block(9, _parameters_item(parameter)) for parameter in item.get("parameters", ())]
    return b"".join(found)


def _operation(operation: Object) -> bytes:
    parts = [_text(6, media) for media in operation.get("produces", ())]
    parts += [_text(7, media) for media in operation.get("consumes", ())]
    parts += [block(8, _parameters_item(parameter)) for parameter in operation["parameters"]]
    parts.append(block(9, b"".join(_response(code, r) for code, r in operation["responses"].items())))
    parts += _extensions(13, operation)
    return b"".join(parts)


def _response(code: str, response: Object) -> bytes:
    schema = block(2, block(1, _schema(response["schema"])))  # Response.schema: SchemaItem.schema
    value = block(1, _text(1, response["description"]) + schema)  # ResponseValue.response
    return block(1, _text(1, code) + block(2, value))


def _parameters_item(parameter: Object) -> bytes:
    """ParametersItem.parameter: a body parameter, or a non-body one of the query or the path."""
    if parameter["in"] == "body":
        body = b"".join(
            [_text(2, parameter["name"]), _text(3, "body"), _flag(4, True), block(5, _schema(parameter["schema"]))]
        )
        return block(1, block(1, body))
    if parameter["in"] == "path":
        # PathParameterSubSchema: required 1, in 2, name 4, type 5
        path = _flag(1, True) + _text(2, "path") + _text(4, parameter["name"]) + _text(5, parameter["type"])
        return block(1, block(2, block(4, path)))
    # QueryParameterSubSchema: required 1, in 2, description 3, name 4, allowEmptyValue 5, type 6
    query = _text(2, "query") + _text(4, parameter["name"]) + _text(6, parameter["type"])
    return block(1, block(2, block(3, query)))


def _schema(schema: Object) -> bytes:
    """openapi.v2.Schema: $ref 1, format 2, required 19, additionalProperties 21, type 22, items 23, properties 25."""
    parts = []
    if "$ref" in schema:
        parts.append(_text(1, schema["$ref"]))
    if "format" in schema:
        parts.append(_text(2, schema["format"]))
    parts += [_text(19, name) for name in schema.get("required", ())]
    if "additionalProperties" in schema:
        parts.append(block(21, block(1, _schema(schema["additionalProperties"]))))
    if "type" in schema:
        parts.append(block(22, _text(1, schema["type"])))
    if "items" in schema:
        parts.append(block(23, block(1, _schema(schema["items"]))))
    if "properties" in schema:
        parts.append(block(25, _each(1, schema["properties"], _schema)))
    parts += _extensions(31, schema)
    return b"".join(parts)


def _extensions(number: int, holder: Object) -> Iterable[bytes]:
    """vendor_extension: NamedAny whose Any is YAML text (field 2)."""
    for name, value in holder.items():
        if name.startswith("x-"):
            yield block(number, _text(1, name) + block(2, block(2, orjson.dumps(value) + b"\n")))


def _text(number: int, text: str) -> bytes:
    return block(number, text.encode())


def _flag(number: int, value: bool) -> bytes:
    return varint(number << 3) + varint(int(value))
