"""What the sandbox of a Pod is asked for."""

import pytest
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.dns import Dns
from pybernetes.kubelet.specs.sandbox import check_handler, sandbox_spec

NODE = Settings("n1", ("192.0.2.1",))


def spec(wanted: core_v1.Pod, handler: str = "") -> m.SandboxSpec:
    return sandbox_spec(wanted, 1, NODE, cgroup="/kubepods/x", dns=Dns(("1.1.1.1",)), handler=handler)


def test_the_sandbox_is_the_pods() -> None:
    found = spec(pod(hostPID=True), "kata")
    assert (found.hostname, found.attempt, found.cgroup_parent, found.host_pid) == ("web", 1, "/kubepods/x", True)
    assert found.log_directory == "/var/log/pods/default_web_uid-1"
    assert found.labels[m.POD_UID] == "uid-1"
    assert (found.dns_servers, found.runtime_handler) == (("1.1.1.1",), "kata")


def test_the_pods_security_is_the_sandboxs() -> None:
    context = core_v1.PodSecurityContext(
        runAsUser=7,
        runAsGroup=8,
        fsGroup=9,
        supplementalGroups=(10, 9),
        sysctls=(core_v1.Sysctl(name="net/ipv4/ping_group_range", value="0 1"),),
        seLinuxOptions=core_v1.SELinuxOptions(level="s0:c1"),
    )
    found = spec(pod(securityContext=context))
    assert (found.run_as_user, found.run_as_group, found.supplemental_groups) == (7, 8, (9, 10))
    assert found.sysctls == {"net.ipv4.ping_group_range": "0 1"}
    assert found.selinux == m.SELinux(level="s0:c1")
    assert not found.privileged


def test_one_privileged_container_makes_the_sandbox_privileged() -> None:
    privileged = container("i", securityContext=core_v1.SecurityContext(privileged=True))
    assert spec(pod(initContainers=(privileged,))).privileged


def test_ports_of_the_node_are_mapped_unless_the_network_is_the_nodes() -> None:
    port = core_v1.ContainerPort(containerPort=80, hostPort=8080, hostIP="192.0.2.1", protocol="UDP")
    inner = core_v1.ContainerPort(containerPort=81)
    found = spec(pod(container(ports=(port, inner))))
    assert found.ports == (m.Port("UDP", 80, 8080, "192.0.2.1"),)
    assert spec(pod(container(ports=(port,)), hostNetwork=True)).ports == ()


def test_user_namespaces_are_refused_where_the_handler_has_none() -> None:
    with pytest.raises(ConfigError, match=r"^can't set `spec.hostUsers: false`, runtime does not"):
        check_handler(pod(hostUsers=False), m.Handler())
    with pytest.raises(ConfigError, match='RuntimeClass handler "x" does not support user namespaces'):
        check_handler(pod(hostUsers=False), m.Handler("x"))
    check_handler(pod(hostUsers=False), m.Handler("x", user_namespaces=True))
    check_handler(pod(), m.Handler())


def test_overhead_is_told_to_the_runtime() -> None:
    found = spec(pod(overhead={"cpu": "250m", "memory": "64Mi"})).overhead
    assert found is not None
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit) == (256, 25_000, 64 << 20)
