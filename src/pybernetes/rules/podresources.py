"""What the containers of a Pod ask for together, as quantities in the form they were written in. On canonical dicts.

rules/requests.py has the same sums as integers on Structs, for those who place and run Pods; admission and quota compare
and show what people wrote.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pybernetes.api.quantity import Quantity, parse
from pybernetes.rules.resourcenames import is_pod_level

Quantities: TypeAlias = dict[str, Quantity]
Which: TypeAlias = Literal["requests", "limits"]

_ZERO = Quantity()


def quantities(amounts: Mapping[str, str] | None) -> Quantities:
    """A ResourceList; what cannot be read as a quantity is left out (it was judged elsewhere)."""
    found: Quantities = {}
    for name, text in (amounts or {}).items():
        try:
            found[name] = parse(text)
        except (ValueError, TypeError):
            continue
    return found


def of_container(container: Mapping[str, Any], which: Which) -> Quantities:
    """One container's requests or limits."""
    return quantities((container.get("resources") or {}).get(which))


def of_pod(pod: Mapping[str, Any], which: Which, *, overhead: bool = False, actual: bool = False) -> Quantities:
    """What its containers need, or what is said of the Pod as a whole in place of their sum.

    With `actual`, a container that is being resized counts with the larger of what it has and what it wants.
    """
    spec = pod.get("spec") or {}
    total = _together(spec, which, _Running(pod) if actual else None)
    own_level = quantities((spec.get("resources") or {}).get(which))
    total.update((n, v) for n, v in own_level.items() if is_pod_level(n))
    if overhead:
        extra = quantities(spec.get("overhead"))
        add(total, extra if which == "requests" else {n: v for n, v in extra.items() if total.get(n)})
    return total


def of_containers(spec: Mapping[str, Any], which: Which) -> Quantities:
    """The most that is needed at one time: containers and sidecars together, or an init container with those before it."""
    return _together(spec, which, None)


def _together(spec: Mapping[str, Any], which: Which, running: "_Running | None") -> Quantities:
    total: Quantities = {}
    for container in spec.get("containers") or ():
        add(total, _counted(container, which, running))
    sidecars: Quantities = {}
    peak: Quantities = {}
    for container in spec.get("initContainers") or ():
        own = _counted(container, which, running)
        if container.get("restartPolicy") == "Always":
            add(sidecars, own)
            add(total, own)
            _raise_to(peak, sidecars)
        else:
            add(own, sidecars)
            _raise_to(peak, own)
    _raise_to(total, peak)
    return total


def add(total: Quantities, more: Mapping[str, Quantity]) -> None:
    """Sums in place."""
    for name, value in more.items():
        total[name] = total.get(name, _ZERO) + value


class _Running:
    """What containers have by their status."""

    def __init__(self, pod: Mapping[str, Any]) -> None:
        status = pod.get("status") or {}
        lists = (status.get("containerStatuses"), status.get("initContainerStatuses"))
        self.by_name = {one.get("name"): one for found in lists for one in found or ()}
        self.refused = any(
            condition.get("type") == "PodResizePending" and condition.get("reason") == "Infeasible"
            for condition in status.get("conditions") or ()
        )


def _counted(container: Mapping[str, Any], which: Which, running: _Running | None) -> Quantities:
    wanted = of_container(container, which)
    status = running.by_name.get(container.get("name")) if running else None
    if status is None or running is None:
        return wanted
    has = quantities((status.get("resources") or {}).get(which))
    allocated = quantities(status.get("allocatedResources")) if which == "requests" else {}
    if running.refused and (has or allocated):
        wanted = {}
    _raise_to(wanted, has)
    _raise_to(wanted, allocated)
    return wanted


def _raise_to(total: Quantities, least: Mapping[str, Quantity]) -> None:
    for name, value in least.items():
        if name not in total or total[name] < value:
            total[name] = value
