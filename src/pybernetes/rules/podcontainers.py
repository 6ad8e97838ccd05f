"""The containers of a Pod's spec as plain data, of all sorts."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api.objects import Object

_KINDS = ("initContainers", "containers", "ephemeralContainers")


def containers(spec: Mapping[str, Any], *, ephemeral: bool = True) -> Iterator[Object]:
    """Init containers, then the others, then the ephemeral ones if they are wanted."""
    for kind in _KINDS if ephemeral else _KINDS[:2]:
        yield from spec.get(kind) or ()
