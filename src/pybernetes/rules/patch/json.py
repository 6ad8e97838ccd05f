"""JSON Patch, RFC 6902, with strict pointers (RFC 6901). Content type application/json-patch+json."""

import re
from typing import Any

import orjson

from pybernetes.api.errors import RequestEntityTooLarge
from pybernetes.api.objects import Object
from pybernetes.rules.patch.document import copied, equal, rejected, unreadable

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 << 20
"""Bytes that `copy` operations may add: doubling a value thirty times would fill any memory."""

_TOKEN = re.compile(r"(?:[^~]|~[01])*")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_KNOWN = ("add", "remove", "replace", "move", "copy", "test")


def apply(document: Object, operations: Any) -> Object:
    """The document after all operations, or none. Raises BadRequest (no patch), Invalid (does not fit)."""
    if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
        raise unreadable("a JSON patch is an array of objects")
    if len(operations) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    root = [copied(document)]  # in a list, so that the root has a place like every other value
    copied_bytes = 0
    for operation in operations:
        if operation.get("op") == "copy":
            copied_bytes += _size(_get(root, _pointer(operation, "from")))
            if copied_bytes > MAX_COPIED:
                raise RequestEntityTooLarge(f"copy operations of a JSON patch may add {MAX_COPIED} bytes")
        _perform(root, operation)
    if not isinstance(root[0], dict):
        raise rejected("the patched document is not an object")
    _size(root[0])
    return root[0]


def _size(value: Any) -> int:
    """Bytes of a value. Raises BadRequest where it is nested too deep: operations can pile up what bodies cannot hold."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        raise unreadable("exceeded max depth") from None


def _perform(root: list[Any], operation: Object) -> None:
    op = operation.get("op")
    if op not in _KNOWN:
        raise rejected(f"Unexpected kind: {op}")
    path = _pointer(operation, "path")
    match op:
        case "add":
            _add(root, path, copied(_value(operation)))
        case "remove":
            _remove(root, path)
        case "replace":
            _get(root, path)
            parent, last = _parent(root, path)
            parent[_key(parent, last, path)] = copied(_value(operation))
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and path != source:
                raise rejected(f"cannot move {_shown(source)} into its own child {_shown(path)}")
            _add(root, path, _remove(root, source))
        case "copy":
            _add(root, path, copied(_get(root, _pointer(operation, "from"))))
        case _:
            if not equal(_get(root, path), operation.get("value")):
                raise rejected(f"testing value {_shown(path)} failed")


def _value(operation: Object) -> Any:
    if "value" not in operation:
        raise rejected(f'operation "{operation["op"]}" has no value')
    return operation["value"]


def _pointer(operation: Object, member: str) -> tuple[str, ...]:
    text = operation.get(member)
    if not isinstance(text, str):
        raise rejected(f'operation "{operation.get("op")}" has no {member}')
    if not text:
        return ()
    if not text.startswith("/"):
        raise rejected(f"pointer {text!r} does not begin with /")
    tokens = text[1:].split("/")
    for token in tokens:
        if not _TOKEN.fullmatch(token):
            raise rejected(f"pointer {text!r} has a ~ that is neither ~0 nor ~1")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def _parent(root: list[Any], path: tuple[str, ...]) -> tuple[Any, str]:
    return (_get(root, path[:-1]), path[-1]) if path else (root, "0")


def _get(root: list[Any], path: tuple[str, ...]) -> Any:
    value = root[0]
    for token in path:
        value = value[_key(value, token, path)]
    return value


def _key(parent: Any, token: str, path: tuple[str, ...]) -> Any:
    """The key or index of something that is there."""
    if isinstance(parent, dict) and token in parent:
        return token
    if isinstance(parent, list) and _INDEX.fullmatch(token) and int(token) < len(parent):
        return int(token)
    raise rejected(f"doc is missing path: {_shown(path)}: missing value")


def _add(root: list[Any], path: tuple[str, ...], value: Any) -> None:
    if not path:
        root[0] = value
        return
    parent, token = _parent(root, path)
    if isinstance(parent, dict):
        parent[token] = value
    elif isinstance(parent, list) and token == "-":
        parent.append(value)
    elif isinstance(parent, list) and _INDEX.fullmatch(token) and int(token) <= len(parent):
        parent.insert(int(token), value)
    else:
        raise rejected(f"cannot add at {_shown(path)}: no such place")


def _remove(root: list[Any], path: tuple[str, ...]) -> Any:
    if not path:
        raise rejected("the whole document cannot be removed")
    parent, token = _parent(root, path)
    key = _key(parent, token, path)  # first: a parent that is no container has no pop
    return parent.pop(key)


def _shown(path: tuple[str, ...]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)
