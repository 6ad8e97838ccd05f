"""kubectl's JSONPath templates: `{.items[*].metadata.name}`, `{range .items[*]}..{end}`, filters `[?(@.type=="Ready")]`."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from pybernetes.kubectl.command import Refused

_STEP = re.compile(
    r"""\.\.(?P<deep>[\w/-]+|\*) | \.(?P<field>(?:[\w/-]|\\.)+) | \.(?P<star>\*)
    | \[\s*(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\s*\] | \[\s*\*\s*\](?P<all>) | \[\s*(?P<index>-?\d+)\s*\]
    | \[(?P<slice>-?\d*:-?\d*(?::-?\d*)?)\] | \[\?\((?P<filter>.*?)\)\]""",
    re.VERBOSE,
)
_FILTER = re.compile(r"^@(?P<path>[^\s=!<>]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*$")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def render(template: str, document: Any, missing: str = "") -> str:
    """The text of a template on a document. Without braces the whole template is one path. Raises Refused."""
    template = template.strip("'") if template.startswith("'") and template.endswith("'") else template
    if "{" not in template:
        template = f"{{{template if template.startswith(('.', '$', '@')) else '.' + template}}}"
    return "".join(_run(list(_tokens(template)), document, document, missing))


def find(path: str, document: Any) -> list[Any]:
    """Every value at a path; `.` is the document."""
    return _evaluate(path, document, document)


def _tokens(template: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(template):
        start = template.find("{", position)
        if start < 0:
            yield "text", template[position:]
            return
        if start > position:
            yield "text", template[position:start]
        end = _closing(template, start)
        yield "expression", template[start + 1 : end].strip()
        position = end + 1


def _closing(template: str, start: int) -> int:
    quote = ""
    for index in range(start + 1, len(template)):
        char = template[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "}":
            return index
    raise Refused(f"error parsing jsonpath {template}, unclosed action")


def _run(tokens: list[tuple[str, str]], root: Any, current: Any, missing: str) -> Iterator[str]:
    index = 0
    while index < len(tokens):
        kind, text = tokens[index]
        if kind == "text":
            yield text.replace("\\n", "\n").replace("\\t", "\t")
        elif text.startswith("range"):
            end = _matching_end(tokens, index)
            for item in _evaluate(text[5:].strip(), root, current):
                yield from _run(tokens[index + 1 : end], root, item, missing)
            index = end
        elif text[:1] in "'\"":
            yield text[1:-1].encode().decode("unicode_escape")
        else:
            found = _evaluate(text, root, current)
            yield " ".join(_shown(value) for value in found) if found else missing
        index += 1


def _matching_end(tokens: list[tuple[str, str]], start: int) -> int:
    depth = 0
    for index in range(start, len(tokens)):
        kind, text = tokens[index]
        if kind == "expression":
            depth += text.startswith("range") - (text == "end")
            if depth == 0:
                return index
    raise Refused("error parsing jsonpath: unclosed range, {end} is missing")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _evaluate(path: str, root: Any, current: Any) -> list[Any]:
    if path.startswith("$"):
        path, current = path[1:], root
    path = path.removeprefix("@")
    if path and path[0] not in ".[":
        path = "." + path
    values, position = [current], 0
    while position < len(path):
        if path[position:] == ".":
            break
        match = _STEP.match(path, position)
        if match is None:
            raise Refused(f"error parsing jsonpath {path}, unrecognized character at {path[position:]!r}")
        values = [found for value in values for found in _step(match, value, root)]
        position = match.end()
    return values


def _step(match: re.Match[str], value: Any, root: Any) -> list[Any]:
    kind = match.lastgroup
    if match["field"] is not None or match["quoted"] is not None:
        name = match["quoted"] if match["quoted"] is not None else match["field"].replace("\\", "")
        return [value[name]] if isinstance(value, dict) and name in value else []
    if match["deep"] is not None:
        return list(_deep(value, match["deep"]))
    if kind in ("star", "all"):
        return list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    if not isinstance(value, list):
        return []
    if match["index"] is not None:
        index = int(match["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    if match["slice"] is not None:
        return value[slice(*(int(part) if part else None for part in match["slice"].split(":")))]
    return [item for item in value if _passes(match["filter"], item, root)]


def _deep(value: Any, name: str) -> Iterator[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if name == "*":
        yield from children
    elif isinstance(value, dict) and name in value:
        yield value[name]
    for child in children:
        yield from _deep(child, name)


def _passes(expression: str, item: Any, root: Any) -> bool:
    match = _FILTER.match(expression.strip())
    if match is None:
        raise Refused(f"error parsing jsonpath filter {expression!r}")
    found = _evaluate(match["path"] or ".", root, item)
    if match["op"] is None:
        return bool(found)
    text = match["value"].strip()
    wanted = text[1:-1] if text[:1] in "'\"" else orjson.loads(text)
    return any(type(value) is type(wanted) and _OPERATORS[match["op"]](value, wanted) for value in found)
