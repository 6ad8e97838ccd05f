"""What Pods ask for and Nodes have, as integers. Used by the scheduler, by kubelet admission and by quota.

CPU counts in thousandths of a core, everything else in its own unit (bytes, Pods, devices).
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from pybernetes.api.quantity import parse
from pybernetes.api.types.core_v1 import Container, ContainerStatus, Pod, ResourceRequirements
from pybernetes.rules.resourcenames import is_pod_level

Amounts: TypeAlias = dict[str, int]

CPU, MEMORY, EPHEMERAL_STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"
ASSUMED: Mapping[str, int] = {CPU: 100, MEMORY: 200 << 20}
"""What a container that asks for nothing counts as when nodes are scored, so that such Pods spread too."""


def amounts(quantities: Mapping[str, str]) -> Amounts:
    """Integers of a ResourceList. Raises ValueError."""
    return {name: amount(name, text) for name, text in quantities.items()}


def amount(name: str, text: str) -> int:
    """One quantity in the unit of its resource, rounded up. Raises ValueError."""
    quantity = parse(text)
    return quantity.milli_value() if name == CPU else quantity.value()


def pod_requests(pod: Pod, missing: Mapping[str, int] | None = None) -> Amounts:
    """What a Node must have free for the Pod: the most that its containers need at one time, plus its overhead.

    Init containers run one after the other, before the others; sidecars (restartPolicy Always) start among them and stay
    (KEP-753). Pod-level requests stand in for the sum (KEP-2837). While a container or the Pod is resized, the larger of
    what it has and what it wants counts (KEP-1287, KEP-5419). `missing` is assumed where a container requests nothing of
    a resource.
    """
    spec = pod.spec
    statuses = {s.name: s for s in (*pod.status.containerStatuses, *pod.status.initContainerStatuses)}
    refused = any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions)
    main: Amounts = {}
    for container in spec.containers:
        _add(main, _container_requests(container, statuses.get(container.name), refused, missing or {}))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.initContainers:
        own = _container_requests(container, statuses.get(container.name), refused, missing or {})
        if container.restartPolicy == "Always":
            _add(sidecars, own)
            _raise_to(peak, sidecars)
        else:
            _raise_to(peak, _sum(sidecars, own))
    total = _sum(main, sidecars)
    _raise_to(total, peak)
    total.update(_pod_requests(pod, refused))
    _add(total, amounts(spec.overhead))
    return total


def pod_limits(pod: Pod) -> Amounts:
    """The same for limits; a resource appears only if some container limits it."""
    spec = pod.spec
    total: Amounts = {}
    for container in spec.containers:
        _add(total, amounts(container.resources.limits))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.initContainers:
        own = amounts(container.resources.limits)
        if container.restartPolicy == "Always":
            _add(sidecars, own)
            _raise_to(peak, sidecars)
        else:
            _raise_to(peak, _sum(sidecars, own))
    _add(total, sidecars)
    _raise_to(total, peak)
    total.update(_pod_level(spec.resources, "limits"))
    overhead = amounts(spec.overhead)
    _add(total, {name: value for name, value in overhead.items() if name in total})
    return total


def host_ports(pod: Pod) -> tuple[tuple[str, str, int], ...]:
    """(host IP, protocol, port) of each host port; `0.0.0.0` where none is named. Sidecars' ports count too."""
    containers = (*pod.spec.containers, *(c for c in pod.spec.initContainers if c.restartPolicy == "Always"))
    return tuple(
        (port.hostIP or "0.0.0.0", port.protocol or "TCP", port.hostPort)
        for container in containers
        for port in container.ports
        if port.hostPort > 0
    )


def ports_clash(wanted: Iterable[tuple[str, str, int]], used: Iterable[tuple[str, str, int]]) -> bool:
    """Whether any wanted host port is taken: same protocol and number, and addresses that overlap."""
    taken = set(used)
    return any(
        protocol == other_protocol and port == other_port and (ip == other_ip or "0.0.0.0" in (ip, other_ip))
        for ip, protocol, port in wanted
        for other_ip, other_protocol, other_port in taken
    )


def _container_requests(
    container: Container, status: ContainerStatus | None, refused: bool, missing: Mapping[str, int]
) -> Amounts:
    wanted = amounts(container.resources.requests)
    if status is not None:
        allocated = amounts(status.allocatedResources)
        actual = amounts(status.resources.requests) if status.resources is not None else {}
        if refused and allocated:
            wanted = {}
        _raise_to(wanted, allocated)
        _raise_to(wanted, actual)
    for name, value in missing.items():
        wanted.setdefault(name, value)
    return wanted


def _pod_requests(pod: Pod, refused: bool) -> Amounts:
    """Those that are said of the Pod as a whole."""
    wanted = _pod_level(pod.spec.resources, "requests")
    if not wanted:
        return {}
    named, status = set(wanted), pod.status
    allocated = amounts(status.allocatedResources)
    if refused and allocated:
        wanted = {}
    _raise_to(wanted, allocated)
    _raise_to(wanted, amounts(status.resources.requests) if status.resources is not None else {})
    return {name: value for name, value in wanted.items() if name in named}


def _pod_level(resources: ResourceRequirements | None, which: str) -> Amounts:
    if resources is None:
        return {}
    found = amounts(resources.requests if which == "requests" else resources.limits)
    return {name: value for name, value in found.items() if is_pod_level(name)}


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: Amounts, least: Mapping[str, int]) -> None:
    for name, value in least.items():
        total[name] = max(total.get(name, 0), value)


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    total = dict(one)
    _add(total, other)
    return total
