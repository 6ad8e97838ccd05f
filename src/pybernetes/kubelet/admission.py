"""What the node takes: asked once for each Pod before it starts. See "Node-pressure Eviction" and "Assigning Pods to Nodes".

The scheduler has counted already; this catches races, and Pods that name their node themselves. Pure: pods.py says what
the node is and which Pods it has. A Pod that may not stay is a Verdict; preemption.py finds who makes room for a critical
one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet import preemption
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.preemption import Shortage, victims
from pybernetes.kubelet.resources import BEST_EFFORT, is_critical
from pybernetes.rules import affinity, taints
from pybernetes.rules.nodefeatures import missing_features
from pybernetes.rules.qos import qos_class
from pybernetes.rules.requests import (
    CPU,
    EPHEMERAL_STORAGE,
    MEMORY,
    PODS,
    amount,
    host_ports,
    pod_requests,
    ports_clash,
)
from pybernetes.rules.resourcenames import HUGE_PAGES, is_extended

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
NODE_AFFINITY = "NodeAffinity"
PREEMPTED = Verdict(preemption.REASON, preemption.MESSAGE, disruption=preemption.CONDITION_MESSAGE)
"""How a Pod ends that makes room for a critical one."""
_ENDINGS = ("Evicted", "Terminated", preemption.REASON)
"""Reasons of a Pod that was ended from outside, shown while its containers still run."""
CLAIMS = "DynamicResourceAllocation"
OS_LABEL = "kubernetes.io/os"
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
_OS = "linux"
_FIRST = (CPU, MEMORY, EPHEMERAL_STORAGE)


class Host(Struct, frozen=True):
    """The node, as far as admission asks."""

    name: str
    allocatable: Mapping[str, str]
    labels: Mapping[str, str] = {}
    taints: Sequence[core_v1.Taint] = ()
    pressures: Collection[str] = ()
    """Conditions that hold: `MemoryPressure`, `DiskPressure`, `PIDPressure`."""
    sysctls: Sequence[str] = ()
    """allowedUnsafeSysctls: names and prefixes that end in `*`."""
    huge_pages: bool = False
    """Whether Pods can be held to their huge pages."""
    strict_groups: bool = True
    """Whether the runtime knows supplementalGroupsPolicy Strict."""
    features: Collection[str] = ()
    """What the node declares in its status (KEP-5328)."""


class Decision(Struct, frozen=True):
    """`refused` says why the Pod is Failed; the `preempted` must end so that it can start."""

    refused: Verdict | None = None
    preempted: tuple[core_v1.Pod, ...] = ()
    short: str = ""
    """The resource for which they must."""


Check: TypeAlias = Callable[[core_v1.Pod, Host], Verdict | None]
Requests: TypeAlias = Callable[[core_v1.Pod], Mapping[str, int]]


def admit(pod: core_v1.Pod, others: Iterable[core_v1.Pod], host: Host, requests: Requests = pod_requests) -> Decision:
    """Whether the Pod may start. `others` are the Pods that were admitted and have not ended.

    `requests` says what each of them asks for, where somebody knows it by heart.
    """
    for check in _CHECKS:
        refused = check(pod, host)
        if refused is not None:
            return Decision(refused)
    there = tuple(others)
    short = shortages(pod, there, host.allocatable, requests)
    misfits = _misfits(pod, there, host)
    if short and is_critical(pod) and not misfits:
        chosen = victims(pod, there, short)
        if chosen is None:
            wanted = ", ".join(f"(res: {s.name}, q: {s.missing})" for s in short)
            message = (
                "Unexpected error while attempting to recover from admission failure: preemption: error finding a set"
                f" of pods to preempt: no set of running pods found to reclaim resources: [{wanted}, ]"
            )
            return Decision(Verdict("UnexpectedAdmissionError", message))
        return Decision(preempted=chosen, short=short[0].name)
    if short and not (is_critical(pod) and misfits):
        return Decision(_refusal(short[0]))
    return Decision(misfits[0] if misfits else None)


def shortages(
    pod: core_v1.Pod,
    others: Sequence[core_v1.Pod],
    allocatable: Mapping[str, str],
    requests: Requests = pod_requests,
) -> tuple[Shortage, ...]:
    """What the node has too little of, beside what the others request; upstream's order."""
    found = []
    most = int(allocatable.get(PODS, "110"))
    if len(others) + 1 > most:
        found.append(Shortage(PODS, 1, len(others), most))
    asked = pod_requests(pod)
    used: dict[str, int] = {}
    for other in others if any(asked.values()) else ():
        for name, wanted in requests(other).items():
            used[name] = used.get(name, 0) + wanted
    for name in (*_FIRST, *sorted(asked.keys() - set(_FIRST))):
        wanted = asked.get(name, 0)
        if not wanted or (name not in allocatable and is_extended(name)):
            continue  # what the node does not have at all is somebody else's to grant
        have, taken = amount(name, allocatable.get(name, "0")), used.get(name, 0)
        if wanted + taken > have:
            found.append(Shortage(name, wanted, taken, have))
    return tuple(found)


def _refusal(short: Shortage) -> Verdict:
    numbers = f"requested: {short.wanted}, used: {short.used}, capacity: {short.capacity}"
    return Verdict(f"OutOf{short.name}", f"Node didn't have enough resource: {short.name}, {numbers}")


def _misfits(pod: core_v1.Pod, others: Iterable[core_v1.Pod], host: Host) -> tuple[Verdict, ...]:
    """Why the Pod does not belong here, whatever room there is."""
    found = []
    if not affinity.fits(pod, host.labels, host.name):
        found.append(_failed(NODE_AFFINITY, "node(s) didn't match Pod's node affinity/selector"))
    if pod.spec.nodeName and pod.spec.nodeName != host.name:
        found.append(_failed("NodeName", "node(s) didn't match the requested node name"))
    ports = host_ports(pod)
    if ports and ports_clash(ports, [port for other in others for port in host_ports(other)]):
        found.append(_failed("NodePorts", "node(s) didn't have free ports for the requested pod ports"))
    static = pod.metadata.annotations.get("kubernetes.io/config.source", "api") != "api"
    # NoSchedule is the scheduler's alone: a Pod that names its node does not ask it.
    if not static and taints.untolerated(host.taints, pod.spec.tolerations, (taints.NO_EXECUTE,)) is not None:
        found.append(_failed("TaintToleration", "node(s) had taints that the pod didn't tolerate"))
    return tuple(found)


def _failed(predicate: str, why: str) -> Verdict:
    return Verdict(predicate, f"Predicate {predicate} failed: {why}")


# -- checks that no room helps with ----------------------------------------------------------------------------------


def _under_pressure(pod: core_v1.Pod, host: Host) -> Verdict | None:
    """Short of memory alone, a node takes what requests memory; short of anything else, only what is critical."""
    if not host.pressures or is_critical(pod):
        return None
    if set(host.pressures) == {"MemoryPressure"}:
        memory = core_v1.Taint(key=taints.MEMORY_PRESSURE, effect=taints.NO_SCHEDULE)
        if qos_class(pod) != BEST_EFFORT or taints.untolerated((memory,), pod.spec.tolerations) is None:
            return None
    return Verdict("Evicted", f"The node had condition: [{' '.join(sorted(host.pressures))}]. ")


def _forbidden_sysctl(pod: core_v1.Pod, host: Host) -> Verdict | None:
    context = pod.spec.securityContext
    for sysctl in context.sysctls if context else ():
        name = dotted(sysctl.name)
        why = ""
        if name not in SAFE_SYSCTLS and not any(_covers(dotted(pattern), name) for pattern in host.sysctls):
            why = f'"{name}" not allowlisted'
        elif pod.spec.hostNetwork and name.startswith("net."):
            why = f'"{name}" not allowed with host net enabled'
        elif pod.spec.hostIPC and name.startswith(_IPC):
            why = f'"{name}" not allowed with host ipc enabled'
        if why:
            return Verdict("SysctlForbidden", f"forbidden sysctl: {why}")
    return None


def dotted(name: str) -> str:
    """With dots between the parts. In a name that has slashes there, dots are part of a part (`net/ipv4/conf/eth0.1`)."""
    first = next((sign for sign in name if sign in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _wrong_system(pod: core_v1.Pod, host: Host) -> Verdict | None:
    if pod.metadata.labels.get(OS_LABEL, _OS) != _OS:
        said = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Verdict("PodOSSelectorNodeLabelDoesNotMatch", said)
    if pod.spec.os is not None and pod.spec.os.name != _OS:
        return Verdict("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def _unknown_policy(pod: core_v1.Pod, host: Host) -> Verdict | None:
    context = pod.spec.securityContext
    if context is None or context.supplementalGroupsPolicy != "Strict" or host.strict_groups:
        return None
    said = "SupplementalGroupsPolicy=Strict is not supported in this node"
    return Verdict("SupplementalGroupsPolicyNotSupported", said)


def _no_huge_pages(pod: core_v1.Pod, host: Host) -> Verdict | None:
    """A node without any has none to give, which counting tells; this one has some and cannot keep them apart."""
    wanted = [n for n in pod_requests(pod) if n.startswith(HUGE_PAGES) and amount(n, host.allocatable.get(n, "0"))]
    if not wanted or host.huge_pages:
        return None
    said = f"{wanted[0]} cannot be limited: this node has no hugetlb cgroup controller"
    return Verdict("UnexpectedAdmissionError", said)


def _unsupported(pod: core_v1.Pod, host: Host) -> Verdict | None:
    """Features that nodes declare, and devices of claims, which nobody prepares here whatever a node declares."""
    missing = missing_features(pod, host.features)
    if pod.spec.resourceClaims:
        missing = tuple(sorted((*missing, CLAIMS)))
    if not missing:
        return None
    said = f"Pod requires node features that are not available: {', '.join(missing)}"
    return Verdict("PodFeatureUnsupported", said)


_CHECKS: tuple[Check, ...] = (
    _under_pressure,
    _forbidden_sysctl,
    _wrong_system,
    _unknown_policy,
    _no_huge_pages,
    _unsupported,
)


def ended_before(pod: core_v1.Pod) -> Verdict | None:
    """How a Pod was ended from outside, as far as its status says so: by this process or the one before it."""
    return Verdict(pod.status.reason, pod.status.message) if pod.status.reason in _ENDINGS else None
