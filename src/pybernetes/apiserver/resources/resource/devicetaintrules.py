"""DeviceTaintRule: an administrator's taint of all devices that a selector finds."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.resources.resource._taints import note_time
from pybernetes.apiserver.validation.conditions import validate_conditions
from pybernetes.apiserver.validation.devices import GROUP, driver, label, pool, taint
from pybernetes.apiserver.validation.fields import FieldErrors, too_many

_CONDITIONS = 8


def _validate(obj: Object) -> FieldErrors:
    selector = spec(obj).get("deviceSelector") or {}
    for field, rule in (("driver", driver), ("pool", pool), ("device", label)):
        if selector.get(field) is not None:
            yield from rule(selector[field], f"spec.deviceSelector.{field}")
    yield from taint(spec(obj).get("taint") or {}, "spec.taint")


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from validate_conditions(status(obj))
    count = len(status(obj).get("conditions") or ())
    if count > _CONDITIONS:
        yield too_many("status.conditions", count, _CONDITIONS)


async def _note_time(call: Call, obj: Object, old: Object | None) -> None:
    note_time(call, obj["spec"]["taint"], spec(old).get("taint") if old is not None else None)


RESOURCE = Resource(
    group=GROUP,
    plural="devicetaintrules",
    validate=_validate,
    validate_status=_validate_status,
    before_write=_note_time,
    columns=(AGE,),
)
