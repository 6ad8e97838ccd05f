"""Containers of a Pod's spec: which there are, and which of its three lists has one."""

from pybernetes.api.types import core_v1


def containers_of(pod: core_v1.Pod) -> tuple[core_v1.Container, ...]:
    """Init and ordinary containers."""
    return (*pod.spec.initContainers, *pod.spec.containers)


def find_container(pod: core_v1.Pod | None, name: str) -> core_v1.Container | None:
    """The container of that name; an ephemeral one, too, as an ordinary one."""
    if pod is None:
        return None
    guests = (plain(c) for c in pod.spec.ephemeralContainers if c.name == name)
    return next((c for c in containers_of(pod) if c.name == name), None) or next(guests, None)


def plain(container: core_v1.EphemeralContainer) -> core_v1.Container:
    """An ephemeral container as an ordinary one: it has the same fields and one more."""
    shared = {name: getattr(container, name) for name in core_v1.Container.__struct_fields__}
    return core_v1.Container(**shared)


def field_of(pod: core_v1.Pod, name: str) -> str:
    """The list of the spec that the container is in: `containers`, `initContainers`, `ephemeralContainers`."""
    if any(c.name == name for c in pod.spec.initContainers):
        return "initContainers"
    return "ephemeralContainers" if any(c.name == name for c in pod.spec.ephemeralContainers) else "containers"
