"""Values of flags that commands have in common, as argparse's `type`."""

import argparse

from pybernetes.rules.durations import seconds_of


def boolean(text: str) -> bool:
    """A flag's true or false."""
    if text.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise argparse.ArgumentTypeError(f'"{text}" is neither true nor false')
    return text.lower() in ("true", "1", "t")


def comma_list(text: str) -> list[str]:
    """A flag's list: parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def duration(text: str) -> float:
    """A flag's Go duration in seconds; none is negative."""
    try:
        found = seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found < 0:
        raise argparse.ArgumentTypeError(f'"{text}" is less than nothing')
    return found


def lasting(text: str) -> float:
    """The same, more than nothing."""
    found = duration(text)
    if not found:
        raise argparse.ArgumentTypeError("it must be more than nothing")
    return found


def count(text: str) -> int:
    """A flag's number of things: none or more, as many as an int64 holds with room to spare."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of them')
    if len(text) > 18:
        raise argparse.ArgumentTypeError(f'"{text}" is too large')
    return int(text)


def rate(text: str) -> float:
    """A flag's number of things in a second, or its part of a whole: a finite number, none below 0."""
    try:
        found = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number') from None
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of 0 or more')
    return found
