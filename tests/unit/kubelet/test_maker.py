"""What is gathered for a Pod before its requests are made."""

import pytest
from tests.unit.kubelet.pods import container, pod, run

from pybernetes.api.types import core_v1
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.maker import target_of


def test_an_ephemeral_container_looks_at_the_newest_run_of_its_target() -> None:
    guest = core_v1.EphemeralContainer(name="debug", targetContainerName="c")
    wanted = pod(container(), ephemeralContainers=(guest,))
    assert target_of(wanted, "debug", [run("c", 1), run("c", 0)]) == "c1"
    assert target_of(wanted, "c", [run("c", 0)]) == ""
    with pytest.raises(ConfigError, match=r"^unable to find target container c$"):
        target_of(wanted, "debug", [])
