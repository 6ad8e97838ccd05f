"""Manifests as charts and operators have them: made, changed by nothing when they come again in any form, deleted."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pybernetes.api import facts
from pybernetes.api.objects import GroupVersionKind
from pybernetes.wire.http import read_body

FILES = sorted(Path(__file__).parent.glob("*.yaml"))
PROTOBUF = "application/vnd.kubernetes.protobuf"
APPLY = "application/apply-patch+yaml"


def objects(file: Path) -> list[dict[str, Any]]:
    return [obj for obj in yaml.safe_load_all(file.read_text()) if obj]


def collection(obj: dict[str, Any]) -> str:
    group, _, version = obj["apiVersion"].rpartition("/")
    known = facts.of_kind(GroupVersionKind(group, version, obj["kind"]))
    assert known is not None, obj["kind"]
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    if not known.namespaced:
        return f"{root}/{known.plural}"
    return f"{root}/namespaces/{obj['metadata'].get('namespace', 'default')}/{known.plural}"


def one(obj: dict[str, Any]) -> str:
    return f"{collection(obj)}/{obj['metadata']['name']}"


async def version(api, obj):
    return (await api.ok("GET", one(obj)))["metadata"]["resourceVersion"]


async def writes_nothing(api, obj):
    """What is read may be written back, as JSON and as protobuf; a dry run of a change stores nothing."""
    got = await api.ok("GET", one(obj))
    assert await api.ok("PUT", one(obj), got) == got
    raw = await read_body(await api.send("GET", one(obj), accept=PROTOBUF))
    response = await api.send("PUT", one(obj), raw, content_type=PROTOBUF)
    assert response.status == 200, await read_body(response)
    assert await api.ok("GET", one(obj)) == got
    change = {"metadata": {"labels": {"changed": "yes"}}}
    dry = await api.ok("PATCH", f"{one(obj)}?dryRun=All", change)
    assert dry["metadata"]["labels"]["changed"] == "yes"
    assert await api.ok("GET", one(obj)) == got


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_manifests_are_made_and_not_changed_by_coming_again(api, file):
    for obj in objects(file):
        await api.ok("POST", f"{collection(obj)}?fieldValidation=Strict", obj)
    for obj in objects(file):
        await writes_nothing(api, obj)
    for obj in reversed(objects(file)):
        code, gone = await api("DELETE", one(obj))
        assert code in (200, 202), gone


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_manifests_may_be_applied_again_and_again(api, file):
    for obj in objects(file):
        target = f"{one(obj)}?fieldManager=chart"
        await api.ok("PATCH", target, yaml.safe_dump(obj).encode(), content_type=APPLY)
        before = await version(api, obj)
        await api.ok("PATCH", target, yaml.safe_dump(obj).encode(), content_type=APPLY)
        assert await version(api, obj) == before, one(obj)
        made = await api.ok("GET", one(obj))
        owners = [entry["manager"] for entry in made["metadata"]["managedFields"]]
        assert "chart" in owners
