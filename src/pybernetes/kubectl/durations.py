"""Go's duration texts, as flags have them."""

import re

from pybernetes.kubectl.command import Refused

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(text: str, flag: str = "--timeout") -> float:
    """`1m30s`, `500ms`, `0` in seconds. Raises Refused."""
    if text in ("0", ""):
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text.lstrip("-"))
    if not parts or "".join(number + unit for number, unit in parts) != text.lstrip("-"):
        raise Refused(f'invalid argument "{text}" for "{flag}" flag: time: invalid duration "{text}"')
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -total if text.startswith("-") else total
