"""JSONPath of printer columns: `.status.conditions[?(@.type=="Ready")].status`. columns.py makes cells of what is found."""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Step: TypeAlias = Callable[[Any], Iterator[Any]]
Path: TypeAlias = Callable[[Any], Iterator[Any]]
"""Every value at the path, in order."""

_STEP = re.compile(
    r"""\.\.(?P<deep>(?:[^.\[\]\\]|\\.)*) | \.(?P<star>\*) | \.(?P<field>(?:[^.\[\]\\]|\\.)+)
    | \[\s*(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\s*\] | \[\s*(?P<all>\*)\s*\] | \[\?\((?P<filter>.*?)\)\]
    | \[(?P<range>[-\d:,\s]+)\] | (?P<self>\.)""",
    re.VERBOSE,
)
_FILTER = re.compile(r"^\s*@(?P<left>[^\s=!<>]*)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<right>.+?))?\s*$", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def parsed(path: str) -> Path:
    """The path as a function. Raises ValueError for what cannot be read."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or found.end() == at:
            raise ValueError(f"unrecognized path {path!r} at {at}")
        steps += _steps(found)
        at = found.end()

    def walk(value: Any) -> Iterator[Any]:
        values = iter((value,))
        for step in steps:
            values = _through(step, values)
        return values

    return walk


def _through(step: Step, values: Iterator[Any]) -> Iterator[Any]:
    for value in values:
        yield from step(value)


def _steps(found: re.Match[str]) -> list[Step]:
    if found["deep"] is not None:
        name = found["deep"].replace("\\", "")
        return [_everything, _field(name)] if name else [_everything]
    if found["star"] or found["all"]:
        return [_inside]
    if found["field"] is not None:
        return [_field(re.sub(r"\\(.)", r"\1", found["field"]))]
    if found["quoted"] is not None:
        return [_field(found["quoted"])]
    if found["filter"] is not None:
        return [_inside, _filter(found["filter"])]
    return [_range(found["range"])] if found["range"] else []


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _everything(value: Any) -> Iterator[Any]:
    yield value
    for inner in _inside(value):
        yield from _everything(inner)


def _range(text: str) -> Step:
    """Indexes and slices: `0`, `-1`, `1:3`, `0,2`."""
    wanted: list[slice | int] = []
    for part in text.split(","):
        numbers = [int(number) if number.strip() else None for number in part.split(":")]
        if len(numbers) == 1 and numbers[0] is not None:
            wanted.append(numbers[0])
        else:
            wanted.append(slice(*numbers))

    def step(value: Any) -> Iterator[Any]:
        if not isinstance(value, list):
            return
        for one in wanted:
            if isinstance(one, slice):
                yield from value[one]
            elif -len(value) <= one < len(value):
                yield value[one]

    return step


def _filter(text: str) -> Step:
    found = _FILTER.match(text)
    if found is None:
        raise ValueError(f"unrecognized filter {text!r}")
    left, name, right = parsed(found["left"]), found["operator"], found["right"]
    if name is None:
        return lambda value: iter((value,)) if next(left(value), None) is not None else iter(())
    compare, wanted = _COMPARE[name], _literal(right)

    def step(value: Any) -> Iterator[Any]:
        for mine in left(value):
            theirs = next(wanted(value), None) if callable(wanted) else wanted
            try:
                if compare(mine, theirs):
                    yield value
            except TypeError:
                continue  # of different types: neither is less
            return

    return step


def _literal(text: str) -> Any:
    if text[:1] in "\"'" and len(text) > 1:
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.startswith("@"):
        return parsed(text[1:])
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"unrecognized value {text!r}") from None
