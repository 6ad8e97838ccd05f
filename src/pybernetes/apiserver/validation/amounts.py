"""Names and amounts of resources where any kind of them may stand: limits, quotas, capacity (pkg/apis/core/helper)."""

from pybernetes.api import names
from pybernetes.api.errors import invalid_value
from pybernetes.api.quantity import Quantity, parse
from pybernetes.apiserver.validation.fields import NON_NEGATIVE, FieldErrors, check
from pybernetes.rules.resourcenames import COMPUTE, HUGE_PAGES, is_extended, is_native

_COUNTED = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
"""Whole numbers of objects."""
_QUOTA = (
    _COUNTED
    | {*COMPUTE}
    | {f"{kind}.{name}" for kind in ("requests", "limits") for name in COMPUTE}
    | {"requests.storage"}
)
_STANDARD = _QUOTA | {"storage"}


def quantity(text: str | None) -> Quantity | None:
    """The amount, None where there is none or it cannot be read (decoding has refused that already)."""
    try:
        return parse(text) if text else None
    except ValueError:
        return None


def standard_quota(name: str) -> bool:
    """Names that quotas know without a domain."""
    return name in _QUOTA or name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}"))


def resource_name(name: str, path: str) -> FieldErrors:
    """A resource of any kind: one of Kubernetes' own, or qualified by a domain."""
    faults = list(check(path, name, names.qualified_name(name)))
    yield from faults
    if faults or "/" in name or name in _STANDARD or standard_quota(name):
        return
    yield invalid_value(path, name, "must be a standard resource type or fully qualified")


def container_resource_name(name: str, path: str) -> FieldErrors:
    """What a container can be given."""
    yield from resource_name(name, path)
    if "/" not in name:
        if name not in COMPUTE and not name.startswith(HUGE_PAGES):
            yield invalid_value(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def quota_resource_name(name: str, path: str) -> FieldErrors:
    """What a ResourceQuota can count."""
    yield from resource_name(name, path)
    if "/" not in name and not standard_quota(name):
        yield invalid_value(path, name, "must be a standard resource for quota")


def amount_value(name: str, text: str, path: str) -> FieldErrors:
    """The amount of a resource: never negative, whole where it counts things."""
    amount = quantity(text)
    if amount is None:
        return
    if amount.nanos < 0:
        yield invalid_value(path, text, NON_NEGATIVE)
    if (name in _COUNTED or is_extended(name)) and amount.milli_value() % 1000:
        yield invalid_value(path, text, "must be an integer")


def positive(text: str | None, path: str) -> FieldErrors:
    """An amount that must be something."""
    amount = quantity(text)
    if amount is not None and amount.nanos <= 0:
        yield invalid_value(path, text, "must be greater than zero")


def capacity(text: str | None, path: str) -> FieldErrors:
    """An amount as the status of volumes has it."""
    amount = quantity(text)
    if amount is not None and amount.value() < 0:
        yield invalid_value(path, amount.value(), "must be a valid resource quantity")
