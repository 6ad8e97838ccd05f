"""Zero values that are written even so: msgspec leaves out a default, but never what a factory like these made."""

from typing import Any


def none() -> Any:
    """`null`: a pointer without omitempty, an unset time, an empty RawExtension."""
    return None


def quantity() -> str:
    """`"0"`."""
    return "0"


def items() -> tuple[Any, ...]:
    """`[]`."""
    return ()


def mapping() -> dict[str, Any]:
    """`{}`."""
    return {}
