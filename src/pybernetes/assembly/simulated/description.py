"""What a simulated node is: its size, labels and taints. nodes.py runs them."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from pybernetes.api.quantity import parse
from pybernetes.api.types import core_v1
from pybernetes.rules.taints import EFFECTS

LABEL = "pybernetes.io/simulated"
"""Every simulated node has it, with the value `true`."""
CAPACITY: Mapping[str, str] = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
"""What a node has that says nothing else."""


class SimulatedNode(Struct, frozen=True):
    """One node. Raises ValueError for what no node can be."""

    name: str
    capacity: Mapping[str, str] = {}
    """Quantities by resource, beside those of CAPACITY, or in their place; also extended ones (`example.com/gpu`)."""
    labels: Mapping[str, str] = {}
    """Beside those that every kubelet sets."""
    taints: Sequence[core_v1.Taint] = ()
    """With which it registers."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a simulated node needs a name")
        for resource, text in self.capacity.items():
            try:
                fits = parse(text).nanos >= 0
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(f"node {self.name}: capacity {resource}: {text!r} is no quantity of at least 0")
        for taint in self.taints:
            if taint.effect not in EFFECTS:
                allowed = ", ".join(EFFECTS)
                raise ValueError(f"node {self.name}: taint {taint.key}: effect {taint.effect!r}; allowed: {allowed}")

    @property
    def whole(self) -> dict[str, str]:
        """Everything it has."""
        return {**CAPACITY, **self.capacity}


def described(nodes: Sequence[str | SimulatedNode]) -> tuple[SimulatedNode, ...]:
    """Nodes by name alone are as large as others."""
    return tuple(SimulatedNode(node) if isinstance(node, str) else node for node in nodes)
