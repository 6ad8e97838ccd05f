"""ResourceSlice: devices that a driver offers, on one Node or on many."""

from collections.abc import Iterator

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call, Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec
from pybernetes.apiserver.resources.resource._taints import note_time
from pybernetes.apiserver.validation.devices import GROUP
from pybernetes.apiserver.validation.deviceslices import validate_slice, validate_slice_update


async def _note_times(call: Call, obj: Object, old: Object | None) -> None:
    for device in spec(obj).get("devices") or ():
        for taint in device.get("taints") or ():
            note_time(call, taint)


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    name = spec(obj).get("driver") or ""
    if name != name.lower():
        yield f'spec.driver: driver names should be lowercase; "{name}" contains uppercase characters'


def _driver(obj: Object) -> str:
    return spec(obj).get("driver") or ""


def _node(obj: Object) -> str:
    return spec(obj).get("nodeName") or ""


RESOURCE = Resource(
    group=GROUP,
    plural="resourceslices",
    validate=lambda obj: validate_slice(spec(obj)),
    validate_update=validate_slice_update,
    before_write=_note_times,
    warn=_warn,
    columns=(
        Column("Node", lambda obj: spec(obj).get("nodeName"), description="The Node that has them, if it is one."),
        Column("Driver", _driver, description="Who offers them."),
        Column("Pool", lambda obj: (spec(obj).get("pool") or {}).get("name") or "", description="What they belong to."),
        AGE,
    ),
    selectable_fields={"spec.nodeName": _node, "spec.driver": _driver},
)
