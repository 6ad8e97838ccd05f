"""Durations of flags."""

from pybernetes.kubectl.command import Refused
from pybernetes.rules.durations import seconds_of


def seconds(text: str, flag: str = "--timeout") -> float:
    """`1m30s`, `500ms`, `0` in seconds. Raises Refused."""
    try:
        return seconds_of(text)
    except ValueError as error:
        raise Refused(f'invalid argument "{text}" for "{flag}" flag: {error}') from None
