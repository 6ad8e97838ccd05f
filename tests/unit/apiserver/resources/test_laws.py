"""Laws of every resource: whatever a client sends, rules answer and never fail; defaults settle; no change is no fault."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.wire.codecs.test_laws import Draw, drawn

from pybernetes.api import schema
from pybernetes.api.canonical import canonicalize
from pybernetes.api.errors import ApiError
from pybernetes.apiserver.catalog import Served, discovered
from pybernetes.apiserver.tables import cells, row_of
from pybernetes.apiserver.validation.meta import validate_object_meta

KINDS = [served for served in discovered() if served.resource.create is None]


def made(draw: Draw, served: Served) -> dict[str, Any]:
    """A canonical object that has metadata, and spec and status where its kind has them."""
    name = schema.type_name(served.facts.gvk)
    obj = drawn(draw, name)
    fields = schema.get(name).fields
    for part in ("spec", "status", "template"):
        if part in fields:
            obj[part] = drawn(draw, fields[part].ref)
    spec = obj.get("spec")
    if spec is not None and "containers" in spec:
        spec["containers"] = [drawn(draw, "io.k8s.api.core.v1.Container") for _ in range(2)]
    if spec is not None and "template" in schema.get(fields["spec"].ref).fields:
        spec["template"] = {"spec": drawn(draw, "io.k8s.api.core.v1.PodSpec")}
    obj["metadata"] = {**drawn(draw, schema.OBJECT_META), "name": "x", "namespace": "y", "uid": "u"}
    return canonicalize(obj, name).object


@pytest.mark.parametrize("served", KINDS, ids=lambda served: served.facts.plural)
@given(st.data())
@settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
def test_rules_answer_whatever_they_are_given(served: Served, data: st.DataObject) -> None:
    resource, name = served.resource, schema.type_name(served.facts.gvk)
    old = made(data.draw, served)
    resource.default(old)
    obj = canonicalize(old, name).object
    settled = orjson.dumps(obj)
    resource.default(obj)
    assert orjson.dumps(canonicalize(obj, name).object) == settled
    assert [str(fault) for fault in resource.validate_update(copy.deepcopy(obj), copy.deepcopy(obj))] == []
    other = made(data.draw, served)
    resource.default(other)
    for before in (None, copy.deepcopy(other)):
        new = copy.deepcopy(obj)
        try:
            resource.prepare(new, before)
        except ApiError:
            continue
        list(resource.validate(new))
        validate_object_meta(new, before, served.facts.namespaced, resource.validate_name)
        if before is not None:
            list(resource.validate_update(new, before))
            resource.prepare_status(new, before)
            list(resource.validate_status(new, before))
    orjson.loads(b"".join((*cells(row_of(served, obj), 0.0), b"}")))
    for select in resource.selectable_fields.values():
        assert isinstance(select(obj), str)
    resource.stays(copy.deepcopy(obj))
