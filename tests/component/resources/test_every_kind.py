"""Every kind through the whole server: its example is made, shown, written again without a change, and deleted."""

from importlib import import_module

import msgspec
import orjson
import pytest
from tests.examples_of_kinds import collection, example, keys

from pybernetes.api import facts
from pybernetes.apiserver.catalog import discovered

SERVED = {(served.facts.group, served.facts.version, served.facts.plural): served for served in discovered()}
KINDS = [key for key in keys() if key in SERVED and key[2] not in ("customresourcedefinitions", "flowschemas")]
"""All but those that somebody writes again at once."""


def name_of(key):
    return "/".join(part or "core" for part in key)


@pytest.mark.parametrize("key", KINDS, ids=name_of)
async def test_an_example_lives_and_goes(api, key):
    path, body = collection(*key), example(*key)
    one = f"{path}/{body['metadata']['name']}"
    made = await api.made(path, body)
    assert (made["kind"], made["apiVersion"]) == (body["kind"], body["apiVersion"])
    code, got = await api("GET", one)
    assert (code, got) == (200, made)
    code, again = await api("PUT", one, got)
    assert (code, again) == (200, got), "no change is no write"
    rows = await api.table(path)
    assert body["metadata"]["name"] in [str(row["Name"]).partition(" ")[0] for row in rows]
    assert encoded_as_struct(key, got)
    code, gone = await api("DELETE", one)
    assert code in (200, 202), gone
    code, left = await api("GET", one)
    assert code == 404 or left["metadata"].get("deletionTimestamp")


def encoded_as_struct(key, obj):
    """What the server says is what its Struct would: nothing is left out or added."""
    known = facts.resource(key[0], key[2], key[1])
    struct = getattr(import_module(f"pybernetes.api.types.{known.module}"), known.kind)
    body = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
    again = orjson.loads(msgspec.json.encode(msgspec.json.decode(orjson.dumps(body), type=struct)))
    return {name: value for name, value in again.items() if name not in ("kind", "apiVersion")} == body
