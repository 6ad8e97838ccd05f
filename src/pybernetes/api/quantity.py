"""Quantities (`500m`, `1Gi`, `1e3`): exact arithmetic and the canonical text. canonical.py writes every one with it.

The rules are those of apimachinery's resource.Quantity: nothing finer than a billionth (rounded away from zero),
nothing above 2^63-1, and the form that was written (decimal, binary, exponent) stays.
"""

import re
from functools import lru_cache

from msgspec import Struct

_NANO = 10**9
_MAX = (2**63 - 1) * _NANO
_PATTERN = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_SPLIT = re.compile(
    r"([+-]?)([0-9]*+)(\.?+)([0-9]*+)([eEinumkKMGTP]*+[-+]?+[0-9]*+)", re.ASCII
)  # nothing is tried twice
_WRONG = f"quantities must match the regular expression '{_PATTERN}'"

DECIMAL, BINARY, EXPONENT = "DecimalSI", "BinarySI", "DecimalExponent"
_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAMES = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_BINARY_NAMES = {0: ""} | {exponent: suffix for suffix, exponent in _BINARY_SUFFIXES.items()}


class Quantity(Struct, frozen=True):
    """An amount in billionths, and the form in which it is written. Sums and differences keep the left one's form."""

    nanos: int = 0
    format: str = DECIMAL

    def value(self) -> int:
        """Whole units, rounded away from zero (bytes, cores): what limits are programmed with."""
        return _divided(self.nanos, _NANO)

    def milli_value(self) -> int:
        """Thousandths, rounded away from zero: what CPU is counted in."""
        return _divided(self.nanos, 10**6)

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def __neg__(self) -> "Quantity":
        return Quantity(-self.nanos, self.format)

    def __mul__(self, times: int) -> "Quantity":
        return Quantity(self.nanos * times, self.format)

    def __lt__(self, other: "Quantity") -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: "Quantity") -> bool:
        return self.nanos <= other.nanos

    def __gt__(self, other: "Quantity") -> bool:
        return self.nanos > other.nanos

    def __ge__(self, other: "Quantity") -> bool:
        return self.nanos >= other.nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __str__(self) -> str:
        """The canonical text: the largest suffix that needs no fraction."""
        if not self.nanos:
            return "0"
        if self.format == BINARY and not -1024 * _NANO < self.nanos < 1024 * _NANO:
            mantissa, exponent = _factored(self.value(), 1024, len(_BINARY_SUFFIXES))
            return f"{mantissa}{_BINARY_NAMES[exponent * 10]}"
        mantissa, exponent = _factored(self.nanos, 1000, 9)
        exponent = exponent * 3 - 9
        if self.format == EXPONENT:
            return f"{mantissa}e{exponent}" if exponent else f"{mantissa}"
        return f"{mantissa}{_DECIMAL_NAMES[exponent]}"


def of_int(value: int, form: str = DECIMAL) -> Quantity:
    """A whole number of units."""
    return Quantity(value * _NANO, form)


def of_milli(value: int, form: str = DECIMAL) -> Quantity:
    """A number of thousandths."""
    return Quantity(value * 10**6, form)


@lru_cache(maxsize=8192)
def parse(text: str) -> Quantity:
    """The quantity that the text stands for. Raises ValueError with upstream's words."""
    found = _SPLIT.fullmatch(text)
    if found is None or not text:
        raise ValueError(_WRONG)
    sign, whole, _, fraction, suffix = found.groups()
    base, exponent, form = _suffix(suffix)
    if not whole and not fraction:
        raise ValueError("unable to parse numeric part of quantity" if base else _WRONG)
    digits = int(whole + fraction or "0")
    if base == 2:
        numerator, denominator = digits * _NANO << exponent, 10 ** len(fraction)
    else:
        shift = exponent + 9 - len(fraction)
        numerator, denominator = (digits * 10**shift, 1) if shift >= 0 else (digits, 10**-shift)
    nanos = min(-(-numerator // denominator), _MAX)
    if form == BINARY and 0 < nanos < _NANO:
        form = DECIMAL
    return Quantity(-nanos if sign == "-" else nanos, form)


@lru_cache(maxsize=8192)
def canonical(text: str) -> str:
    """The canonical form of a quantity's text: `1000m` is `1`. Raises ValueError with upstream's words."""
    return str(parse(text))


def _suffix(suffix: str) -> tuple[int, int, str]:
    if suffix in _DECIMAL_SUFFIXES:
        return 10, _DECIMAL_SUFFIXES[suffix], DECIMAL
    if suffix in _BINARY_SUFFIXES:
        return 2, _BINARY_SUFFIXES[suffix], BINARY
    if suffix[0] in "eE" and re.fullmatch(r"[-+]?[0-9]{1,9}", suffix[1:]):
        # Beyond these the value is zero or the maximum anyhow; do not compute 10**999999999.
        return 10, max(-400, min(400, int(suffix[1:]))), EXPONENT
    raise ValueError("unable to parse quantity's suffix")


def _divided(number: int, unit: int) -> int:
    return -(-number // unit) if number > 0 else number // unit


def _factored(number: int, factor: int, most: int) -> tuple[int, int]:
    """The number without factors, at most so many of them, and how many were taken out."""
    count = 0
    while count < most and number % factor == 0:
        number //= factor
        count += 1
    return number, count
