"""Requests and limits of containers and Pods, and how containers are resized."""

from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, field_forbidden, invalid_value, not_supported, required, shown
from pybernetes.api.quantity import Quantity, parse
from pybernetes.apiserver.validation.fields import NON_NEGATIVE, FieldErrors, check

_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED = (
    *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
    *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
)
_STANDARD = _CONTAINER | {
    *_COUNTED,
    *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _CONTAINER),
    *("storage", "requests.storage"),
}
HUGE_PAGES = "hugepages-"
POD_LEVEL = ("cpu", "memory")
_RESIZED, _RESIZES = ("cpu", "memory"), ("NotRequired", "RestartContainer")


def overcommits(name: str) -> bool:
    """Kubernetes' own resources but hugepages may ask for less than their limit."""
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith(HUGE_PAGES)


def is_extended(name: str) -> bool:
    """A resource of a vendor: `example.com/gpu`."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def validate_resources(
    resources: Mapping[str, Any], path: str, claims: Set[str] = frozenset(), *, of_pod: bool = False
) -> FieldErrors:
    """ResourceRequirements. `claims` are the names of the Pod's resourceClaims; a Pod as a whole has fewer resources."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            if _is_odd(name, text, of_pod):
                yield from _entry(name, text, f"{path}.{field}[{name}]", of_pod)
            if field == "requests" and limits.get(name) != text and _exceeds(name, text, limits.get(name)):
                yield from _compared(name, text, limits.get(name), path)
    if resources.get("claims"):
        yield from _claims(resources, path, claims)
    given = {*limits, *requests}
    if not given & {"cpu", "memory"} and any(name.startswith(HUGE_PAGES) for name in given):
        yield field_forbidden(path, "HugePages require cpu or memory")


def resource_list(amounts: Mapping[str, str], path: str) -> FieldErrors:
    """Names and amounts, as a container's limits have them."""
    for name, text in amounts.items():
        if _is_odd(name, text, False):
            yield from _entry(name, text, f"{path}[{name}]", False)


@lru_cache(maxsize=4096)
def _is_odd(name: str, text: str, of_pod: bool) -> bool:
    """Whether a name and its amount have any fault: the same few come with every Pod."""
    return any(True for _ in _entry(name, text, "", of_pod))


@lru_cache(maxsize=4096)
def _exceeds(name: str, text: str, most: str | None) -> bool:
    return any(True for _ in _compared(name, text, most, ""))


def _entry(name: str, text: str, path: str, of_pod: bool) -> FieldErrors:
    yield from _pod_name(name, path) if of_pod else _name(name, path)
    amount = parsed(text)
    if amount is None:
        return
    if amount.nanos < 0:
        yield invalid_value(path, text, NON_NEGATIVE)
    if (is_extended(name) or name in _COUNTED) and amount.milli_value() % 1000:
        yield invalid_value(path, text, "must be an integer")
    if name.startswith(HUGE_PAGES):
        page = parsed(name.removeprefix(HUGE_PAGES))
        if page is None or page.nanos <= 0 or page.nanos % 10**9 or amount.value() % page.value():
            yield invalid_value(path, text, f"{text} is not positive integer multiple of {name}")


def _name(name: str, path: str) -> FieldErrors:
    wrong = names.qualified_name(name)
    yield from check(path, name, wrong)
    own = "/" not in name
    if not wrong and own and name not in _STANDARD and not name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}")):
        yield invalid_value(path, name, "must be a standard resource type or fully qualified")
    if own and name not in _CONTAINER and not name.startswith(HUGE_PAGES):
        yield invalid_value(path, name, "must be a standard resource for containers")
    elif not own and "kubernetes.io/" not in name and not is_extended(name):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def _pod_name(name: str, path: str) -> FieldErrors:
    wrong = [*check(path, name, names.qualified_name(name))]
    if not wrong and "/" not in name and name not in _STANDARD and not name.startswith(HUGE_PAGES):
        wrong.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))
    yield from wrong
    if not wrong and name not in POD_LEVEL and not name.startswith(HUGE_PAGES):
        yield not_supported(path, name, POD_LEVEL)


def _compared(name: str, text: str, most: str | None, path: str) -> FieldErrors:
    request, limit = parsed(text), parsed(most)
    if limit is None:
        if not overcommits(name):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    elif request is not None and request != limit:
        if not overcommits(name):
            yield invalid_value(f"{path}.requests", text, f"must be equal to {name} limit of {most}")
        elif request > limit:
            yield invalid_value(f"{path}.requests", text, f"must be less than or equal to {name} limit of {most}")


def parsed(text: str | None) -> Quantity | None:
    """The amount, if there is one that can be read."""
    try:
        return parse(text) if text is not None else None
    except ValueError:
        return None


def _claims(resources: Mapping[str, Any], path: str, claims: Set[str]) -> FieldErrors:
    seen: set[str] = set()
    for index, claim in enumerate(resources["claims"]):
        at, name, request = f"{path}.claims[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            yield required(at)
            continue
        if name in seen:
            yield duplicate(at, name)
        else:
            if request:
                yield from check(f"{at}.request", request, names.dns1123_label(request))
            key = f"{name}/{request}" if request else name
            if key in seen:
                yield duplicate(at, key)
            elif not request:
                yield from (duplicate(at, name) for other in seen if other.startswith(f"{name}/"))
            seen.add(key)
        if name not in claims:
            listed = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            why = f"Not found: {shown(name)}: must be one of the names in pod.spec.resourceClaims{listed}"
            yield FieldError("FieldValueNotFound", at, why)


def validate_resize_policy(container: Mapping[str, Any], path: str, restarts: str | None) -> FieldErrors:
    """resizePolicy; upstream names the list in all faults but duplicates."""
    at, seen = f"{path}.resizePolicy", set[str]()
    for index, rule in enumerate(container["resizePolicy"]):
        name, policy = rule.get("resourceName") or "", rule.get("restartPolicy") or ""
        if name in seen:
            yield duplicate(f"{at}[{index}]", name)
        seen.add(name)
        for value, known in ((name, _RESIZED), (policy, _RESIZES)):
            if not value:
                yield required(at)
            elif value not in known:
                yield not_supported(at, value, known)
        if restarts == "Never" and policy != "NotRequired":
            yield invalid_value(at, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def validate_pod_resources(spec: Mapping[str, Any], path: str, claims: Set[str]) -> FieldErrors:
    """spec.resources: at least what the containers request together, and no container is limited higher."""
    resources = spec["resources"]
    if resources.get("claims"):
        yield field_forbidden(f"{path}.resources.claims", "claims cannot be set for Resources at pod-level")
    yield from validate_resources(resources, f"{path}.resources", claims, of_pod=True)
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, total in container_amounts(spec, "requests").items():
        own = parsed(requests.get(name)) or Quantity()
        if (name in POD_LEVEL or name.startswith(HUGE_PAGES)) and total > own:
            why = f"must be greater than or equal to aggregate container requests of {total}"
            yield invalid_value(f"{path}.resources.requests[{name}]", str(own), why)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            most, limit = parsed(limits.get(name)), parsed(text)
            if most is not None and limit is not None and limit > most:
                at = f"{path}.resources.containers[{index}][{name}].limits"
                yield invalid_value(at, text, f"must be less than or equal to pod limits of {most}")


def container_amounts(spec: Mapping[str, Any], field: str) -> dict[str, Quantity]:
    """Requests (or limits) of all containers together: sidecars stay, other init containers run one after the other."""
    main: dict[str, Quantity] = {}
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        _add(main, container, field)
    for container in spec.get("initContainers") or ():
        step = dict(sidecars)
        _add(step, container, field)
        if container.get("restartPolicy") == "Always":
            _add(main, container, field)
            sidecars = step
        for name, amount in step.items():
            peak[name] = max(peak.get(name, Quantity()), amount)
    return {name: max(main.get(name, Quantity()), peak.get(name, Quantity())) for name in {**main, **peak}}


def _add(total: dict[str, Quantity], container: Mapping[str, Any], field: str) -> None:
    for name, text in ((container.get("resources") or {}).get(field) or {}).items():
        amount = parsed(text)
        if amount is not None:
            total[name] = total[name] + amount if name in total else amount
