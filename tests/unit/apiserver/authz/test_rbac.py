"""RBAC from roles and bindings as they come and go."""

import pytest

from pybernetes.api.objects import User
from pybernetes.apiserver.authz.rbac import Rbac
from pybernetes.apiserver.extension import Attributes, Decision

GROUP = "rbac.authorization.k8s.io"
BOB = User("bob", groups=("staff",))
PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}


class Registry:
    """Hands listeners over, as the watch cache would."""

    def __init__(self):
        self.listeners = {}

    def subscribe(self, resource, listener, *, glance=False):
        self.listeners[resource.resource] = listener

    def tell(self, plural, name, change="ADDED", namespace="", **obj):
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        self.listeners[plural](change, {"metadata": meta, **obj})

    def role(self, *rules, name="r", namespace="", change="ADDED"):
        self.tell("roles" if namespace else "clusterroles", name, change, namespace, rules=list(rules))

    def bind(self, subject, role="ClusterRole/r", namespace="", change="ADDED", name="b"):
        kind, _, who = role.partition("/")
        reference = {"apiGroup": GROUP, "kind": kind, "name": who}
        plural = "rolebindings" if namespace else "clusterrolebindings"
        self.tell(plural, name, change, namespace, roleRef=reference, subjects=[subject])


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def rbac(registry):
    made = Rbac()
    made.follow(registry)
    return made


def asks(user=BOB, verb="get", resource="pods", namespace="x", **more):
    return Attributes(user, verb, resource=resource, namespace=namespace, **more)


def allowed(rbac, *args, **more):
    return rbac.authorize(asks(*args, **more))[0] is Decision.ALLOW


USER, STAFF = {"kind": "User", "name": "bob"}, {"kind": "Group", "name": "staff"}


def test_nobody_may_anything_without_a_binding(rbac):
    assert rbac.authorize(asks()) == (Decision.NO_OPINION, "")


def test_masters_may_everything(rbac):
    assert allowed(rbac, User("root", groups=("system:masters",)), "delete", "nodes")


@pytest.mark.parametrize("subject", [USER, STAFF])
def test_a_cluster_binding_counts_in_every_namespace(rbac, registry, subject):
    registry.role(PODS)
    registry.bind(subject)
    assert allowed(rbac)
    assert allowed(rbac, namespace="")
    assert not allowed(rbac, verb="delete")


def test_a_binding_counts_in_its_namespace_only(rbac, registry):
    registry.role(PODS)
    registry.bind(USER, namespace="x")
    assert allowed(rbac)
    assert not allowed(rbac, namespace="y")
    assert not allowed(rbac, namespace="")


def test_order_does_not_matter_and_removal_counts_at_once(rbac, registry):
    registry.bind(USER, "Role/r", namespace="x")
    assert not allowed(rbac)
    registry.role(PODS, namespace="x")
    assert allowed(rbac)
    registry.role(namespace="x", change="MODIFIED")
    assert not allowed(rbac)
    registry.role(PODS, namespace="x", change="MODIFIED")
    assert allowed(rbac)
    registry.bind(USER, "Role/r", namespace="x", change="DELETED")
    assert not allowed(rbac)


def test_a_cluster_role_bound_in_a_namespace_changes_there_too(rbac, registry):
    registry.bind(USER, namespace="x")
    assert not allowed(rbac)
    registry.role(PODS)
    assert allowed(rbac)
    registry.role(change="DELETED")
    assert not allowed(rbac)


def test_changed_subjects_count_at_once(rbac, registry):
    registry.role(PODS)
    registry.bind(USER)
    assert allowed(rbac)
    registry.bind({"kind": "User", "name": "eve"}, change="MODIFIED")
    assert not allowed(rbac)
    assert allowed(rbac, User("eve"))


def test_a_service_account_is_the_user_of_its_tokens(rbac, registry):
    registry.role(PODS)
    registry.bind({"kind": "ServiceAccount", "name": "robot", "namespace": "x"})
    decision, reason = rbac.authorize(asks(User("system:serviceaccount:x:robot")))
    assert decision is Decision.ALLOW
    assert reason == 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to ServiceAccount "robot/x"'


def test_the_reason_names_binding_role_and_subject(rbac, registry):
    registry.role(PODS, namespace="x")
    registry.bind(STAFF, "Role/r", namespace="x")
    assert rbac.authorize(asks())[1] == 'RBAC: allowed by RoleBinding "b/x" of Role "r" to Group "staff"'


def test_paths_are_granted_cluster_wide(rbac, registry):
    registry.role({"verbs": ["get"], "nonResourceURLs": ["/metrics"]})
    registry.bind(USER)
    assert rbac.authorize(Attributes(BOB, "get", "/metrics"))[0] is Decision.ALLOW
    assert rbac.authorize(Attributes(BOB, "get", "/metrics/x"))[0] is Decision.NO_OPINION


def test_a_subresource_is_its_own_thing(rbac, registry):
    registry.role({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]})
    registry.bind(USER)
    assert allowed(rbac, subresource="log")
    assert not allowed(rbac)


def test_rules_of_a_user_are_those_of_cluster_and_namespace(rbac, registry):
    registry.role(PODS)
    registry.role({"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}, namespace="x")
    registry.bind(USER)
    registry.bind(USER, "Role/r", namespace="x")
    assert len(rbac.rules(BOB, "x")) == 2
    assert len(rbac.rules(BOB, "y")) == 1


def test_a_refusal_names_the_roles_that_are_not_there(rbac, registry):
    registry.bind(USER, "ClusterRole/gone")
    assert rbac.authorize(asks()) == (
        Decision.NO_OPINION,
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    )
    registry.bind(USER, "Role/lost", namespace="x")
    assert rbac.authorize(asks())[1] == (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, '
        'role.rbac.authorization.k8s.io "lost" not found]'
    )
    assert rbac.authorize(Attributes(BOB, "get", "/metrics"))[1].endswith('"gone" not found')
    registry.role(name="gone")
    registry.role(name="lost", namespace="x")
    assert rbac.authorize(asks())[1] == ""


def test_what_was_allowed_once_is_refused_when_the_role_or_the_binding_has_gone(rbac, registry):
    registry.role(PODS)
    for gone in ("role", "binding"):
        registry.bind(USER)
        assert all(allowed(rbac, name=name) for name in ("a", "b", "a"))
        assert not allowed(rbac, verb="delete", name="a")
        if gone == "role":
            registry.role(PODS, change="DELETED")
        else:
            registry.bind(USER, change="DELETED")
        assert not allowed(rbac, name="a")
        registry.role(PODS)


def test_a_rule_of_one_name_is_not_remembered_for_others(rbac, registry):
    registry.role({**PODS, "resourceNames": ["a"]})
    registry.bind(USER)
    assert [allowed(rbac, name=name) for name in ("a", "b", "a", "")] == [True, False, True, False]


def test_who_has_left_a_group_is_judged_anew(rbac, registry):
    registry.role(PODS)
    registry.bind(STAFF)
    assert allowed(rbac)
    assert not allowed(rbac, User("bob", groups=("visitors",)))
