"""What fits on the node: asked once for each Pod before it starts. See "Node-pressure and admission" of the kubelet.

The scheduler has counted already; this catches races, and Pods that name their node themselves.
"""

from collections.abc import Iterable, Mapping

from pybernetes.api.types import core_v1
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.rules.requests import PODS, amount, host_ports, pod_requests, ports_clash

SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""Kernel settings that a Pod may have: they count in its own namespaces alone and harm no other Pod."""
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def admit(pod: core_v1.Pod, others: Iterable[core_v1.Pod], allocatable: Mapping[str, str]) -> Verdict | None:
    """None, or why the Pod is Failed. `others` are the Pods that were admitted and have not ended."""
    forbidden = _forbidden_sysctl(pod)
    if forbidden:
        return Verdict("SysctlForbidden", f"forbidden sysctl: {forbidden}")
    others = tuple(others)
    if ports_clash(host_ports(pod), [port for other in others for port in host_ports(other)]):
        return Verdict(
            "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        )
    used: dict[str, int] = {}
    count = 0
    for other in others:
        count += 1
        for name, wanted in pod_requests(other).items():
            used[name] = used.get(name, 0) + wanted
    most = int(allocatable.get(PODS, "110"))
    if count + 1 > most:
        return _refusal(PODS, 1, count, most)
    for name, wanted in sorted(pod_requests(pod).items()):
        if name not in allocatable or not wanted:
            continue  # what the node does not have at all is somebody else's to grant
        have, taken = amount(name, allocatable[name]), used.get(name, 0)
        if wanted + taken > have:
            return _refusal(name, wanted, taken, have)
    return None


def _refusal(name: str, wanted: int, used: int, have: int) -> Verdict:
    message = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {have}"
    return Verdict(f"OutOf{name}", message)


def _forbidden_sysctl(pod: core_v1.Pod) -> str:
    context = pod.spec.securityContext
    for sysctl in context.sysctls if context else ():
        name = sysctl.name.replace("/", ".")
        if name not in SAFE_SYSCTLS:
            return f'"{name}" not allowlisted'
        if pod.spec.hostNetwork and name.startswith("net."):
            return f'"{name}" not allowed with host net enabled'
        if pod.spec.hostIPC and name.startswith(_IPC):
            return f'"{name}" not allowed with host ipc enabled'
    return ""
