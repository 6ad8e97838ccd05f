"""Access modes of volumes as tables and descriptions show them."""

from collections.abc import Sequence

_SHORT = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def short_modes(modes: Sequence[str] | None) -> str:
    """`RWO,RWX`."""
    return ",".join(short for mode, short in _SHORT.items() if mode in (modes or ()))
