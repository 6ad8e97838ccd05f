"""What a Service's Pods are as endpoints. The Endpoints and EndpointSlice controllers share it; pure but for the mappings."""

from collections.abc import Iterable, Mapping

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._labels import candidates
from pybernetes.controllers.runtime import Context
from pybernetes.rules.readiness import condition, is_finished, is_ready

TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"
"""Annotation: when what the write answers to has happened. Proxies measure with it how long a change takes to reach them."""
HEADLESS = "service.kubernetes.io/headless"
SELECTS = "selects"
"""Index of Services by one label of their selector."""


def of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    """The Services that select a Pod."""
    services = ctx.cache(core_v1.Service)
    services.add_index(SELECTS, _selecting)
    where = [f"{pod.metadata.namespace}/{name}={value}" for name, value in pod.metadata.labels.items()]
    return [key_of(service) for label in where for service in services.by(SELECTS, label) if _selects(service, pod)]


class Triggers:
    """For each Service the times that were answered to: of its own creation, and of its Pods' readiness."""

    def __init__(self) -> None:
        self._last: dict[Key, tuple[str, Mapping[str, str]]] = {}

    def next(self, service: core_v1.Service, pods: Iterable[core_v1.Pod]) -> str:
        """The earliest time that is news; of a Service that is new, its creation. Empty where there is none.

        RFC 3339 with whole seconds: such texts sort as times.
        """
        key, born = key_of(service), service.metadata.creationTimestamp or ""
        times = {pod.metadata.name: time for pod in pods if (time := _since(pod))}
        known = self._last.get(key)
        self._last[key] = born, times
        if known is None:
            return born
        news = [time for name, time in times.items() if time > known[1].get(name, "")]
        return min([*news, born] if born > known[0] else news, default="")

    def forget(self, key: Key) -> None:
        """The Service is no more."""
        self._last.pop(key, None)


def _since(pod: core_v1.Pod) -> str | None:
    ready = condition(pod, "Ready")
    return ready.lastTransitionTime if ready is not None else None


def _selecting(service: core_v1.Service) -> Iterable[str]:
    """Index function."""
    return [f"{service.metadata.namespace}/{name}={value}" for name, value in sorted(service.spec.selector.items())[:1]]


def pod_matters(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    """Whether a change of a Pod can change an endpoint."""
    return _facts(old) != _facts(new)


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    return (
        pod.metadata.labels,
        pod.metadata.deletionTimestamp is None,
        pod.status.podIPs,
        pod.status.podIP,
        is_ready(pod),
        is_finished(pod),
        pod.spec.nodeName,
        pod.spec.hostname,
        pod.spec.subdomain,
        pod.metadata.uid,
    )


def selected(service: core_v1.Service, ctx: Context) -> list[core_v1.Pod]:
    """The Pods a Service selects that have not ended, by name."""
    pods = candidates(service.metadata.namespace, service.spec.selector, ctx.cache(core_v1.Pod))
    return sorted((pod for pod in pods if _selects(service, pod) and not is_finished(pod)), key=key_of)


def _selects(service: core_v1.Service, pod: core_v1.Pod) -> bool:
    # Asked for every Pod and Service of a namespace: ten times faster than a Selector.
    return service.spec.selector.items() <= pod.metadata.labels.items()


def is_headless(service: core_v1.Service) -> bool:
    """clusterIP None."""
    return service.spec.clusterIP in ("None", "")


def families(service: core_v1.Service) -> tuple[str, ...]:
    """IPv4, IPv6 or both, the first one first. A Service that a server of old stored may not say them."""
    if service.spec.ipFamilies:
        return service.spec.ipFamilies
    if is_headless(service):
        return ("IPv4", "IPv6")
    return ("IPv6" if ":" in service.spec.clusterIP else "IPv4",)


def address(pod: core_v1.Pod, family: str) -> str:
    """The Pod's address of a family (IPv4, IPv6); empty when it has none."""
    addresses = [ip.ip for ip in pod.status.podIPs] or ([pod.status.podIP] if pod.status.podIP else [])
    return next((ip for ip in addresses if (":" in ip) == (family == "IPv6")), "")


def has_address(pod: core_v1.Pod) -> bool:
    """Of any family."""
    return bool(pod.status.podIPs or pod.status.podIP)


def target_port(port: core_v1.ServicePort, pod: core_v1.Pod) -> int | None:
    """The number that a Service port means in this Pod; None where no container has a port of that name."""
    wanted = port.targetPort
    if isinstance(wanted, str) and not wanted.isdigit():
        containers = (*pod.spec.containers, *(c for c in pod.spec.initContainers if c.restartPolicy == "Always"))
        for container in containers:
            for known in container.ports:
                if known.name == wanted and (known.protocol or "TCP") == (port.protocol or "TCP"):
                    return known.containerPort
        return None
    return int(wanted) or port.port


def hostname(pod: core_v1.Pod, service: core_v1.Service) -> str:
    """The Pod's own name below a headless Service's DNS name."""
    ours = pod.spec.subdomain == service.metadata.name
    return pod.spec.hostname if ours else ""


def pod_reference(pod: core_v1.Pod) -> core_v1.ObjectReference:
    """targetRef."""
    meta = pod.metadata
    return core_v1.ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)


def labels_of(service: core_v1.Service, own: Mapping[str, str]) -> dict[str, str]:
    """A Service's labels, with those that the controller sets."""
    found = {name: value for name, value in service.metadata.labels.items() if name != HEADLESS}
    if is_headless(service):
        found[HEADLESS] = ""
    return found | dict(own)
