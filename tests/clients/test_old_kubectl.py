"""kubectl 1.20, seventeen releases older than this API: whatever uses versions that are still served."""

import json

import pytest

from tests.clients.conftest import Kubectl
from tests.clients.test_kubectl_changes import variant

GONE = {
    "create cronjob one --image=web:1 --schedule=@daily": "the server could not find the requested resource",
    "create pdb one --selector=a=b --min-available=1": 'no matches for kind "PodDisruptionBudget" in version "policy/v1beta1"',
}
"""What its generators make is of versions that no longer exist, and what it says then."""


@pytest.fixture
def old(old_kubectl: Kubectl) -> Kubectl:
    return old_kubectl


def test_apply_get_describe_and_delete(old: Kubectl):
    assert old("apply", "-f", "-", stdin=variant()) == "deployment.apps/web created\n"
    assert old("apply", "-f", "-", stdin=variant()) == "deployment.apps/web unchanged\n"
    assert old("apply", "-f", "-", stdin=variant("web:2")) == "deployment.apps/web configured\n"
    served = old("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=variant("web:3"))
    assert served == "deployment.apps/web serverside-applied\n"
    assert "successfully rolled out" in old("rollout", "status", "deploy/web")
    assert old("get", "deploy", "web", "-o", "wide").split()[:8] == [
        "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR",
    ]  # fmt: skip
    described = old("describe", "deploy", "web")
    assert "Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable" in described
    assert "ScalingReplicaSet" in described
    assert "Node:         simulated-" in old("describe", "pods", "-l", "app=web")
    assert old("delete", "deploy", "web") == 'deployment.apps "web" deleted\n'


def test_create_of_kinds_whose_versions_remain(old: Kubectl):
    for words, said in (
        ("deployment web --image=web:1 --replicas=2 --port=80", "deployment.apps/web"),
        ("configmap one --from-literal=a=b", "configmap/one"),
        ("secret generic one --from-literal=a=b", "secret/one"),
        ("serviceaccount one", "serviceaccount/one"),
        ("service clusterip one --tcp=80", "service/one"),
        ("job one --image=web:1", "job.batch/one"),
        ("role one --verb=get --resource=pods", "role.rbac.authorization.k8s.io/one"),
        ("rolebinding one --role=one --user=ann", "rolebinding.rbac.authorization.k8s.io/one"),
        ("quota one --hard=pods=9", "resourcequota/one"),
        ("ingress one --rule=example.com/*=web:80", "ingress.networking.k8s.io/one"),
    ):
        assert old("create", *words.split()) == f"{said} created\n"


def test_what_it_makes_of_versions_that_are_gone_is_not_found(old: Kubectl):
    for words, said in GONE.items():
        assert said in old.fails(*words.split())


def test_scale_rollout_label_annotate_and_patch(old: Kubectl):
    old("create", "deployment", "web", "--image=web:1")
    assert old("scale", "deploy/web", "--replicas=2") == "deployment.apps/web scaled\n"
    old("rollout", "status", "deploy/web")
    assert old("set", "image", "deploy/web", "web=web:2") == "deployment.apps/web image updated\n"
    assert "REVISION  CHANGE-CAUSE" in old("rollout", "history", "deploy/web")
    old("rollout", "status", "deploy/web")
    assert old("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    assert old("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    assert old("label", "deploy", "web", "a=b") == "deployment.apps/web labeled\n"
    assert old("annotate", "deploy", "web", "a=b") == "deployment.apps/web annotated\n"
    assert old("patch", "deploy", "web", "-p", '{"spec":{"replicas":1}}') == "deployment.apps/web patched\n"
    assert old("wait", "--for=condition=Available", "deploy/web") == "deployment.apps/web condition met\n"
    assert old("expose", "deploy", "web", "--port=80") == "service/web exposed\n"


def test_discovery_explain_and_access(old: Kubectl):
    names = old("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "leases.coordination.k8s.io"} <= set(names)
    assert "apps/v1" in old("api-versions").split()
    explained = old("explain", "deployment.spec.replicas")
    assert "FIELD:    replicas <integer>" in explained
    assert "rollingUpdate\t<Object>" in old("explain", "deployment.spec.strategy", "--recursive")
    assert old("auth", "can-i", "create", "pods") == "yes\n"
    assert old.attempt("auth", "can-i", "create", "pods", "--as=ann").stdout == "no\n"
    assert json.loads(old("get", "nodes", "-o", "json"))["kind"] == "List"
    assert old("cordon", "simulated-2") == "node/simulated-2 cordoned\n"
    assert old("uncordon", "simulated-2") == "node/simulated-2 uncordoned\n"


def test_unknown_fields_are_found_by_its_own_validation(old: Kubectl):
    broken = json.loads(variant())
    broken["spec"]["colour"] = "blue"
    refused = old.fails("apply", "-f", "-", stdin=json.dumps(broken))
    assert 'ValidationError(Deployment.spec): unknown field "colour" in io.k8s.api.apps.v1.DeploymentSpec' in refused


def test_drain_evicts_in_the_version_of_its_time(old: Kubectl):
    old("create", "deployment", "web", "--image=web:1")
    old("rollout", "status", "deploy/web")
    node = old("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].spec.nodeName}")
    try:
        drained = old("drain", node, "--pod-selector=app=web", "--timeout=20s")
        assert f"node/{node} evicted" in drained
    finally:
        old("uncordon", node)
