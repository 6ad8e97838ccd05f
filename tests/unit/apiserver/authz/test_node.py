"""The Node authorizer: what a kubelet reads follows the Pods on its node."""

import pytest

from pybernetes.api.objects import GroupResource, User
from pybernetes.apiserver.authz.node import NodeAuthorizer
from pybernetes.apiserver.extension import Attributes, Decision

KUBELET = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


PODS, VOLUMES = GroupResource("", "pods"), GroupResource("", "persistentvolumes")
ATTACHMENTS = GroupResource("storage.k8s.io", "volumeattachments")
SLICES = GroupResource("resource.k8s.io", "resourceslices")
REQUESTS = GroupResource("certificates.k8s.io", "podcertificaterequests")


class Registry:
    def __init__(self):
        self.resources = dict.fromkeys((PODS, VOLUMES, ATTACHMENTS, SLICES, REQUESTS))
        self.listeners = {}

    def subscribe(self, resource, listener, *, glance=False):
        self.listeners[resource] = listener

    def tell(self, change, obj, resource=PODS):
        self.listeners[resource](change, obj)


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
        ({"imagePullSecrets": [{"name": "s"}]}, "secrets", "s"),
        ({"volumes": [{"azureFile": {"secretName": "s"}}]}, "secrets", "s"),
        ({"volumes": [{"csi": {"nodePublishSecretRef": {"name": "s"}}}]}, "secrets", "s"),
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
    assert may(node, "get", "serviceaccounts", "robot") is YES
    assert may(node, "get", "serviceaccounts", "other") is NO
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


def refusal(node, verb, resource, name="", namespace="", **more):
    decision, reason = node.authorize(
        Attributes(KUBELET, verb, resource=resource, name=name, namespace=namespace, **more)
    )
    return None if decision is YES else reason


def named(name, namespace="", **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_volumes_and_their_secrets_lead_here_by_the_claim(node, registry):
    ephemeral = {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}}
    registry.tell("ADDED", pod(volumes=[{"persistentVolumeClaim": {"claimName": "c"}}, ephemeral]))
    csi = {"nodeStageSecretRef": {"name": "s", "namespace": "y"}, "controllerExpandSecretRef": {"name": "t"}}
    volume = named("v", claimRef={"namespace": "x", "name": "c"}, csi=csi)
    assert may(node, "get", "persistentvolumeclaims", "c") is YES
    assert may(node, "get", "persistentvolumeclaims", "p-e") is YES
    assert may(node, "patch", "persistentvolumeclaims", "c", subresource="status") is YES
    assert may(node, "get", "persistentvolumes", "v", "") is NO
    registry.tell("ADDED", volume, VOLUMES)
    assert may(node, "get", "persistentvolumes", "v", "") is YES
    assert may(node, "get", "secrets", "s", "y") is YES
    assert may(node, "get", "secrets", "t", "x") is NO
    registry.tell("MODIFIED", named("v", csi=csi), VOLUMES)
    assert may(node, "get", "persistentvolumes", "v", "") is NO
    assert may(node, "get", "secrets", "s", "y") is NO


def test_claims_made_for_a_pod_count_when_its_status_names_them(node, registry):
    claims = [{"name": "a", "resourceClaimName": "own"}, {"name": "b", "resourceClaimTemplateName": "t"}]
    found = pod(resourceClaims=claims)
    registry.tell("ADDED", found)
    group = {"group": "resource.k8s.io"}
    assert may(node, "get", "resourceclaims", "own", **group) is YES
    assert may(node, "get", "resourceclaims", "made", **group) is NO
    status = {
        "resourceClaimStatuses": [{"name": "b", "resourceClaimName": "made"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "more"},
    }
    registry.tell("MODIFIED", {**found, "status": status})
    assert may(node, "get", "resourceclaims", "made", **group) is YES
    assert may(node, "get", "resourceclaims", "more", **group) is YES
    registry.tell("DELETED", {**found, "status": status})
    assert may(node, "get", "resourceclaims", "more", **group) is NO


@pytest.mark.parametrize(
    ("source", "namespace"), [(ATTACHMENTS, ""), (SLICES, ""), (REQUESTS, "x")], ids=lambda value: str(value)
)
def test_what_names_the_node_is_its_own(node, registry, source, namespace):
    where = {"group": source.group, "namespace": namespace}
    registry.tell("ADDED", named("a", namespace, nodeName="n1"), source)
    registry.tell("ADDED", named("b", namespace, nodeName="n2"), source)
    assert may(node, "get", source.resource, "a", **where) is YES
    assert may(node, "get", source.resource, "b", **where) is NO
    registry.tell("DELETED", named("a", namespace, nodeName="n1"), source)
    assert may(node, "get", source.resource, "a", **where) is NO


@pytest.mark.parametrize(
    ("verb", "resource", "more", "reason"),
    [
        ("list", "secrets", {"namespace": "x"}, "No Object name found"),
        ("list", "configmaps", {}, "can only read namespaced object of this type"),
        ("delete", "secrets", {"namespace": "x"}, "can only read resources of this type"),
        ("list", "persistentvolumes", {}, "can only get individual resources of this type"),
        ("get", "persistentvolumes", {"subresource": "status"}, "cannot get subresource"),
        ("get", "persistentvolumeclaims", {"subresource": "status"}, "can only get/update/patch this type"),
        ("create", "serviceaccounts", {}, "can only create tokens for individual service accounts"),
        ("create", "serviceaccounts", {"name": "a"}, "can only create token subresource of serviceaccount"),
        ("list", "nodes", {}, "node 'n1' cannot read all nodes, only its own Node object"),
        ("get", "nodes", {"name": "n2"}, "node 'n1' cannot read 'n2', only its own Node object"),
        ("delete", "nodes", {"name": "n1"}, ""),
        ("list", "pods", {}, "can only list/watch pods with spec.nodeName field selector"),
        ("get", "csinodes", {"group": "storage.k8s.io", "subresource": "a"}, "cannot authorize CSINode subresources"),
        (
            "list",
            "resourceslices",
            {"group": "resource.k8s.io"},
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
        ("list", "resourceslices", {"group": "resource.k8s.io", "field_selector": "spec.nodeName=n1"}, None),
        ("create", "resourceslices", {"group": "resource.k8s.io"}, None),
        (
            "watch",
            "podcertificaterequests",
            {"group": "certificates.k8s.io", "field_selector": "spec.nodeName=n1"},
            None,
        ),
    ],
)
def test_each_refusal_says_why(node, verb, resource, more, reason):
    assert refusal(node, verb, resource, **more) == reason
