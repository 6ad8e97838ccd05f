"""Completion indexes of Jobs as text: `0,2-5`. Validation checks them; the Job controller keeps its books in them."""

import re
from collections.abc import Iterator

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
