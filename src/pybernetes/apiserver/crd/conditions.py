"""Conditions of a CustomResourceDefinition: what it has come to. establishing.py and instances.py set them."""

from typing import Any

from pybernetes.api.objects import Object

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a definition until its objects are gone."""


def find(crd: Object, kind: str) -> dict[str, Any] | None:
    """The condition of that type."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), None)


def condition(kind: str, status: bool, reason: str, message: str, now: str) -> dict[str, Any]:
    """A new one."""
    text = "True" if status else "False"
    return {"lastTransitionTime": now, "message": message, "reason": reason, "status": text, "type": kind}


def pending(now: str) -> dict[str, Any]:
    """What a definition is from the moment it is deleted."""
    text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    return condition("Terminating", True, "InstanceDeletionPending", text, now)


def put(crd: Object, new: dict[str, Any]) -> None:
    """Sets a condition; the time of its transition stays where its status does."""
    status = crd["status"] = {**(crd.get("status") or {})}
    conditions = [dict(one) for one in status.get("conditions") or ()]
    for index, one in enumerate(conditions):
        if one.get("type") == new["type"]:
            kept = one.get("lastTransitionTime") if one.get("status") == new["status"] else None
            conditions[index] = {**new, "lastTransitionTime": kept or new["lastTransitionTime"]}
            break
    else:
        conditions.append(new)
    status["conditions"] = conditions
