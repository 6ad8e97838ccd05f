"""What a container is made from."""

from pathlib import Path

import pytest
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.container import Making, container_spec

CONFIG = Configuration(cluster_dns=("10.96.0.10",), cluster_domain="cluster.local")
NODE = Settings("n1", ("192.0.2.1",), config=CONFIG, memory=4 * 2**30)


def spec(wanted: core_v1.Pod, index: int = 0, **more: object) -> m.ContainerSpec:
    making = Making(
        **{
            "pod": wanted,
            "container": wanted.spec.containers[index],
            "attempt": 2,
            "delay": 20.0,
            "image": "sha256:1",
            "inspected": None,
            "environment": {"A": "1"},
            "mounts": (),
            "hosts": Path("/k/etc-hosts"),
            "message_file": Path("/k/msg"),
            "settings": NODE,
            **more,
        }
    )
    return container_spec(making)


def test_a_container_carries_its_own_memory() -> None:
    found = spec(pod(container(command=("sh", "$(A)"), args=("$(B)",))))
    assert (found.command, found.args) == (("sh", "1"), ("$(B)",))
    assert found.annotations[m.RESTART_COUNT] == "2"
    assert found.annotations[m.RESTART_DELAY] == "20"
    assert found.log_path == "c/2.log"
    assert m.Mount("/k/etc-hosts", "/etc/hosts") in found.mounts
    assert m.Mount("/k/msg", "/dev/termination-log") in found.mounts


def test_a_users_own_hosts_file_is_left_alone(tmp_path: Path) -> None:
    found = spec(pod(), mounts=(m.Mount(str(tmp_path), "/etc/hosts"),))
    assert [x.host_path for x in found.mounts if x.container_path == "/etc/hosts"] == [str(tmp_path)]


def test_a_value_that_the_runtime_cannot_be_told_is_refused() -> None:
    with pytest.raises(ConfigError, match='the value of environment variable "B" is not UTF-8'):
        spec(pod(), environment={"B": b"\xff".decode(errors="surrogateescape")})
