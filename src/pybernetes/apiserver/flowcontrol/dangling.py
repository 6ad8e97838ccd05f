"""Dangling: the condition of a FlowSchema that says whether its priority level is there. Pure; status.py writes it."""

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import Object
from pybernetes.apiserver.flowcontrol.classify import level_of

DANGLING = "Dangling"


def told(schema: Object, *, known: bool, now: float) -> Object | None:
    """The object with the condition; None where it says so already. `known`: its level is there."""
    about = f'This FlowSchema references the PriorityLevelConfiguration object named "{level_of(schema)}"'
    if known:
        condition = {"type": DANGLING, "status": "False", "reason": "Found", "message": f"{about} and it exists"}
    else:
        said = f"{about} but there is no such object"
        condition = {"type": DANGLING, "status": "True", "reason": "NotFound", "message": said}
    status = schema.get("status") or {}
    conditions = list(status.get("conditions") or ())
    at = next((at for at, one in enumerate(conditions) if one.get("type") == DANGLING), len(conditions))
    if at < len(conditions) and {**conditions[at], **condition} == conditions[at]:
        return None
    conditions[at:] = [{**condition, "lastTransitionTime": rfc3339(now)}, *conditions[at + 1 :]]
    return {**schema, "status": {**status, "conditions": conditions}}
