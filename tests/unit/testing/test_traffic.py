"""Calls and the words that select them."""

import pytest
from tests.unit.testing.calls import call

from pybernetes.testing.errors import OptionError
from pybernetes.testing.traffic import READERS, selection
from pybernetes.wire.codecs import protobuf

PODS = "/api/v1/namespaces/shop/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"


def fits(made, **words) -> bool:
    return selection(words, READERS).matches(made)


@pytest.mark.parametrize(
    ("method", "target", "verb", "resource", "namespace", "name"),
    [
        ("GET", PODS, "list", "pods", "shop", ""),
        ("GET", f"{PODS}?watch=1", "watch", "pods", "shop", ""),
        ("GET", f"{PODS}/web-0", "get", "pods", "shop", "web-0"),
        ("PATCH", f"{PODS}/web-0/status", "patch", "pods/status", "shop", "web-0"),
        ("PUT", f"{DEPLOYMENTS}/web/scale", "update", "deployments.apps/scale", "shop", "web"),
        ("DELETE", PODS, "deletecollection", "pods", "shop", ""),
        ("DELETE", "/api/v1/nodes/n", "delete", "nodes", "", "n"),
        ("GET", "/healthz", "get", "", "", ""),
    ],
)
def test_a_call_knows_what_it_asked_for(method, target, verb, resource, namespace, name):
    made = call(method, target)
    assert (made.verb, made.resource, made.namespace, made.name) == (verb, resource, namespace, name)


def test_a_broken_path_is_a_call_too():
    assert call("GET", "/api/v1/watch").verb == "get"


def test_the_name_of_a_create_is_the_one_in_its_body_or_that_the_server_has_made():
    assert call("POST", PODS, {"metadata": {"name": "web-0"}}).name == "web-0"
    made = call("POST", PODS, {"metadata": {"generateName": "web-"}}, code=201)
    made.answer = b'{"metadata":{"name":"web-x7k2p"}}'
    assert (made.name, made.key) == ("web-x7k2p", "shop/web-x7k2p")
    assert call("POST", PODS, b"{broken").name == ""


def test_a_body_is_read_in_each_form():
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}
    assert call("POST", PODS, pod).body == pod
    text = b"kind: Pod\nmetadata:\n  name: a\n"
    assert call("PATCH", f"{PODS}/a", text, content_type="application/apply-patch+yaml").body["kind"] == "Pod"
    message = protobuf.encode_object(pod, "io.k8s.api.core.v1.Pod")
    assert call("POST", PODS, message, content_type="application/vnd.kubernetes.protobuf").name == "a"
    assert call("POST", PODS, b"\x00").body is None
    assert call("GET", PODS).body is None


def test_a_write_is_what_has_stored_something_whatever_the_client_was_told():
    lost = call("POST", PODS, {}, code=201)
    lost.code = 0
    assert lost.write
    assert call("POST", PODS, {}, code=201).write
    assert not call("POST", PODS, {}, code=409).write
    assert not call("POST", f"{PODS}?dryRun=All", {}, code=201).write
    assert not call("GET", PODS).write
    assert not call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {}, code=201).write


def test_the_manager_of_a_write_is_that_of_managed_fields():
    assert call("PATCH", f"{PODS}/a?fieldManager=me", {}).manager == "me"
    assert call("PATCH", f"{PODS}/a", {}, agent="kubectl/v1.31 (linux/amd64)").manager == "kubectl"


def test_patches_have_the_names_that_kubectl_gives_them():
    for media, name in (("apply-patch+yaml", "apply"), ("merge-patch+json", "merge"), ("json-patch+json", "json")):
        assert call("PATCH", f"{PODS}/a", {}, content_type=f"application/{media}; charset=utf-8").patch == name
    assert call("PUT", f"{PODS}/a", {}).patch == ""


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ({"verb": "update"}, True),
        ({"verb": ("create", "update")}, True),
        ({"verb": "patch"}, False),
        ({"resource": "deployments/status"}, True),
        ({"resource": "deployments.apps/status"}, True),
        ({"resource": "deployments.apps/*"}, True),
        ({"resource": "*/*"}, True),
        ({"resource": "*/status"}, True),
        ({"resource": "*.apps/status"}, True),
        ({"resource": "deployments"}, False),
        ({"resource": "*"}, False),
        ({"resource": "deployments.batch/status"}, False),
        ({"namespace": "sh*"}, True),
        ({"namespace": ""}, False),
        ({"name": "web"}, True),
        ({"name": ["a", "w?b"]}, True),
        ({"user": "system:serviceaccount:shop:*"}, True),
        ({"user": "admin"}, False),
        ({"agent": "kube-controller-manager"}, True),
        ({"agent": "deployment-controller"}, True),
        ({"agent": "kube-controller-manager/deployment-controller"}, True),
        ({"agent": "controller"}, False),
        ({"path": "/apis/apps/*"}, True),
        ({"where": lambda one: one.body["spec"]["replicas"] == 3}, True),
        ({"verb": "update", "name": "other"}, False),
        ({"verb": None}, True),
    ],
)
def test_words_select(words, holds):
    made = call(
        "PUT",
        f"{DEPLOYMENTS}/web/status",
        {"spec": {"replicas": 3}},
        user="system:serviceaccount:shop:op",
        agent="kube-controller-manager/deployment-controller",
    )
    assert fits(made, **words) is holds


def test_resource_words_are_those_of_the_resource_itself():
    assert fits(call("GET", PODS), resource="pods")
    assert not fits(call("GET", PODS), resource="pods/*")
    assert not fits(call("GET", "/healthz"), resource="*/*")


def test_who_is_impersonated_counts_as_user_too():
    made = call("GET", PODS, user="admin", impersonate_user="jane")
    assert fits(made, user="jane")
    assert fits(made, user="admin")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"verb": "put"}, r"there is no 'put' \(PUT is update\); known: get, list"),
        ({"verb": "read"}, "there is no 'read'; known"),
        ({"verb": 3}, "verb: 3 is not allowed"),
        ({"verb": ()}, "is not allowed"),
        ({"resource": "pod"}, "did you mean 'pods'"),
        ({"resource": "deploy"}, "did you mean 'deployments'"),
        ({"resource": "Pods"}, "allowed: a plural"),
        ({"resource": "pods/"}, "allowed: a plural"),
        ({"where": "x"}, "allowed: a function"),
        ({"colour": "red"}, "there is no word 'colour' for calls; known: verb, resource"),
    ],
)
def test_wrong_words_are_refused_with_what_is_allowed(words, says):
    with pytest.raises(OptionError, match=says):
        selection(words, READERS)
