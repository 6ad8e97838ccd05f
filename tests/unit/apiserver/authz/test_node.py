"""The Node authorizer: what a kubelet reads follows the Pods on its node."""

import pytest

from pybernetes.api.objects import User
from pybernetes.apiserver.authz.node import NodeAuthorizer
from pybernetes.apiserver.extension import Attributes, Decision

KUBELET = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


class Registry:
    def subscribe(self, resource, listener):
        self.tell = listener


def pod(name="p", node="n1", uid="1", **spec):
    return {
        "metadata": {"name": name, "namespace": "x", "uid": uid},
        "spec": {"nodeName": node, "containers": [], **spec},
    }


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def node(registry):
    made = NodeAuthorizer()
    made.follow(registry)
    return made


def may(node, verb, resource, name="", namespace="x", user=KUBELET, **more):
    return node.authorize(Attributes(user, verb, resource=resource, name=name, namespace=namespace, **more))[0]


YES, NO = Decision.ALLOW, Decision.NO_OPINION
SECRET = {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}


def test_others_are_not_judged(node):
    assert may(node, "get", "services", user=User("system:node:n1")) is NO
    assert may(node, "get", "services", user=User("eve", groups=("system:nodes",))) is NO


def test_a_secret_is_readable_while_a_pod_here_refers_to_it(node, registry):
    assert may(node, "get", "secrets", "s") is NO
    registry.tell("ADDED", pod(**SECRET))
    assert may(node, "get", "secrets", "s") is YES
    assert may(node, "get", "secrets", "other") is NO
    assert may(node, "get", "secrets", "s", namespace="y") is NO
    assert may(node, "update", "secrets", "s") is NO
    registry.tell("DELETED", pod(**SECRET))
    assert may(node, "get", "secrets", "s") is NO


def test_a_pod_elsewhere_gives_nothing(node, registry):
    registry.tell("ADDED", pod(node="n2", **SECRET))
    registry.tell("ADDED", pod(node="", uid="2", **SECRET))
    assert may(node, "get", "secrets", "s") is NO


def test_two_pods_share_a_reference_until_the_last_goes(node, registry):
    registry.tell("ADDED", pod(**SECRET))
    registry.tell("ADDED", pod("q", uid="2", **SECRET))
    registry.tell("DELETED", pod(**SECRET))
    assert may(node, "get", "secrets", "s") is YES


@pytest.mark.parametrize(
    ("spec", "resource", "name"),
    [
        ({"volumes": [{"configMap": {"name": "c"}}]}, "configmaps", "c"),
        ({"volumes": [{"projected": {"sources": [{"configMap": {"name": "c"}}]}}]}, "configmaps", "c"),
        ({"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}, "persistentvolumeclaims", "c"),
        ({"imagePullSecrets": [{"name": "s"}]}, "secrets", "s"),
        ({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "s"}}}]}]}, "secrets", "s"),
        ({"initContainers": [{"envFrom": [{"configMapRef": {"name": "c"}}]}]}, "configmaps", "c"),
    ],
)
def test_every_way_to_refer_counts(node, registry, spec, resource, name):
    registry.tell("ADDED", pod(**spec))
    assert may(node, "get", resource, name) is YES
    assert may(node, "list", resource, field_selector=f"metadata.name={name}") is YES
    assert may(node, "list", resource) is NO


def test_tokens_are_made_for_accounts_of_pods_here(node, registry):
    registry.tell("ADDED", pod(serviceAccountName="robot"))
    assert may(node, "create", "serviceaccounts", "robot", subresource="token") is YES
    assert may(node, "create", "serviceaccounts", "other", subresource="token") is NO
    assert may(node, "delete", "serviceaccounts", "robot") is NO


def test_pods_are_read_here_only(node, registry):
    registry.tell("ADDED", pod())
    assert may(node, "get", "pods", "p") is YES
    assert may(node, "get", "pods", "q") is NO
    assert may(node, "list", "pods", namespace="", field_selector="spec.nodeName=n1") is YES
    assert may(node, "watch", "pods", namespace="", field_selector="spec.nodeName=n2") is NO
    assert may(node, "list", "pods", namespace="") is NO
    assert may(node, "patch", "pods", "p", subresource="status") is YES


def test_the_own_node_and_lease(node):
    assert may(node, "get", "nodes", "n1", namespace="") is YES
    assert may(node, "get", "nodes", "n2", namespace="") is NO
    assert may(node, "create", "nodes", namespace="") is YES
    lease = {"group": "coordination.k8s.io", "namespace": "kube-node-lease"}
    assert may(node, "update", "leases", "n1", **lease) is YES
    assert may(node, "update", "leases", "n2", **lease) is NO
    assert may(node, "create", "leases", **lease) is YES
    assert may(node, "create", "leases", group="coordination.k8s.io", namespace="x") is NO


def test_the_reason_says_what_is_missing(node):
    _, reason = node.authorize(Attributes(KUBELET, "get", resource="secrets", name="s", namespace="x"))
    assert reason == "no relationship found between node 'n1' and this object"
