"""What the newer CRUD tests ask beside the generic cycle: each way to patch an object, and its status."""

from typing import Any

from tests.component.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api

STATUS_CONDITION = {
    "type": "Tested",
    "status": "True",
    "reason": "Test",
    "message": "said by a test",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


async def patched_in_every_way(api: Api, resources: str, obj: dict[str, Any]) -> None:
    """JSON patch, merge patch, strategic merge patch and apply change labels and leave spec alone."""
    made = await api.ok("POST", resources, obj)
    one = f"{resources}/{made['metadata']['name']}"
    ways: list[tuple[str, Any]] = [
        (JSON_PATCH, [{"op": "add", "path": "/metadata/labels", "value": {"json": "1"}}]),
        (MERGE, {"metadata": {"labels": {"merge": "1"}}}),
        (STRATEGIC, {"metadata": {"labels": {"strategic": "1"}}}),
    ]
    for kind, body in ways:
        await api.ok("PATCH", one, body, content_type=kind)
    applied = {"apiVersion": made["apiVersion"], "kind": made["kind"]}
    applied["metadata"] = {"name": made["metadata"]["name"], "labels": {"apply": "1"}}
    found = await api.ok("PATCH", f"{one}?fieldManager=test", applied, content_type=APPLY)
    assert found["metadata"]["labels"] == {"json": "1", "merge": "1", "strategic": "1", "apply": "1"}
    assert {k: v for k, v in found.items() if k != "metadata"} == {k: v for k, v in made.items() if k != "metadata"}
    await api.ok("DELETE", one)
