"""JSON bodies to dicts and back, with the words of Go's decoder for broken ones and for fields that are given twice.

orjson does the work; only what it refuses, and what may hold a duplicate, is read again slowly.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pybernetes.api.errors import BadRequest

_SPACE = " \t\r\n"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_ESCAPES = '"\\/bfnrt'
_LITERALS = {"t": "true", "f": "false", "n": "null"}


def decode(data: bytes, refused: str = "couldn't get version/kind; json parse error") -> Any:
    """The value of a body; text that is no Unicode is mended as Go does it. Raises BadRequest: `<refused>: ...`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        fault = syntax_fault(data)
        if fault:
            raise BadRequest(f"{refused}: {fault}") from None
        try:
            return _mended(data)
        except (ValueError, RecursionError):
            raise BadRequest(f"{refused}: {error}") from None


def _mended(data: bytes) -> Any:
    """JSON with U+FFFD for bytes that are no UTF-8 and for halves of surrogate pairs."""
    value = json.loads(data.decode(errors="replace"))
    text = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return orjson.loads(text)


def encode(value: Any) -> bytes:
    """The body of a value, compact and in the order of its dicts."""
    return orjson.dumps(value)


def unrecognized(kind: str, error: str, data: bytes) -> BadRequest:
    """The answer to a body whose kind cannot be told, with its beginning."""
    if not data:
        shown = "<empty>"
    elif data[:1] == b"{":
        shown = data[:30].decode(errors="replace") + (" ..." if len(data) > 30 else "")
    else:
        shown = data[:30].hex() + (" ..." if len(data) > 30 else "")
    return BadRequest(f"the object provided is unrecognized (must be of type {kind}): {error} ({shown})")


def duplicate_fields(data: bytes, value: Any) -> tuple[str, ...]:
    """`duplicate field "spec.x"` for each; `value` is what decode made of `data` (of fields given twice the last)."""
    if data.strip() == orjson.dumps(value):
        return ()  # compact, so nothing was lost: the usual case
    twice: dict[int, list[str]] = {}
    kept: list[Any] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            seen: set[str] = set()
            names = [name for name, _ in items if name in seen or seen.add(name)]  # type: ignore[func-returns-value]  # adds
            twice[id(found)] = list(dict.fromkeys(names))
            kept.append(found)
        return found

    root = json.loads(data.decode(errors="replace"), object_pairs_hook=pairs)
    if not twice:
        return ()
    return tuple(f'duplicate field "{path}"' for path in _paths(root, "", twice))


def _paths(value: Any, path: str, twice: dict[int, list[str]]) -> list[str]:
    found = []
    if isinstance(value, dict):
        found += [f"{path}.{name}" if path else name for name in twice.get(id(value), ())]
        for name, inner in value.items():
            found += _paths(inner, f"{path}.{name}" if path else name, twice)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, f"{path}[{index}]", twice)
    return found


def in_order(data: bytes, problems: Iterable[str]) -> tuple[str, ...]:
    """Unknown and duplicate fields as Go meets them in the document; of one that is unknown it does not matter how often."""
    places: dict[str, list[int]] = {}
    for place, path in enumerate(_keys(json.loads(data.decode(errors="replace"), object_pairs_hook=_Pairs), "")):
        places.setdefault(path, []).append(place)
    texts = list(problems)
    skipped = tuple(text[15:-1] for text in texts if text.startswith('unknown field "'))
    found: dict[str, int] = {}
    for text in texts:
        kind, _, rest = text.partition(' field "')
        path, again = rest[:-1], kind == "duplicate"
        if not again or (
            path not in skipped and not path.startswith(tuple(f"{one}{c}" for one in skipped for c in ".["))
        ):
            found[text] = places.get(path, [0])[: 1 + again][-1]
    return tuple(sorted(found, key=found.__getitem__))


class _Pairs(list[tuple[str, Any]]):
    """An object with every field it was given."""


def _keys(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        for name, inner in value:
            yield (below := f"{path}.{name}" if path else name)
            yield from _keys(inner, below)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _keys(inner, f"{path}[{index}]")


class _Fault(Exception):
    """What Go's scanner says."""


def syntax_fault(data: bytes) -> str:
    """What Go's scanner says of JSON that is none; empty where it would read it."""
    scanner = _Scanner(data.decode(errors="replace"))
    try:
        scanner.value("looking for beginning of value")
        scanner.space()
        if scanner.at < len(scanner.text):
            raise scanner.fault("after top-level value")
    except _Fault as fault:
        return str(fault)
    except RecursionError:
        return "exceeded max depth"
    return ""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fault(self, where: str) -> _Fault:
        if self.at >= len(self.text):
            return _Fault("unexpected end of JSON input")
        letter = self.text[self.at]
        shown = {"'": "'\\''", '"': "'\"'"}.get(letter) or (
            repr(letter) if letter.isprintable() else _go_quoted(letter)
        )
        return _Fault(f"invalid character {shown} {where}")

    def space(self) -> str:
        """Skips blanks; the next letter, or nothing at the end."""
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1
        return self.text[self.at : self.at + 1]

    def value(self, where: str) -> None:
        letter = self.space()
        if letter == "{":
            self.members()
        elif letter == "[":
            self.elements()
        elif letter == '"':
            self.string()
        elif letter in _LITERALS and letter:
            self.literal(_LITERALS[letter])
        elif letter and (letter == "-" or letter.isdigit()):
            self.number()
        else:
            raise self.fault(where)

    def members(self) -> None:
        self.at += 1
        if self.space() == "}":
            self.at += 1
            return
        while True:
            if self.space() != '"':
                raise self.fault("looking for beginning of object key string")
            self.string()
            if self.space() != ":":
                raise self.fault("after object key")
            self.at += 1
            self.value("looking for beginning of value")
            letter = self.space()
            if letter not in (",", "}"):
                raise self.fault("after object key:value pair")
            self.at += 1
            if letter == "}":
                return

    def elements(self) -> None:
        self.at += 1
        if self.space() == "]":
            self.at += 1
            return
        while True:
            self.value("looking for beginning of value")
            letter = self.space()
            if letter not in (",", "]"):
                raise self.fault("after array element")
            self.at += 1
            if letter == "]":
                return

    def string(self) -> None:
        self.at += 1
        while True:
            letter = self.text[self.at : self.at + 1]
            if not letter or letter < " ":
                raise self.fault("in string literal")
            self.at += 1
            if letter == '"':
                return
            if letter == "\\":
                self.escape()

    def escape(self) -> None:
        letter = self.text[self.at : self.at + 1]
        if letter != "u":
            if not letter or letter not in _ESCAPES:
                raise self.fault("in string escape code")
            self.at += 1
            return
        self.at += 1
        for _ in range(4):
            if self.text[self.at : self.at + 1] not in tuple("0123456789abcdefABCDEF"):
                raise self.fault("in \\u hexadecimal character escape")
            self.at += 1

    def literal(self, word: str) -> None:
        for position, letter in enumerate(word):
            if self.text[self.at : self.at + 1] != letter:
                raise self.fault(f"in literal {word} (expecting {letter!r})" if position else "")
            self.at += 1

    def number(self) -> None:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            self.at += 1
            raise self.fault("in numeric literal")
        self.at = found.end()
        if self.text[self.at : self.at + 1] == ".":
            self.at += 1
            raise self.fault("after decimal point in numeric literal")
        if self.text[self.at : self.at + 1] in ("e", "E"):
            self.at += 1
            raise self.fault("in exponent of numeric literal")


def _go_quoted(letter: str) -> str:
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(letter) or f"\\x{ord(letter):02x}"
    return f"'{named}'"
