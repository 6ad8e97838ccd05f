"""What the server makes of a new Pod before it is judged: merged selectors, profiles out of old annotations."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.pod.annotations import APP_ARMOR, app_armor_of
from pybernetes.apiserver.validation.pod.security import app_armor
from pybernetes.rules.podcontainers import containers

_HARD, _SOFT = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"


def merge_label_keys(obj: Object) -> None:
    """matchLabelKeys and mismatchLabelKeys become terms of their selectors, with the Pod's own values."""
    spec, labels = obj["spec"], (obj.get("metadata") or {}).get("labels") or {}
    for rule in spec.get("topologySpreadConstraints") or ():
        _merge(rule, labels, (("matchLabelKeys", "In"),))
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        soft = [weighted.get("podAffinityTerm") or {} for weighted in terms.get(_SOFT) or ()]
        for term in (*soft, *(terms.get(_HARD) or ())):
            _merge(term, labels, (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")))


def _merge(rule: Object, labels: Mapping[str, str], fields: Iterable[tuple[str, str]]) -> None:
    selector = rule.get("labelSelector")
    if selector is None:
        return
    terms = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in fields
        for key in rule.get(field) or ()
        if key in labels
    ]
    if terms:
        selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *terms]


def adopt_app_armor(obj: Object) -> None:
    """A container's old AppArmor annotation fills its field, unless the Pod's says the same."""
    for container, profile in _adoptable(obj):
        if profile is not None and profile != ((obj["spec"].get("securityContext") or {}).get("appArmorProfile")):
            container["securityContext"] = {**(container.get("securityContext") or {}), "appArmorProfile": profile}


def _adoptable(obj: Mapping[str, Any]) -> Iterator[tuple[Object, Mapping[str, Any] | None]]:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if not any(key.startswith(APP_ARMOR) for key in annotations):
        return
    spec = obj.get("spec") or {}
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for container in containers(spec):
        text = annotations.get(APP_ARMOR + (container.get("name") or ""))
        if text is None or (container.get("securityContext") or {}).get("appArmorProfile") is not None:
            continue
        profile = app_armor_of(text)
        valid = profile is not None and not any(True for _ in app_armor(profile, ""))
        yield container, profile if valid else None
