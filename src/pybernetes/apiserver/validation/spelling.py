"""Names that come again and again, judged once: labels, keys and ports are the same in every Pod of a workload."""

from collections.abc import Callable
from functools import lru_cache

from pybernetes.api.errors import invalid_value
from pybernetes.apiserver.validation.fields import FieldErrors

Rule = Callable[[str], list[str]]
_LONG = 300
"""Longer ones are not remembered: they are wrong anyway, and would fill the memory."""


@lru_cache(maxsize=8192)
def _fine(rule: Rule, value: str) -> bool:
    return not rule(value)


def fine(rule: Rule, value: str) -> bool:
    """Whether a name of api.names has no fault. Ask before a path is put together."""
    return len(value) < _LONG and _fine(rule, value)


def spelled(path: str, value: str, rule: Rule) -> FieldErrors:
    """One Invalid for each fault of a name."""
    if not fine(rule, value):
        for message in rule(value):
            yield invalid_value(path, value, message)
