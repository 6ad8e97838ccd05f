"""Durations as Go reads and writes them (time.ParseDuration, Duration.String): `1m30s`, `100ms`. In seconds here."""

import re

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DIGITS = 40
"""More digits than that are too large, or make no difference after the point."""
_PART = re.compile(r"([0-9]*(?:\.[0-9]*)?)([^0-9.]*)")


def seconds_of(text: str) -> float:
    """Seconds of a Go duration. Raises ValueError with Go's words."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    nanos = 0
    if not rest:
        raise ValueError(f"time: invalid duration {_quoted(text)}")
    while rest:
        found = _PART.match(rest)
        digits, unit = found.groups() if found else ("", "")
        if not digits.strip("."):
            raise ValueError(f"time: invalid duration {_quoted(text)}")
        if not unit:
            raise ValueError(f"time: missing unit in duration {_quoted(text)}")
        if unit not in _UNITS:
            raise ValueError(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
        whole, _, fraction = digits.partition(".")
        whole, fraction = whole.lstrip("0")[:_DIGITS], fraction[:_DIGITS]
        nanos += int(f"{whole}{fraction}" or "0") * _UNITS[unit] // 10 ** len(fraction)
        rest = rest[len(digits) + len(unit) :]
    if nanos >= 2**63 + (text[0] == "-"):
        raise ValueError(f"time: invalid duration {_quoted(text)}")
    return (-nanos if text[0] == "-" else nanos) / 10**9


def text_of(seconds: float) -> str:
    """As Go writes it: `1m0s`, `1.5s`, `100ms`, `0s`."""
    nanos = round(abs(seconds) * 10**9)
    sign = "-" if seconds < 0 and nanos else ""
    if nanos < 10**9:
        name, size = next((u for u in (("ms", 10**6), ("µs", 10**3)) if nanos >= u[1]), ("ns", 1))
        return f"{sign}{_decimal(nanos, size)}{name}" if nanos else "0s"
    minutes, rest = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    lead = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{lead}{_decimal(rest, 10**9)}s"


def _decimal(number: int, unit: int) -> str:
    """number/unit without trailing zeros; unit is a power of ten."""
    whole, fraction = divmod(number, unit)
    digits = str(fraction).rjust(len(str(unit)) - 1, "0").rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _quoted(text: str) -> str:
    """As Go's package time quotes: what is not printable ASCII in bytes."""
    letters = (f"\\{c}" if c in '"\\' else c if " " <= c < "\x80" else _bytes(c) for c in text)
    return f'"{"".join(letters)}"'


def _bytes(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogatepass"))
