"""YAML as kubectl and the API server read and write it (sigs.k8s.io/yaml): JSON's values in YAML 1.1's clothes.

Timestamps stay strings, keys become strings, a key given twice is an error. Manifests of several documents keep the
lines at which they begin. PyYAML's C loader does the work.
"""

import math
from collections.abc import Iterator
from typing import Any

import orjson
import yaml
from msgspec import Struct

from pybernetes.api.errors import BadRequest


class Document(Struct, frozen=True):
    """One document of a stream. `line` counts from 1."""

    value: Any
    line: int
    duplicates: tuple[str, ...] = ()
    """`line 9: key "foo" already set in map`; the last value of such a key holds."""


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 without timestamps."""

    def __init__(self, stream: bytes | str) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(self.construct_object(key_node, deep=True), key_node)
            if key in found:
                self.duplicates.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
            found[key] = self.construct_object(value_node, deep=True)
        return found


class _Refused(yaml.YAMLError):
    """A document that YAML allows and Kubernetes does not."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _construct_map(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    """Numbers that 64 bits do not hold are floats, as in Go."""
    value = loader.construct_yaml_int(node)
    return value if -(2**63) <= value < 2**64 else float(value)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    """What JSON cannot say is refused, as Go's encoder does."""
    value: float = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise _Refused(f"json: unsupported value: {'NaN' if math.isnan(value) else '+Inf' if value > 0 else '-Inf'}")
    return value


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)

_MOST_NODES = 1_000_000


def _expanded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many nodes a document has once its aliases are written out. Raises _Refused for bombs and circles."""
    size = sizes.get(id(node))
    if size is None:
        sizes[id(node)] = _MOST_NODES  # a node inside itself counts as too many
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        size = sizes[id(node)] = 1 + sum(_expanded(child, sizes) for child in flat)
    if size >= _MOST_NODES:
        raise _Refused("document contains excessive aliasing")
    return size


def _key(key: Any, node: yaml.Node) -> str:
    """JSON's keys are strings; numbers and booleans become theirs."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    if key is None:
        return "null"
    raise _Refused(f"line {node.start_mark.line + 1}: unsupported map key of type {type(key).__name__}")


def decode(data: bytes | str) -> Any:
    """The value of a request's body. Raises BadRequest: `error converting YAML to JSON: ...`."""
    return decode_strictly(data)[0]


def decode_strictly(data: bytes | str) -> tuple[Any, tuple[str, ...]]:
    """The same, and what strict decoding says of it: nothing, or one text with a line a key given twice."""
    try:
        found = next(documents(data), None)
        if found is None:
            return None, ()
        orjson.dumps(found.value)
    except (ValueError, TypeError) as error:  # TypeError: JSON cannot hold it, for its depth or its numbers
        why = str(error) if isinstance(error, ValueError) else f"error converting YAML to JSON: {str(error).lower()}"
        raise BadRequest(why) from None
    twice = "\n  ".join(found.duplicates)
    return found.value, (f"yaml: unmarshal errors:\n  {twice}",) if twice else ()


def load(data: bytes | str) -> Any:
    """The value of the first document; None of an empty one. Raises ValueError as documents does."""
    return next(load_all(data), None)


def load_all(data: bytes | str) -> Iterator[Any]:
    """The values of a stream's documents. Raises ValueError as documents does."""
    return (document.value for document in documents(data))


def documents(data: bytes | str) -> Iterator[Document]:
    """The documents of a stream that are not empty.

    Raises ValueError at the first that cannot be read: `error converting YAML to JSON: yaml: line 2: ...`.
    """
    try:
        loader = _Loader(data)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _expanded(node, {})
            loader.duplicates = []
            value = loader.construct_document(node)
            if value is not None:
                yield Document(value, node.start_mark.line + 1, tuple(loader.duplicates))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"error converting YAML to JSON: yaml: {_words(error)}") from None
    except RecursionError:
        raise ValueError("error converting YAML to JSON: yaml: exceeded max depth") from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ):  # a tag that lies: `!!bool x`, `!!int x`
        raise ValueError("error converting YAML to JSON: yaml: a value cannot be decoded as its tag says") from None


def _words(error: Exception) -> str:
    """`line N: what is wrong` with go-yaml's number: counted from 0 for the parser, from 1 for the scanner, never 0."""
    if isinstance(error, yaml.MarkedYAMLError):
        lines = [mark.line for mark in (error.problem_mark, error.context_mark) if mark and mark.line]
        if not lines:
            return str(error.problem)
        return f"line {lines[0] + isinstance(error, yaml.scanner.ScannerError)}: {error.problem}"
    return str(error).partition("\n")[0]


class _Dumper(yaml.CSafeDumper):
    """Sorted keys, block style, lists not indented below their key: what `kubectl get -o yaml` prints."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_str(dumper: _Dumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text and not any(line.endswith((" ", "\t")) for line in text.split("\n")) else None
    if style is None and _looks_otherwise(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _looks_otherwise(text: str) -> bool:
    """A plain scalar that is read back as something else than this string is put in double quotes."""
    if not text or text in ("<<", "="):
        return True
    resolvers = yaml.CSafeLoader.yaml_implicit_resolvers
    candidates = resolvers.get(text[0], []) + resolvers.get(None, [])
    return (
        any(pattern.match(text) for _, pattern in candidates) or text in ("y", "n", "Y", "N") or text.startswith("0o")
    )


_Dumper.add_representer(str, _represent_str)


def dump(value: Any) -> str:
    """The document of a value, as kubectl prints it."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=True, allow_unicode=True, width=2**20
    )
    return text


def encode(value: Any) -> bytes:
    """The body of a value."""
    return dump(value).encode()
