"""What fits on the node."""

import pytest
from msgspec.structs import replace
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.admission import admit

NODE = {"cpu": "2", "memory": "1Gi", "pods": "3"}


def asking(**requests: str) -> core_v1.Pod:
    return pod(container(resources=core_v1.ResourceRequirements(requests=requests)))


def test_what_fits_is_admitted() -> None:
    assert admit(asking(cpu="1500m"), [asking(cpu="500m")], NODE) is None


@pytest.mark.parametrize(
    ("requests", "reason", "numbers"),
    [
        ({"cpu": "1500m"}, "OutOfcpu", "cpu, requested: 1500, used: 1000, capacity: 2000"),
        ({"memory": "2Gi"}, "OutOfmemory", "memory, requested: 2147483648, used: 0, capacity: 1073741824"),
    ],
)
def test_what_does_not_fit_beside_the_others_is_refused(requests: dict[str, str], reason: str, numbers: str) -> None:
    verdict = admit(asking(**requests), [asking(cpu="1")], NODE)
    assert verdict is not None
    assert (verdict.reason, verdict.message) == (reason, f"Node didn't have enough resource: {numbers}")


def test_the_number_of_pods_is_limited() -> None:
    verdict = admit(pod(), [pod()] * 3, NODE)
    assert verdict is not None
    assert verdict.reason == "OutOfpods"


def test_what_the_node_does_not_have_at_all_is_ignored() -> None:
    assert admit(asking(**{"example.com/gpu": "1"}), [], NODE) is None


def with_sysctl(name: str, **spec: bool) -> core_v1.Pod:
    context = core_v1.PodSecurityContext(sysctls=(core_v1.Sysctl(name=name, value="1"),))
    made = pod(container())
    return replace(made, spec=replace(made.spec, securityContext=context, **spec))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (with_sysctl("kernel.msgmax"), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (with_sysctl("kernel/msgmax"), 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        (
            with_sysctl("net.ipv4.tcp_syncookies", hostNetwork=True),
            'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        (
            with_sysctl("kernel.shm_rmid_forced", hostIPC=True),
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
    ],
)
def test_kernel_settings_that_could_harm_others_are_refused(asked: core_v1.Pod, message: str) -> None:
    verdict = admit(asked, [], NODE)
    assert verdict is not None
    assert (verdict.reason, verdict.message) == ("SysctlForbidden", message)
    assert admit(with_sysctl("kernel.shm_rmid_forced"), [], NODE) is None


def test_two_pods_cannot_have_the_same_port_of_the_node() -> None:
    first, same, other = (
        pod(container(ports=(core_v1.ContainerPort(containerPort=80, hostPort=port, protocol="TCP"),)))
        for port in (8080, 8080, 8081)
    )
    verdict = admit(same, [first], NODE)
    assert verdict is not None
    assert verdict.reason == "NodePorts"
    assert admit(other, [first], NODE) is None
