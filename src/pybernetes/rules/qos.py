"""The QoS class of a Pod: what the kubelet turns into cgroups and OOM scores, and eviction into an order."""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from pybernetes.api.types.core_v1 import Pod, ResourceRequirements
from pybernetes.rules.requests import CPU, MEMORY, Amounts, amounts

QosClass: TypeAlias = Literal["Guaranteed", "Burstable", "BestEffort"]


def qos_class(pod: Pod) -> QosClass:
    """Guaranteed: limits on CPU and memory everywhere, and equal requests. BestEffort: neither anywhere.

    Pod-level resources decide alone where there are any (KEP-2837).
    """
    own = pod.spec.resources
    if own is not None and (own.requests or own.limits):
        return _of([own])
    return _of(container.resources for container in (*pod.spec.containers, *pod.spec.initContainers))


def _of(parts: Iterable[ResourceRequirements]) -> QosClass:
    requests: Amounts = {}
    limits: Amounts = {}
    guaranteed = True
    for part in parts:
        wanted, most = _compute(part.requests), _compute(part.limits)
        guaranteed = guaranteed and most.keys() == {CPU, MEMORY}
        for total, more in ((requests, wanted), (limits, most)):
            for name, value in more.items():
                total[name] = total.get(name, 0) + value
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and all(limits.get(n) == v for n, v in requests.items()) else "Burstable"


def _compute(quantities: Mapping[str, str]) -> Amounts:
    return {name: value for name, value in amounts(quantities).items() if name in (CPU, MEMORY) and value > 0}
