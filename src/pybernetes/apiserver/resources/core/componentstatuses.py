"""ComponentStatus: how the old control plane told of itself. Nothing is stored; etcd is our store, here and answering."""

from collections.abc import Sequence

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call, Column, Resource
from pybernetes.apiserver.resources._columns import NAME

_COMPONENTS = ("scheduler", "controller-manager", "etcd-0")


async def _made(call: Call) -> Sequence[Object]:
    """All healthy: a server whose store does not answer never comes to this, and the other two tell of themselves."""
    condition = {"type": "Healthy", "status": "True", "message": "ok"}
    return [{"metadata": {"name": name}, "conditions": [condition]} for name in _COMPONENTS]


def _health(obj: Object) -> dict[str, str]:
    return next((one for one in obj.get("conditions") or () if one.get("type") == "Healthy"), {})


def _state(obj: Object) -> str:
    state = _health(obj).get("status")
    return "Healthy" if state == "True" else "Unhealthy" if state == "False" else "Unknown"


RESOURCE = Resource(
    group="",
    plural="componentstatuses",
    deprecated="v1 ComponentStatus is deprecated in v1.19+",
    made=_made,
    generation=False,
    columns=(
        NAME,
        Column("Status", _state, description="Status of the component conditions."),
        Column("Message", lambda obj: _health(obj).get("message", ""), description="Message of the conditions."),
        Column("Error", lambda obj: _health(obj).get("error", ""), description="Error of the conditions."),
    ),
)
