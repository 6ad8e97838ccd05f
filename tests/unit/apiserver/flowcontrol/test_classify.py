"""Which FlowSchema a request belongs to: upstream's rules of matching."""

import pytest

from pybernetes.api.objects import User
from pybernetes.apiserver.flowcontrol.classify import Schema, first
from pybernetes.apiserver.flowcontrol.objects import mandatory_schemas, suggested_schemas
from pybernetes.apiserver.requestinfo import RequestInfo

EVERYBODY = ("system:authenticated",)
ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}


def user(name, *groups):
    return User(name, groups=(*groups, *EVERYBODY))


def account(namespace, name):
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return user(f"system:serviceaccount:{namespace}:{name}", *groups)


ANN = user("ann", "team")
NODE = user("system:node:n", "system:nodes")


def resource(verb="get", group="", plural="pods", namespace="", subresource="", name=""):
    return RequestInfo(verb, "/x", True, group, "v1", namespace, plural, subresource, name)


def url(path, verb="get"):
    return RequestInfo(verb, path)


def schema(*, subjects=({"kind": "Group", "group": {"name": "*"}},), rules=None, urls=None, **spec):
    rule = {"subjects": list(subjects), "resourceRules": rules or [], "nonResourceRules": urls or []}
    return Schema({"metadata": {"name": "s"}, "spec": {"rules": [rule], **spec}})


@pytest.mark.parametrize(
    ("kind", "described", "who", "matches"),
    [
        ("User", {"name": "ann"}, ANN, True),
        ("User", {"name": "an"}, ANN, False),
        ("User", {"name": "*"}, ANN, True),
        ("Group", {"name": "team"}, ANN, True),
        ("Group", {"name": "tea"}, ANN, False),
        ("Group", {"name": "*"}, User("nobody"), True),
        ("ServiceAccount", {"namespace": "a", "name": "b"}, account("a", "b"), True),
        ("ServiceAccount", {"namespace": "a", "name": "c"}, account("a", "b"), False),
        ("ServiceAccount", {"namespace": "a", "name": "*"}, account("a", "b"), True),
        ("ServiceAccount", {"namespace": "a", "name": "*"}, account("ab", "b"), False),
        ("ServiceAccount", {"namespace": "a", "name": "*"}, ANN, False),
    ],
)
def test_subjects(kind, described, who, matches):
    field = {"User": "user", "Group": "group", "ServiceAccount": "serviceAccount"}[kind]
    assert schema(subjects=[{"kind": kind, field: described}], rules=[ALL]).matches(who, resource()) is matches


@pytest.mark.parametrize(
    ("change", "info", "matches"),
    [
        ({}, resource(), True),
        ({"verbs": ["list", "get"]}, resource(), True),
        ({"verbs": ["list"]}, resource(), False),
        ({"apiGroups": [""]}, resource(), True),
        ({"apiGroups": ["apps"]}, resource(), False),
        ({"resources": ["pods"]}, resource(), True),
        ({"resources": ["pods"]}, resource(subresource="status"), False),
        ({"resources": ["pods/status"]}, resource(subresource="status"), True),
        ({"namespaces": ["a", "b"]}, resource(namespace="a"), True),
        ({"namespaces": ["a", "b"]}, resource(namespace="c"), False),
        ({"namespaces": ["a"]}, resource(), True),
        ({"clusterScope": False}, resource(), False),
        ({"clusterScope": False}, resource(namespace="a"), True),
        ({"clusterScope": False, "namespaces": []}, resource(namespace="a"), False),
        ({}, url("/version"), False),
    ],
)
def test_resource_rules(change, info, matches):
    assert schema(rules=[{**ALL, **change}]).matches(ANN, info) is matches


@pytest.mark.parametrize(
    ("urls", "path", "matches"),
    [
        (["*"], "/version", True),
        (["/healthz"], "/healthz", True),
        (["/healthz"], "/healthz/etcd", True),
        (["/healthz"], "/healthzz", False),
        (["/debug/*"], "/debug/x/y", True),
        (["/debug/*"], "/debug", False),
        (["/*"], "/anything", True),
        (["/metrics"], "/version", False),
    ],
)
def test_url_rules(urls, path, matches):
    found = schema(urls=[{"verbs": ["get"], "nonResourceURLs": urls}])
    assert found.matches(ANN, url(path)) is matches
    assert not found.matches(ANN, url(path, "post"))
    assert not found.matches(ANN, resource())


def test_a_rule_needs_one_of_its_own_subjects():
    made = Schema(
        {
            "metadata": {"name": "s"},
            "spec": {
                "rules": [
                    {
                        "subjects": [{"kind": "User", "user": {"name": "ann"}}],
                        "resourceRules": [{**ALL, "verbs": ["get"]}],
                    },
                    {
                        "subjects": [{"kind": "User", "user": {"name": "bob"}}],
                        "resourceRules": [{**ALL, "verbs": ["list"]}],
                    },
                ]
            },
        }
    )
    found = {
        (name, verb) for name in ("ann", "bob") for verb in ("get", "list") if made.matches(user(name), resource(verb))
    }
    assert found == {("ann", "get"), ("bob", "list")}


def cluster():
    made = {**suggested_schemas(), **mandatory_schemas()}
    return sorted((Schema({"metadata": {"name": n}, "spec": s}) for n, s in made.items()), key=lambda one: one.order)


@pytest.mark.parametrize(
    ("who", "info", "name", "flow"),
    [
        (user("admin", "system:masters"), resource(), "exempt", ""),
        (User("system:anonymous", groups=("system:unauthenticated",)), url("/readyz"), "probes", ""),
        (ANN, url("/livez/ping"), "probes", ""),
        (ANN, url("/version"), "global-default", "ann"),
        (ANN, resource(), "global-default", "ann"),
        (account("default", "web"), resource(), "service-accounts", "system:serviceaccount:default:web"),
        (account("kube-system", "x"), resource(namespace="a"), "kube-system-service-accounts", "a"),
        (NODE, resource(plural="nodes", subresource="status"), "system-node-high", "system:node:n"),
        (NODE, resource("update", "coordination.k8s.io", "leases", "kube-node-lease"), "system-node-high", "system:node:n"),
        (NODE, resource(namespace="a"), "system-nodes", "system:node:n"),
        (user("system:kube-scheduler"), resource(namespace="a"), "kube-scheduler", "a"),
        (user("system:kube-controller-manager"), resource("update", plural="endpoints", namespace="a"),
         "endpoint-controller", "system:kube-controller-manager"),
        (user("system:kube-controller-manager"), resource(namespace="a"), "kube-controller-manager", "a"),
        (user("system:kube-controller-manager"), resource("update", "coordination.k8s.io", "leases", "kube-system"),
         "system-leader-election", "system:kube-controller-manager"),
        (User("odd", groups=("system:unauthenticated",)), resource(), "global-default", "odd"),
    ],
)  # fmt: skip
def test_a_clusters_own_schemas(who, info, name, flow):
    found = first(cluster(), who, info)
    assert (found.name, found.distinguisher(who, info)) == (name, flow)


def test_names_break_ties_of_precedence():
    made = [Schema({"metadata": {"name": name}, "spec": {"matchingPrecedence": 5}}) for name in "ba"]
    assert [one.name for one in sorted(made, key=lambda one: one.order)] == ["a", "b"]


def test_who_belongs_nowhere_is_found_nowhere():
    assert first(cluster(), User("nobody"), resource()) is None
