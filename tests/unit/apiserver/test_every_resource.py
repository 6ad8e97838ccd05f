"""Every served kind: its example is valid, and what is nearly valid is refused with words, never with a failure."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples_of_kinds import example, keys
from tests.unit.wire.codecs.test_laws import Draw, _value

from pybernetes.api import schema
from pybernetes.api.errors import BadRequest, FieldError, Forbidden, Invalid
from pybernetes.api.schema import Field
from pybernetes.apiserver.catalog import Served, discovered
from pybernetes.apiserver.tables import cells, row_of
from pybernetes.apiserver.validation.meta import validate_object_meta

CATALOG = discovered()
KINDS = [served for served in CATALOG if served.resource.create is None and "create" in served.facts.verbs]
_SYSTEM = {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}


def path_of(served: Served) -> tuple[str, str, str]:
    return served.facts.group, served.facts.version, served.facts.plural


def name_of(served: Served) -> str:
    return f"{served.facts.group or 'core'}/{served.facts.version}/{served.facts.plural}"


def sent(served: Served) -> dict[str, Any]:
    """The example as the door makes it: canonical, in the form that is stored, with what the server adds."""
    obj = served.worked(served.form.walk(example(*path_of(served))).object)
    obj["metadata"] |= _SYSTEM
    return obj


def faults(served: Served, obj: dict[str, Any], old: dict[str, Any] | None) -> list[FieldError]:
    """What a create, or an update of `old`, is told; the object is left as it would be stored."""
    resource = served.resource
    resource.default(obj)
    resource.prepare(obj, old)
    found = validate_object_meta(obj, old, served.facts.namespaced, resource.validate_name)
    found += resource.validate(obj)
    if served.alias is not None:
        found += served.alias.validate(obj) if old is None else served.alias.validate_update(obj, old)
    if old is not None:
        found += resource.validate_update(obj, old)
    list(resource.warn(obj, old))
    return found


def show(served: Served, obj: dict[str, Any]) -> None:
    """All that is asked of a stored object."""
    orjson.loads(b"".join((*cells(row_of(served, served.shown(obj)), 0.0), b"}")))
    for select in served.fields.values():
        assert isinstance(select(obj), str)
    served.resource.stays(copy.deepcopy(obj))


def test_every_kind_has_an_example() -> None:
    assert {path_of(served) for served in KINDS} <= set(keys())


@pytest.mark.parametrize("served", KINDS, ids=name_of)
def test_the_example_is_valid(served: Served) -> None:
    obj = sent(served)
    assert [str(fault) for fault in faults(served, obj, None)] == []
    stored = served.stored.form.walk(obj).object
    again = copy.deepcopy(stored)
    assert [str(fault) for fault in faults(served, again, copy.deepcopy(stored))] == []
    assert served.stored.form.walk(again).object == stored
    show(served, stored)


@pytest.mark.parametrize("served", KINDS, ids=name_of)
@given(st.data())
@settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_is_nearly_valid_is_refused_with_words(served: Served, data: st.DataObject) -> None:
    old = sent(served)
    faults(served, old, None)
    new = example(*path_of(served))
    for _ in range(data.draw(st.integers(1, 3))):
        change(data.draw, new, served.form.type_name)
    try:
        new = served.worked(served.form.walk(new).object)
        new["metadata"] |= _SYSTEM
        for before in (None, copy.deepcopy(old)):
            obj = copy.deepcopy(new)
            for fault in faults(served, obj, before):
                assert str(fault).startswith(fault.field)
        obj = {**copy.deepcopy(old), **({"status": new["status"]} if "status" in new else {})}
        served.resource.prepare_status(obj, old)
        assert all(isinstance(fault, FieldError) for fault in served.resource.validate_status(obj, old))
        for subresource in served.resource.subresources.values():
            if subresource.part is not None:
                obj = copy.deepcopy(new)
                subresource.part.prepare(obj, old)
                list(subresource.part.validate(obj, old))
    except (BadRequest, Forbidden, Invalid):  # what cannot be decoded, and what prepare refuses
        return
    show(served, served.stored.form.walk(new).object)


def change(draw: Draw, obj: dict[str, Any], type_name: str) -> None:
    """Something in the object becomes another value that its type can hold, or goes."""
    fields = {name: field for name, field in schema.get(type_name).fields.items() if name not in _KEPT}
    if not fields:
        return
    present = sorted(name for name in fields if name in obj)
    name = draw(st.sampled_from(present if present and draw(st.booleans()) else sorted(fields)))
    if name not in obj:
        obj[name] = _value(draw, fields[name], 3)
    elif draw(st.integers(0, 3)) == 0:
        del obj[name]
    else:
        obj[name] = _changed(draw, obj[name], fields[name])


_KEPT = {"kind", "apiVersion", "metadata"}


def _changed(draw: Draw, value: Any, field: Field) -> Any:
    if field.kind == "object" and isinstance(value, dict):
        change(draw, value, field.ref)
        return value
    if field.kind in ("list", "map") and field.item is not None and value:
        place = (
            draw(st.sampled_from(sorted(value))) if isinstance(value, dict) else draw(st.integers(0, len(value) - 1))
        )
        if isinstance(value, list) and draw(st.booleans()):
            return [*value, copy.deepcopy(value[place])]
        value[place] = _changed(draw, value[place], field.item)
        return value
    return _value(draw, field, 3)
