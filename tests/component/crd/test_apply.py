"""Server-side apply of custom objects: their schema says what is owned item by item, field by field, or whole."""

from typing import Any

import pytest
from tests.component.crd.definitions import WIDGETS, Api, crd_of, widget

STRING = {"type": "string"}
APPLY = "application/apply-patch+yaml"
PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["port", "protocol"],
    "items": {
        "type": "object",
        "required": ["port"],
        "properties": {"port": {"type": "integer"}, "protocol": {**STRING, "default": "TCP"}, "name": STRING},
    },
}
SPEC = {
    "type": "object",
    "properties": {
        "ports": PORTS,
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "whole": {"type": "array", "items": STRING},
        "unit": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STRING},
        "labels": {"type": "object", "additionalProperties": STRING},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "size": {"x-kubernetes-int-or-string": True},
    },
}


@pytest.fixture
async def defined(api: Api) -> Api:
    await api.define(crd_of({"spec": SPEC}))
    return api


async def applied(api: Api, manager: str, spec: dict[str, Any]) -> Any:
    url = f"{WIDGETS}/one?fieldManager={manager}"
    return (await api.ok("PATCH", url, widget(spec=spec), content_type=APPLY)).get("spec", {})


async def conflict(api: Api, manager: str, spec: dict[str, Any]) -> str:
    url = f"{WIDGETS}/one?fieldManager={manager}"
    code, answer = await api("PATCH", url, widget(spec=spec), content_type=APPLY)
    assert code == 409, answer
    return str(answer["message"])


async def test_items_of_maps_and_sets_have_owners_of_their_own(defined: Api) -> None:
    await applied(defined, "a", {"ports": [{"port": 80}], "tags": ["x"]})
    both = await applied(defined, "b", {"ports": [{"port": 80, "protocol": "UDP"}], "tags": ["y"]})
    assert both["ports"] == [{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}]
    assert both["tags"] == ["x", "y"]
    left = await applied(defined, "a", {"tags": ["x"]})
    assert left == {"ports": [{"port": 80, "protocol": "UDP"}], "tags": ["x", "y"]}


async def test_what_is_atomic_has_one_owner(defined: Api) -> None:
    await applied(defined, "a", {"whole": ["x"], "unit": {"x": "1"}, "labels": {"x": "1"}})
    assert ".spec.whole" in await conflict(defined, "b", {"whole": ["y"]})
    assert ".spec.unit" in await conflict(defined, "b", {"unit": {"y": "2"}})
    assert (await applied(defined, "b", {"labels": {"y": "2"}}))["labels"] == {"x": "1", "y": "2"}


async def test_open_objects_are_owned_by_what_is_found(defined: Api) -> None:
    await applied(defined, "a", {"open": {"deep": {"x": 1}, "list": [1]}, "size": "50%"})
    merged = await applied(defined, "b", {"open": {"deep": {"y": 2}}})
    assert merged["open"] == {"deep": {"x": 1, "y": 2}, "list": [1]}
    assert ".spec.open.deep.x" in await conflict(defined, "b", {"open": {"deep": {"x": 3}}})
    assert ".spec.size" in await conflict(defined, "b", {"size": 3})
