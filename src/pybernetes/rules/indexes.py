"""Completion indexes of Jobs as text: `0,2-5`. Validation checks them; the Job controller keeps its books in them."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeAlias

Intervals: TypeAlias = tuple[tuple[int, int], ...]
"""First and last of each, growing, with a gap between any two."""

_NUMBER = re.compile("[+-]?[0-9]{1,18}", re.ASCII)


def intervals(text: str, completions: int) -> Iterator[tuple[int, int]]:
    """First and last of each interval, growing. Raises ValueError with upstream's words, also for indexes too large."""
    last: int | None = None
    for part in text.split(",") if text else ():
        low, high = interval(part, completions)
        if last is not None and last >= low:
            raise ValueError(f"non-increasing order, previous: {last}, current: {low}")
        yield low, high
        last = high


def interval(text: str, completions: int) -> tuple[int, int]:
    """One part: `3` or `3-5`. Raises ValueError."""
    ends = text.split("-")
    if len(ends) > 2:
        raise ValueError(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two parts'
            " separated by '-'"
        )
    low = high = _index(ends[0], completions)
    if len(ends) == 2:
        high = _index(ends[1], completions)
        if low >= high:
            raise ValueError(f"non-increasing order, previous: {low}, current: {high}")
    return low, high


def count(text: str, completions: int) -> int:
    """How many indexes. Raises ValueError."""
    return sum(high - low + 1 for low, high in intervals(text, completions))


def overlap(first: str, second: str, completions: int) -> int | None:
    """The lowest index that is in both; parts that cannot be read are passed over."""
    ours, theirs = list(_readable(first, completions)), list(_readable(second, completions))
    while ours and theirs:
        (low, high), (other_low, other_high) = ours[0], theirs[0]
        if low <= other_high and other_low <= high:
            return max(low, other_low)
        (ours if low <= other_low else theirs).pop(0)
    return None


def _readable(text: str, completions: int) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        try:
            yield interval(part, completions)
        except ValueError:
            continue


def _index(text: str, completions: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)


# --- books: sets of indexes


def readable(text: str, completions: int) -> Intervals:
    """The indexes below `completions` in a text; parts that cannot be read are passed over."""
    found: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        low, dash, high = part.partition("-")
        high = high if dash else low
        if _NUMBER.fullmatch(low) and _NUMBER.fullmatch(high) and int(low) < completions:
            found.append((int(low), min(int(high), completions - 1)))
    return _joined(found)


def of(numbers: Iterable[int]) -> Intervals:
    """The intervals of a set of numbers."""
    return _joined((number, number) for number in numbers)


def merged(first: Intervals, second: Intervals) -> Intervals:
    """The indexes that are in either."""
    return _joined(chain(first, second)) if first and second else first or second


def _joined(found: Iterable[tuple[int, int]]) -> Intervals:
    joined: list[tuple[int, int]] = []
    for low, high in sorted(found):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return tuple(joined)


def total(found: Intervals) -> int:
    """How many indexes."""
    return sum(high - low + 1 for low, high in found)


def holds(found: Intervals, index: int) -> bool:
    """Whether the index is among them."""
    at = bisect_left(found, index, key=lambda interval: interval[1])
    return at < len(found) and found[at][0] <= index


def shared(first: Intervals, second: Intervals) -> int:
    """How many indexes are in both."""
    return total(first) + total(second) - total(merged(first, second))


def missing(found: Intervals, completions: int, most: int) -> list[int]:
    """The first indexes below `completions` that are not among them."""
    left: list[int] = []
    start = 0
    for low, high in (*found, (completions, completions)):
        left += range(start, min(low, completions, start + most - len(left)))
        start = high + 1
    return left


def written(found: Intervals) -> str:
    """As the status says it: `0,2-5`; two neighbours are told one by one."""
    parts: list[str] = []
    for low, high in found:
        parts.append(f"{low}" if low == high else f"{low},{high}" if high == low + 1 else f"{low}-{high}")
    return ",".join(parts)
