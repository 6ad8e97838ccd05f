"""ControllerRevision: what a DaemonSet or StatefulSet once looked like; never changed, only numbered anew."""

from pybernetes.api.errors import required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE
from pybernetes.apiserver.validation.fields import FieldErrors, immutable, non_negative


def _validate(obj: Object) -> FieldErrors:
    if obj.get("data") is None:
        yield required("data", "data is mandatory")
    yield from non_negative("revision", obj.get("revision"))


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("data", obj.get("data"), old.get("data"))


def _controller(obj: Object) -> str:
    """`statefulset.apps/web`."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = f"{owner.get('kind', '')}.{group}" if group else owner.get("kind", "")
            return f"{kind.lower()}/{owner.get('name', '')}"
    return NONE


RESOURCE = Resource(
    group="apps",
    plural="controllerrevisions",
    validate=_validate,
    validate_update=_validate_update,
    generation=False,
    columns=(
        Column("Controller", _controller, description="Who keeps the revision."),
        Column("Revision", lambda obj: obj.get("revision", 0), description="Its number: the highest is the newest."),
        AGE,
    ),
)
