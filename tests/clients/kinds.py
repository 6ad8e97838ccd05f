"""Examples of every built-in kind, fit to live together in a running cluster."""

import json
import time
from typing import Any

from tests import examples_of_kinds
from tests.clients.web import Web

Key = examples_of_kinds.Key

_AUTOMANAGED = b"kube-aggregator.kubernetes.io/automanaged"
_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1.example.com"
_REST = ("apiservices", "customresourcedefinitions", "mutatingwebhookconfigurations", "validatingwebhookconfigurations")
"""Made last and gone first: they change what the server answers."""


def keys() -> list[Key]:
    """All, in the order in which they may be made."""
    return sorted(examples_of_kinds.keys(), key=lambda key: key[2] in _REST)


def placed(key: Key, namespace: str) -> tuple[str, dict[str, Any]]:
    """The path of its collection and the example, in the namespace."""
    example = examples_of_kinds.example(*key)
    collection = examples_of_kinds.collection(*key)
    if "namespace" in example["metadata"]:
        collection = collection.replace("/default/", f"/{namespace}/")
        example["metadata"]["namespace"] = namespace
        for member in ("involvedObject", "regarding"):
            if member in example:
                example[member]["namespace"] = namespace
    if key[2] == "events" or key[0] == "autoscaling":
        example["metadata"]["name"] += f"-{key[0].partition('.')[0] or 'core'}-{key[1]}"
    _fit(key[2], example)
    return collection, example


def made(web: Web, key: Key, namespace: str) -> str:
    """The path of the example, created in the namespace."""
    collection, example = placed(key, namespace)
    web.call("POST", collection, example)
    return f"{collection}/{example['metadata']['name']}"


def freed(web: Web, path: str) -> None:
    """Without finalizers, whose controllers may not be here; of a definition also without the APIService that the server
    made for its group: it goes a moment later, and has the name of the example of its kind."""
    left = web.send("GET", path)
    if left.status == 200 and left.json()["metadata"].get("finalizers"):
        body = json.dumps({"metadata": {"finalizers": None}}).encode()
        web.send("PATCH", path, body, Content_Type="application/merge-patch+json")
    if "/customresourcedefinitions/" in path:
        deadline = time.monotonic() + 20
        while _AUTOMANAGED in web.send("GET", _SERVICE).body:
            assert time.monotonic() < deadline, "the APIService of a definition that is gone stays"
            time.sleep(0.05)


def _fit(plural: str, example: dict[str, Any]) -> None:
    """Workloads must not fight for each other's Pods, and controllers that come later must find nothing to do."""
    labels = {"app": plural}
    spec = example.get("spec", {})
    if "template" in spec and plural not in ("jobs", "resourceclaimtemplates"):
        spec["selector"] = labels if plural == "replicationcontrollers" else {"matchLabels": labels}
        spec["template"]["metadata"] = {"labels": labels}
    if plural == "statefulsets":
        spec["replicas"] = 0
    if plural == "daemonsets":
        spec["template"]["spec"] = {**spec["template"]["spec"], "nodeSelector": {"example.com/none": "such"}}
    if plural == "jobs":
        spec["suspend"] = True
    if plural == "nodes":
        example["spec"] = {"unschedulable": True}
    if plural in ("persistentvolumes", "persistentvolumeclaims"):
        spec["storageClassName"] = f"for-{plural}"
