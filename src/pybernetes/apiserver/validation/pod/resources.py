"""Requests and limits of containers and Pods, and how containers are resized."""

from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, field_forbidden, invalid_value, not_supported, required, shown
from pybernetes.api.quantity import Quantity
from pybernetes.apiserver.validation.amounts import amount_value, container_resource_name, quantity, resource_name
from pybernetes.apiserver.validation.fields import FieldErrors, check
from pybernetes.rules.podresources import of_containers
from pybernetes.rules.resourcenames import HUGE_PAGES, POD_LEVEL, is_pod_level, overcommits

_RESIZED, _RESIZES = ("cpu", "memory"), ("NotRequired", "RestartContainer")


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


@lru_cache(maxsize=4096)
def _is_odd(name: str, text: str, of_pod: bool) -> bool:
    """Whether a name and its amount have any fault: the same few come with every Pod."""
    return any(True for _ in _entry(name, text, "", of_pod))


@lru_cache(maxsize=4096)
def _exceeds(name: str, text: str, most: str | None) -> bool:
    return any(True for _ in _compared(name, text, most, ""))


def _entry(name: str, text: str, path: str, of_pod: bool) -> FieldErrors:
    yield from _pod_name(name, path) if of_pod else container_resource_name(name, path)
    yield from amount_value(name, text, path)
    amount = quantity(text)
    if amount is not None and name.startswith(HUGE_PAGES):
        page = quantity(name.removeprefix(HUGE_PAGES))
        if page is None or page.nanos <= 0 or page.nanos % 10**9 or amount.value() % page.value():
            yield invalid_value(path, text, f"{text} is not positive integer multiple of {name}")


def _pod_name(name: str, path: str) -> FieldErrors:
    wrong = list(resource_name(name, path))
    yield from wrong
    if not wrong and not is_pod_level(name):
        yield not_supported(path, name, POD_LEVEL)


def _compared(name: str, text: str, most: str | None, path: str) -> FieldErrors:
    request, limit = quantity(text), quantity(most)
    if limit is None:
        if not overcommits(name):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    elif request is not None and request != limit:
        if not overcommits(name):
            yield invalid_value(f"{path}.requests", text, f"must be equal to {name} limit of {most}")
        elif request > limit:
            yield invalid_value(f"{path}.requests", text, f"must be less than or equal to {name} limit of {most}")


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
    for name, total in of_containers(spec, "requests").items():
        own = quantity(requests.get(name)) or Quantity()
        if is_pod_level(name) and total > own:
            why = f"must be greater than or equal to aggregate container requests of {total}"
            yield invalid_value(f"{path}.resources.requests[{name}]", str(own), why)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            most, limit = quantity(limits.get(name)), quantity(text)
            if most is not None and limit is not None and limit > most:
                at = f"{path}.resources.containers[{index}][{name}].limits"
                yield invalid_value(at, text, f"must be less than or equal to pod limits of {most}")
