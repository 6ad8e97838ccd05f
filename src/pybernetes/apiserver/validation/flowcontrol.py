"""What FlowSchema and PriorityLevelConfiguration share: the group, and conditions of their status."""

from pybernetes.api.errors import duplicate, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import FieldErrors, each

GROUP = "flowcontrol.apiserver.k8s.io"
EXEMPT, CATCH_ALL = "exempt", "catch-all"
"""Names of the levels and schemas that every cluster must have."""


def validate_conditions(obj: Object) -> FieldErrors:
    """Conditions of a status: each type once."""
    seen: set[str] = set()
    for at, condition in each(obj.get("status") or {}, "conditions", "status"):
        kind = condition.get("type") or ""
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
        if not kind:
            yield required(f"{at}.type", "must not be empty")


def prepare_status(obj: Object, old: Object) -> None:
    """A write of status changes nothing of metadata."""
    obj["metadata"] = dict(old["metadata"])
