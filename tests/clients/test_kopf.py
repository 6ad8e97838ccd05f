"""An operator written with kopf, as a process of its own: status, finalizers, changes, events, deletion."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.conftest import HERE, Cluster
from tests.clients.test_kubectl_shows import CRD
from tests.clients.web import Web

GROUP = "operator.example.com"


@pytest.fixture
def web(cluster: Cluster) -> Iterator[Web]:
    with cluster.web() as connected:
        yield connected


@pytest.fixture
def operator(cluster: Cluster, web: Web, namespace: str) -> Iterator[str]:
    """The operator at work in the namespace; the path of its objects."""
    version = {**CRD["spec"]["versions"][0]}  # type: ignore[index]
    version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {**CRD["spec"], "group": GROUP, "versions": [version]}  # type: ignore[dict-item]
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    web.call("POST", definitions, {**CRD, "metadata": {"name": f"bakeries.{GROUP}"}, "spec": spec})
    try:
        words = ("-m", "kopf", "run", "--namespace", namespace, "--standalone", HERE / "kopf_operator.py")
        objects = f"/apis/{GROUP}/v1/namespaces/{namespace}/bakeries"
        web.wait(objects)  # a definition is served a moment after it was made
        with cluster.started(sys.executable, *words):
            yield objects
    finally:
        web.call("DELETE", f"{definitions}/bakeries.{GROUP}")


def until(read: Callable[[], Any]) -> Any:
    """What it reads as soon as that is something."""
    end = time.monotonic() + 30
    while not (found := read()):
        assert time.monotonic() < end, "the operator did not do it"
        time.sleep(0.05)
    return found


def test_an_operator_follows_its_objects(web: Web, operator: str, namespace: str):
    def bakery() -> dict[str, Any]:
        return dict(web.call("GET", f"{operator}/corner"))

    def events() -> set[str]:
        listed = web.call("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
        return {event["message"] for event in listed if event["involvedObject"]["name"] == "corner"}

    body = {"apiVersion": f"{GROUP}/v1", "kind": "Bakery", "metadata": {"name": "corner"}, "spec": {"ovens": 2}}
    web.call("POST", operator, body)
    status = until(lambda: bakery().get("status", {}).get("opened") and bakery()["status"])
    assert (status["warm"], status["opened"]) == (True, {"ovens": 2})
    assert bakery()["metadata"]["finalizers"] == ["operator.example.com/farewell"]
    until(lambda: "2 ovens are warm" in events())
    merge = {"Content_Type": "application/merge-patch+json"}
    assert web.send("PATCH", f"{operator}/corner", b'{"spec":{"ovens":3}}', **merge).status == 200
    until(lambda: bakery()["status"].get("ovens") == 3)
    web.call("DELETE", f"{operator}/corner")
    until(lambda: web.send("GET", f"{operator}/corner").status == 404)
    until(lambda: "corner says goodbye" in events())
