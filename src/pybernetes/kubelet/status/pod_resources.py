"""What of the node a Pod has as a whole: `allocatedResources` and `resources` of its status (KEP-5419). pod_status.py asks.

Of a Pod that says nothing for itself it is the sum of its containers. A RuntimeClass's overhead counts on top of it, as
with the figures of the spec.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from pybernetes.api.quantity import of_int, of_milli
from pybernetes.api.types import core_v1
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.rules.requests import CPU, MEMORY, amount, pod_limits, pod_requests


def allocated(pod: core_v1.Pod) -> Mapping[str, str]:
    """Its requests, of a Pod with what it was given."""
    if _asks_for_nothing(pod):
        return {}
    own = pod.spec.resources.requests if pod.spec.resources is not None else {}
    return {name: _text(name, wanted, own) for name, wanted in pod_requests(_alone(pod)).items()}


def applied(pod: core_v1.Pod) -> core_v1.ResourceRequirements | None:
    """What its cgroup was set for, of a Pod with that; a limit only where the Pod or each of its containers has one."""
    if _asks_for_nothing(pod):
        return None
    own = pod.spec.resources.limits if pod.spec.resources is not None else {}
    every = tuple(containers_of(pod))
    most = pod_limits(_alone(pod))
    held = (n for n in most if n in own or (n in (CPU, MEMORY) and all(c.resources.limits.get(n) for c in every)))
    limits = {name: _text(name, most[name], own) for name in held}
    requests = allocated(pod)
    return core_v1.ResourceRequirements(limits=limits, requests=requests) if limits or requests else None


def _asks_for_nothing(pod: core_v1.Pod) -> bool:
    """As most Pods of tests."""
    return pod.spec.resources is None and not any(
        container.resources.requests or container.resources.limits for container in containers_of(pod)
    )


def _alone(pod: core_v1.Pod) -> core_v1.Pod:
    """As its spec says, whatever it has besides."""
    return replace(pod, status=core_v1.PodStatus(), spec=replace(pod.spec, overhead={}))


def _text(name: str, wanted: int, own: Mapping[str, str]) -> str:
    """In the words of the spec where it says so."""
    if name in own and amount(name, own[name]) == wanted:
        return own[name]
    return str(of_milli(wanted) if name == CPU else of_int(wanted, "BinarySI" if wanted % 1024 == 0 else "DecimalSI"))
