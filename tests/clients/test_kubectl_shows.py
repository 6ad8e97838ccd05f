"""What `kubectl get`, `describe` and `explain` show, held by golden files of our own."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients import golden, kinds
from tests.clients.conftest import BIN, HERE, Cluster, Kubectl

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "bakeries.shows.example.com"},
    "spec": {
        "group": "shows.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Bakery", "plural": "bakeries", "shortNames": ["bk"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Ovens", "type": "integer", "jsonPath": ".spec.ovens"},
                    {"name": "Flour", "type": "string", "jsonPath": ".spec.flour", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A place that bakes.",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["ovens"],
                                "properties": {
                                    "ovens": {"type": "integer", "minimum": 1, "description": "How many bake."},
                                    "flour": {"type": "string", "enum": ["rye", "wheat"], "default": "rye"},
                                    "breads": {
                                        "type": "array",
                                        "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                                    },
                                },
                            },
                            "status": {"type": "object", "properties": {"warm": {"type": "boolean"}}},
                        },
                    }
                },
            }
        ],
    },
}
BAKERY = {"apiVersion": "shows.example.com/v1", "kind": "Bakery", "metadata": {"name": "corner"}, "spec": {"ovens": 2}}
SUSPENDED = {"conditions": [{"type": "Suspended", "status": "True", "reason": "JobSuspended"}]}
REPORTED = {
    "job/once": SUSPENDED,
    "hpa/front": {"currentReplicas": 2, "desiredReplicas": 2},
    "pdb/front": {
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 2,
        "observedGeneration": 1,
    },
}
FOUND = {
    "job/example": SUSPENDED,
    "pv/example": {"phase": "Available"},
    "flowschema/example": {"conditions": [{"type": "Dangling", "status": "False", "reason": "Found"}]},
}
"""What the controllers of these kinds find, said here, so that the files hold with and without them."""


@pytest.fixture
def shop(kubectl: Kubectl) -> Kubectl:
    """The shop, open: all its Pods run."""
    kubectl("apply", "-f", HERE / "shop.yaml")
    for what, status in REPORTED.items():
        _report(kubectl, what, status)
    kubectl("rollout", "status", "deployment/front", "--timeout=30s")
    kubectl("wait", "--for=condition=Ready", "pod/alone", "--timeout=30s")
    kubectl("wait", "--for=jsonpath={.status.used.configmaps}=2", "quota/share", "--timeout=30s")
    return kubectl


@pytest.fixture
def bakeries(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("create", "-f", "-", stdin=json.dumps(CRD))
    kubectl("wait", "--for=condition=Established", f"crd/{CRD['metadata']['name']}", "--timeout=10s")  # type: ignore[index]
    yield kubectl
    kubectl("delete", "crd", CRD["metadata"]["name"])  # type: ignore[index]


def test_the_tables_of_a_shop(shop: Kubectl):
    everything = "all,ing,netpol,pdb,pvc,cm,secret,sa,limits,quota,role,rolebinding,controllerrevisions"
    golden.hold("shop.txt", golden.cells(shop("get", everything)))
    golden.hold("shop-wide.txt", golden.cells(shop("get", everything, "-o", "wide")))


IN_THE_SHOP = (
    *(
        "pod/alone",
        "deploy/front",
        "sts/store",
        "ds/agent",
        "job/once",
        "cronjob/nightly",
        "svc/front",
        "svc/elsewhere",
    ),
    *("svc/store", "ing/shop", "netpol/closed", "pdb/front", "pvc/disk", "cm/settings", "secret/keys", "sa/seller"),
    *("limits/sizes", "quota/share", "role/reader", "rolebinding/readers"),
)


def test_the_shop_described(shop: Kubectl):
    shown = "".join(f"# {one}\n{shop('describe', one, '--show-events=false')}\n" for one in IN_THE_SHOP)
    golden.hold("shop-described.txt", golden.masked(shown))


def test_our_own_kubectl_describes_with_the_same_words(shop: Kubectl, cluster: Cluster):
    own = Kubectl(BIN / "kubectl", cluster, shop.namespace)
    alike = ("endpointslices", "rs", "hpa", "nodes", "clusterroles", "sc", "priorityclasses", "events")
    for what in (*IN_THE_SHOP, *alike):
        theirs, ours = (_without_ages(one("describe", what, "--show-events=false")) for one in (shop, own))
        assert ours == theirs
    theirs, ours = (_without_ages(one("describe", "pod/alone").partition("Events:")[2]) for one in (shop, own))
    assert ours == theirs


def _without_ages(described: str) -> list[str]:
    """Lines that hold for longer than a second; kubectl ends some with blanks."""
    kept = (line.rstrip() for line in golden.masked(described).splitlines() if "RenewTime" not in line)
    return [" ".join(re.sub(r"\b(\d+[dhms])+\b", "<age>", line).split("  ")) for line in kept if line]


def test_the_events_of_a_pod_described(kubectl: Kubectl):
    kubectl("run", "one", "--image=web:1")
    kubectl("wait", "--for=condition=Ready", "pod/one", "--timeout=30s")
    events = kubectl("describe", "pod", "one").partition("Events:")[2]
    assert "Normal  Scheduled" in events
    assert "default-scheduler  Successfully assigned" in events


def test_a_node_and_a_namespace_described(shop: Kubectl):
    namespace = shop("describe", "namespace", shop.namespace)
    golden.hold("namespace-described.txt", golden.masked(namespace))
    node = shop("describe", "node", "simulated-1", "--show-events=false")
    kept = [line for line in node.splitlines() if line[:1].strip() or line.startswith("  Type")]
    golden.hold("node-sections.txt", golden.masked("\n".join(line.partition(":")[0] for line in kept)))


def test_custom_objects_and_their_definition(bakeries: Kubectl):
    bakeries("create", "-f", "-", stdin=json.dumps(BAKERY))
    shown = [
        bakeries("get", "bk"),
        bakeries("get", "bakery", "corner", "-o", "wide"),
        bakeries("get", "crd", "bakeries.shows.example.com"),
    ]
    golden.hold("bakeries.txt", golden.cells("".join(shown)))
    assert "bakery.shows.example.com/corner" in bakeries("get", "all")
    golden.hold("bakery-described.txt", golden.masked(bakeries("describe", "bakery", "corner")))
    definition = golden.masked(bakeries("describe", "crd", "bakeries.shows.example.com"))
    golden.hold("crd-described.txt", definition)
    complaint = bakeries.fails("create", "-f", "-", stdin=json.dumps(BAKERY | {"spec": {"flour": "oat"}}))
    golden.hold("bakery-invalid.txt", complaint)


def test_a_custom_kind_explained(bakeries: Kubectl):
    golden.hold("explain-bakery.txt", bakeries("explain", "bakery.spec"))
    golden.hold("explain-bakery-recursive.txt", bakeries("explain", "bakeries", "--recursive"))


@pytest.mark.parametrize(
    "path",
    ["pods.spec.containers", "deployments", "services.spec", "jobs.spec.podFailurePolicy", "crd.spec.versions.schema"],
)
def test_built_in_kinds_explained_recursively(kubectl: Kubectl, path: str):
    golden.hold(f"explain-{path}.txt", _fields(kubectl("explain", path, "--recursive")))


def test_explained_fields_have_descriptions_and_enums(kubectl: Kubectl):
    said = kubectl("explain", "deployment.spec.strategy.type")
    assert "FIELD: type <string>" in said
    assert "ENUM:\n    Recreate\n    RollingUpdate" in said
    assert "DESCRIPTION:\n    Type of deployment." in said
    assert kubectl.fails("explain", "pods.nope").endswith('error: field "nope" does not exist\n')
    assert "v2" in kubectl("explain", "hpa", "--api-version=autoscaling/v2")
    assert "VERSION:    v1\n" in kubectl("explain", "hpa", "--api-version=autoscaling/v1")


def test_the_resources_of_the_api(kubectl: Kubectl):
    golden.hold("api-resources.txt", golden.cells(kubectl("api-resources", "-o", "wide", "--sort-by=name")))
    golden.hold("api-versions.txt", kubectl("api-versions"))


def test_every_kind_in_a_wide_table(kubectl: Kubectl, cluster: Cluster):
    keys = [key for key in kinds.keys() if key[2] != "namespaces"]  # noqa: SIM118
    made: list[str] = []
    with cluster.web() as web:
        try:
            for key in keys:
                made.append(kinds.made(web, key, kubectl.namespace))
            for what, status in FOUND.items():
                _report(kubectl, what, status)
            for workload in ("deployments", "replicasets", "replicationcontrollers"):
                kubectl("wait", "--for=jsonpath={.status.readyReplicas}=1", f"{workload}/example", "--timeout=30s")
            kubectl("wait", "--for=condition=Ready", "pod/example", "--timeout=30s")
            kubectl("wait", "--for=jsonpath={.status.used.pods}=4", "quota/example", "--timeout=30s")
            shown = []
            for key, path in zip(keys, made, strict=True):
                group, version, plural = key
                full = f"{plural}.{version}.{group}" if group else plural
                shown.append(f"# {full}\n" + golden.cells(kubectl("get", full, path.rpartition("/")[2], "-o", "wide")))
        finally:
            for path in reversed(made):
                web.send("DELETE", path)
                kinds.freed(web, path)
    golden.hold("every-kind-wide.txt", "\n".join(sorted(shown)))


def _report(kubectl: Kubectl, what: str, status: dict[str, Any]) -> None:
    kubectl("patch", what, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def _fields(explained: str) -> str:
    """Kind, version and fields; our descriptions are not the claim."""
    head, _, fields = explained.partition("FIELDS:\n")
    return head.partition("DESCRIPTION:")[0] + "FIELDS:\n" + fields


def test_an_autoscaler_tells_what_it_lacks(shop: Kubectl):
    shop("wait", "--for=condition=ScalingActive=False", "hpa/front", "--timeout=60s")
    lines = [" ".join(line.split()) for line in shop("describe", "hpa", "front").splitlines()]
    lacking = "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API"
    for line in (
        "Reference: Deployment/front",
        "resource cpu on pods (as a percentage of request): <unknown> / 50%",
        "Deployment pods: 2 current / 2 desired",
        "AbleToScale True SucceededGetScale the HPA controller was able to get the target's current scale",
        f"ScalingActive False FailedGetResourceMetric the HPA was unable to compute the replica count: {lacking}",
    ):
        assert line in lines
    event = f"horizontal-pod-autoscaler {lacking}"
    assert any(line.startswith("Warning FailedGetResourceMetric") and line.endswith(event) for line in lines)
