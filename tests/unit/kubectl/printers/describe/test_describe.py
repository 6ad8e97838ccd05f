"""Describe: what is said of objects as lists hand them out."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pybernetes.kubectl.commands.describe import _objects
from pybernetes.kubectl.mapper import Mapping
from pybernetes.kubectl.printers.describe import describe
from pybernetes.kubectl.targets import Target

DEPLOYMENTS = Mapping("apps", "v1", "deployments", "Deployment", True, "deployment")


class FakeSession:
    """Answers a list as the API does: its items say no kind."""

    async def request(self, method: str, path: str, *, query: Any = None) -> Any:
        template = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        item = {
            "metadata": {"name": "web", "namespace": "default", "creationTimestamp": "2026-11-23T19:02:39Z"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            "status": {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1, "unavailableReplicas": 1},
        }
        return {"kind": "DeploymentList", "items": [item]}


def test_an_item_of_a_list_is_described_as_its_kind():
    async def run() -> str:
        session: Any = FakeSession()
        target = Target(DEPLOYMENTS, "web")
        (obj,) = await _objects(session, SimpleNamespace(selector=""), target, "default")  # type: ignore[arg-type]  # flags
        assert (obj["kind"], obj["apiVersion"]) == ("Deployment", "apps/v1")
        return await describe(session, DEPLOYMENTS, obj, [])

    text = asyncio.run(run())
    assert "2 desired | 2 updated | 2 total | 1 available | 1 unavailable" in text
    assert "CreationTimestamp:  Mon, 23 Nov 2026 19:02:39 +0000" in text
