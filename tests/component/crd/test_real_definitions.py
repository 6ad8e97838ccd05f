"""Definitions as projects have them: taken, applied again without a change, explained, and their objects judged as upstream does."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.component.crd.definitions import CRDS, Api

FILES = sorted((Path(__file__).parent / "definitions").glob("*.yaml"))
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def documents(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The definition and what is said of its objects."""
    crd, *cases = yaml.safe_load_all(file.read_text())
    return crd, cases


def collection(obj: dict[str, Any], plural: str) -> str:
    return f"/apis/{obj['apiVersion']}/namespaces/default/{plural}"


async def judged(api: Api, case: dict[str, Any], plural: str) -> None:
    obj = case["object"]
    target = collection(obj, plural)
    if "faults" in case:
        assert sorted(await api.faults("POST", target, obj)) == sorted(case["faults"])
        return
    made = await api.ok("POST", target, obj)
    one = f"{target}/{obj['metadata']['name']}"
    assert made["spec"] == case.get("spec", obj["spec"])
    assert await api.ok("GET", one) == made
    assert await api.ok("PUT", one, made) == made
    raw = yaml.safe_dump({**obj, "spec": made["spec"], "status": made.get("status", {})}).encode()
    await api.ok("PATCH", f"{one}?fieldManager=m&force=true", raw, content_type=APPLY)
    applied = await api.ok("GET", one)
    await api.ok("PATCH", f"{one}?fieldManager=m", raw, content_type=APPLY)
    assert await api.ok("GET", one) == applied
    assert applied["metadata"]["generation"] == 1
    if "cells" in case:
        row = (await api.ok("GET", one, accept=TABLE))["rows"][0]["cells"]
        assert row[: len(case["cells"])] == case["cells"]
    if "status" in case:
        written = await api.ok("PATCH", f"{one}/status", {"status": case["status"]})
        assert written["metadata"]["generation"] == 1
        faults = await api.faults("PATCH", f"{one}/status", {"status": case["bad status"]})
        assert sorted(faults) == sorted(case["status faults"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_definition_of_a_project_is_served_as_upstream_serves_it(api: Api, file: Path) -> None:
    crd, cases = documents(file)
    name = crd["metadata"]["name"]
    await api.ok("PATCH", f"{CRDS}/{name}?fieldManager=m", yaml.safe_dump(crd).encode(), content_type=APPLY)
    made = await api.established(name)
    await api.ok("PATCH", f"{CRDS}/{name}?fieldManager=m", yaml.safe_dump(crd).encode(), content_type=APPLY)
    await api.ok("PUT", f"{CRDS}/{name}", made)
    assert await api.ok("GET", f"{CRDS}/{name}") == made
    for case in cases:
        await judged(api, case, crd["spec"]["names"]["plural"])
    document = await api.ok("GET", f"/openapi/v3/apis/{cases[0]['object']['apiVersion']}")
    assert any(one.endswith(crd["spec"]["names"]["kind"]) for one in document["components"]["schemas"])
