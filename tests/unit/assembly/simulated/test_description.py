"""What no node can be is refused when it is described."""

import pytest

from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.description import SimulatedNode


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ""}, "a simulated node needs a name"),
        ({"name": "a", "capacity": {"cpu": "many"}}, "node a: capacity cpu: 'many' is no quantity of at least 0"),
        ({"name": "a", "capacity": {"cpu": "-1"}}, "node a: capacity cpu: '-1' is no quantity of at least 0"),
        ({"name": "a", "taints": (core_v1.Taint(key="k", effect="No"),)}, "node a: taint k: effect 'No'; allowed: NoSchedule"),
    ],
)  # fmt: skip
def test_a_node_that_cannot_be_is_refused(fields, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SimulatedNode(**fields)
