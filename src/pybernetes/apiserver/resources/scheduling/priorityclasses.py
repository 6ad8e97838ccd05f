"""PriorityClass: how much Pods that name it matter."""

from pybernetes.api.errors import field_forbidden, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.priority_classes import SYSTEM_PREFIX
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.fields import FieldErrors, immutable
from pybernetes.rules.staticpods import SYSTEM_CLASSES

_HIGHEST = 1_000_000_000
_POLICIES = ("PreemptLowerPriority", "Never")


def _default(obj: Object) -> None:
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def _prepare(obj: Object, old: Object | None) -> None:
    """Its generation is 1 and stays so."""
    if old is None:
        obj["metadata"]["generation"] = 1


def _validate(obj: Object) -> FieldErrors:
    name, value = (obj.get("metadata") or {}).get("name") or "", obj.get("value") or 0
    if name.startswith(SYSTEM_PREFIX):
        wrong = _unlike_system_class(name, value, bool(obj.get("globalDefault")))
        if wrong:
            why = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {wrong}"
            yield field_forbidden("metadata.name", why)
    elif value > _HIGHEST:
        yield field_forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST}")
    policy = obj.get("preemptionPolicy")
    if policy == "":
        yield required("preemptionPolicy")
    elif policy is not None and policy not in _POLICIES:
        yield not_supported("preemptionPolicy", policy, _POLICIES)


def _unlike_system_class(name: str, value: int, default: bool) -> str:
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if (obj.get("value") or 0) != (old.get("value") or 0):
        yield field_forbidden("value", "may not be changed in an update.")
    yield from immutable("preemptionPolicy", obj.get("preemptionPolicy"), old.get("preemptionPolicy"))


RESOURCE = Resource(
    group="scheduling.k8s.io",
    plural="priorityclasses",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    generation=False,
    indelible=dict.fromkeys(SYSTEM_CLASSES, "this is a system priority class and cannot be deleted"),
    columns=(
        Column("Value", lambda obj: obj.get("value", 0), "integer", description="The number that Pods get."),
        Column(
            "Global-Default",
            lambda obj: bool(obj.get("globalDefault")),
            "boolean",
            description="Whether it is for Pods that name none.",
        ),
        AGE,
        Column("PreemptionPolicy", lambda obj: obj.get("preemptionPolicy") or "", description="Whom it may displace."),
    ),
)
