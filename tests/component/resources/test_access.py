"""Roles, reviews, signing requests and what a node may write."""

import base64

import pytest

from pybernetes.api.objects import User
from pybernetes.wire.pki.certificates import new_request
from pybernetes.wire.pki.keys import new_key

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CORE = "/api/v1/namespaces/default"
REVIEWS = "/apis/authorization.k8s.io/v1"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
BOB = User("bob", groups=("staff", "system:authenticated"))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


def bind(role, kind="User", name="bob"):
    subject = {"kind": kind, "name": name}
    return {"metadata": {"name": role}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [subject]}


async def test_every_cluster_has_its_roles(api):
    _, found = await api("GET", f"{RBAC}/clusterroles")
    names = {role["metadata"]["name"] for role in found["items"]}
    assert {"cluster-admin", "admin", "edit", "view", "system:node", "system:kube-scheduler"} <= names
    assert {"system:controller:deployment-controller", "system:discovery"} <= names


async def test_lost_parts_come_back_at_the_next_start(api):
    from pybernetes.apiserver.authz import bootstrap

    role, binding = f"{RBAC}/clusterroles/system:kube-dns", f"{RBAC}/clusterrolebindings/system:kube-dns"
    more = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    await api("PUT", role, {"metadata": {"name": "system:kube-dns"}, "rules": [more]})
    await api("DELETE", binding)
    elsewhere = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    await api.made(f"{RBAC}/clusterrolebindings", {"metadata": {"name": "system:kube-dns"}, "roleRef": elsewhere})
    await bootstrap.ensure(api.server.storage)
    repaired = (await api("GET", role))[1]
    assert [rule["resources"] for rule in repaired["rules"]] == [["pods"], ["endpoints", "services"]]
    assert repaired["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "rbac-defaults"}
    bound = (await api("GET", binding))[1]
    assert bound["roleRef"]["name"] == "system:kube-dns"
    assert bound["subjects"] == [{"kind": "ServiceAccount", "name": "kube-dns", "namespace": "kube-system"}]
    kept = {"rbac.authorization.kubernetes.io/autoupdate": "false"}
    await api("PUT", role, {"metadata": {"name": "system:kube-dns", "annotations": kept}, "rules": []})
    await bootstrap.ensure(api.server.storage)
    assert not (await api("GET", role))[1].get("rules")


async def test_user_facing_roles_aggregate(api):
    from pybernetes.apiserver.authz import bootstrap

    path, prefix = f"{RBAC}/clusterroles", "rbac.authorization.k8s.io/aggregate-to-"
    for name, above in (("view", "edit"), ("edit", "admin")):
        role = (await api("GET", f"{path}/{name}"))[1]
        assert role["aggregationRule"] == {"clusterRoleSelectors": [{"matchLabels": {prefix + name: "true"}}]}
        assert role["metadata"]["labels"][prefix + above] == "true"
        part = (await api("GET", f"{path}/system:aggregate-to-{name}"))[1]
        assert part["metadata"]["labels"][prefix + name] == "true"
        assert all(rule in role["rules"] for rule in part["rules"])
    own = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    await api("PUT", f"{path}/view", {"metadata": {"name": "view"}, "rules": [], "aggregationRule": own})
    await bootstrap.ensure(api.server.storage)
    view = (await api("GET", f"{path}/view"))[1]
    assert view["aggregationRule"]["clusterRoleSelectors"] == [
        {"matchLabels": {"a": "b"}},
        {"matchLabels": {prefix + "view": "true"}},
    ]
    assert not view.get("rules")


async def test_aggregating_takes_all_powers(api):
    rules = [{"verbs": ["create"], "apiGroups": ["*"], "resources": ["clusterroles"]}]
    await api.made(f"{RBAC}/clusterroles", {"metadata": {"name": "roles"}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "roles"}
    subjects = [{"kind": "User", "name": "bob"}]
    binding = {"metadata": {"name": "roles"}, "roleRef": role, "subjects": subjects}
    await api.made(f"{RBAC}/clusterrolebindings", binding)
    selectors = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    sent = {"metadata": {"name": "all"}, "aggregationRule": selectors, "rules": []}
    for how in ("", "?dryRun=All"):
        assert await api.refused("POST", f"{RBAC}/clusterroles{how}", sent, user=BOB) == (
            'clusterroles.rbac.authorization.k8s.io "all" is forbidden: '
            "must have cluster-admin privileges to use the aggregationRule"
        )
    await api.made(f"{RBAC}/clusterroles", {**sent, "aggregationRule": None}, user=BOB)


async def test_bindings_to_roles_that_are_not_there_say_so(api):
    missing = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gone"}
    body = {"metadata": {"name": "b"}, "roleRef": missing, "subjects": [{"kind": "User", "name": "bob"}]}
    await api.made(f"{RBAC}/namespaces/default/rolebindings", body)
    assert await api.refused("GET", f"{CORE}/pods", user=BOB) == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default": '
        'RBAC: role.rbac.authorization.k8s.io "gone" not found'
    )
    await api.made(f"{RBAC}/namespaces/default/rolebindings", bind("admin"))
    rules = await api.made(f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user=BOB)
    assert rules["status"]["evaluationError"] == 'role.rbac.authorization.k8s.io "gone" not found'
    status, answer = await api("POST", f"{RBAC}/namespaces/default/rolebindings", bind("nothing"), user=BOB)
    assert (status, answer["message"]) == (404, 'clusterrole.rbac.authorization.k8s.io "nothing" not found')
    nodes = {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}]}
    text = await api.refused("POST", f"{RBAC}/namespaces/default/roles?dryRun=All", nodes, user=BOB)
    assert text.endswith('; resolution errors: [role.rbac.authorization.k8s.io "gone" not found]')


async def test_rules_and_subjects_are_checked(api):
    rules = [{"verbs": [], "apiGroups": [""], "resources": []}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]
    assert await api.faults(
        "POST", f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "r"}, "rules": rules}
    ) == [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
        'rules[1].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
    ]
    binding = {**bind("view", "Robot"), "roleRef": {"kind": "Role", "name": "x"}}
    assert await api.faults("POST", f"{RBAC}/clusterrolebindings", binding) == [
        'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
        'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    ]


async def test_a_bindings_role_stays(api):
    made = await api.made(f"{RBAC}/clusterrolebindings", bind("view"))
    made["roleRef"]["name"] = "edit"
    (fault,) = await api.faults("PUT", f"{RBAC}/clusterrolebindings/view", made)
    assert fault.endswith("cannot change roleRef")


async def test_nobody_grants_what_they_do_not_hold(api):
    await api.made(f"{RBAC}/namespaces/default/rolebindings", bind("admin"))
    path = f"{RBAC}/namespaces/default/roles"
    nodes = {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}]}
    assert await api.refused("POST", path, nodes, user=BOB) == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "bob" (groups=["staff" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}'
    )
    pods = {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}
    await api.made(path, pods, user=BOB)
    text = await api.refused("POST", f"{RBAC}/namespaces/default/rolebindings", bind("cluster-admin"), user=BOB)
    assert "attempting to grant RBAC permissions not currently held" in text
    await api.made(f"{RBAC}/namespaces/default/rolebindings", bind("view"), user=BOB)


async def test_reviews_ask_the_real_authorizer(api):
    await api.made(f"{RBAC}/namespaces/default/rolebindings", bind("view"))
    about = {"namespace": "default", "verb": "list", "resource": "pods"}
    asked = {"spec": {"user": "bob", "resourceAttributes": about}}
    answer = await api.made(f"{REVIEWS}/subjectaccessreviews", asked)
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "view/default" of ClusterRole "view" to User "bob"',
    }
    asked["spec"]["resourceAttributes"]["verb"] = "delete"
    assert (await api.made(f"{REVIEWS}/subjectaccessreviews", asked))["status"] == {"allowed": False}
    mine = await api.made(
        f"{REVIEWS}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": {**about, "verb": "list"}}}, user=BOB
    )
    assert mine["status"]["allowed"] is True
    rules = await api.made(f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user=BOB)
    assert any("pods" in rule["resources"] for rule in rules["status"]["resourceRules"])


async def test_a_review_must_ask_one_thing(api):
    path = f"{REVIEWS}/subjectaccessreviews"
    _, answer = await api("POST", path, {"spec": {}})
    assert answer["message"].startswith('.authorization.k8s.io "" is invalid: [')
    assert await api.faults("POST", path, {"spec": {}}) == [
        "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes "
        "must be specified",
        'spec.user: Invalid value: "": at least one of user or group must be specified',
    ]
    terms = [
        {"key": "", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["b"]},
        {"key": "-", "operator": "New", "values": ["c d"]},
    ]
    about = {"fieldSelector": {"requirements": terms, "rawSelector": "a=b"}, "labelSelector": {}}
    asked = {"metadata": {"name": "n"}, "spec": {"user": "bob", "resourceAttributes": about}}
    found = await api.faults("POST", path, asked)
    at = "spec.resourceAttributes.fieldSelector"
    assert found == [
        f'{at}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements',
        f"{at}.requirements[0].key: Required value: must be specified",
        f"{at}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        f"{at}.requirements[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        "spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector "
        "is specified, requirements or rawSelector is required",
        'metadata: Invalid value: {"name":"n"}: must be empty',
    ]


async def test_a_local_review_stays_in_its_namespace(api):
    path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"
    about = {"namespace": "other", "verb": "get", "resource": "pods"}
    asked = {"spec": {"user": "bob", "resourceAttributes": about}}
    assert await api.faults("POST", path, asked) == [
        'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace'
    ]
    about["namespace"] = "default"
    assert (await api.made(path, asked))["status"] == {"allowed": False}


@pytest.mark.parametrize(
    ("selector", "allowed", "text"),
    [
        ({"rawSelector": "spec.nodeName=n1"}, True, None),
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}, True, None),
        ({"rawSelector": "a b"}, False, "spec.resourceAttributes.fieldSelector ignored due to parse error"),
        (
            {
                "requirements": [
                    {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                    {"key": "a", "operator": "Exists"},
                ]
            },
            True,
            "spec.resourceAttributes.fieldSelector partially ignored due to parse error",
        ),
    ],
)
async def test_reviews_count_selectors(api, selector, allowed, text):
    about = {"verb": "list", "resource": "pods", "version": "v1", "fieldSelector": selector}
    who = {"user": NODE.name, "groups": list(NODE.groups)}
    answer = await api.made(f"{REVIEWS}/subjectaccessreviews", {"spec": {**who, "resourceAttributes": about}})
    assert answer["status"]["allowed"] is allowed
    assert answer["status"].get("evaluationError") == text


async def test_nodes_rules_are_not_all_that_they_may(api):
    answer = await api.made(f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user=NODE)
    assert answer["status"]["incomplete"] is True
    assert answer["status"]["evaluationError"] == "node authorizer does not support user rule resolution"


def csr(name="system:node:n1", groups=("system:nodes",), signer="kubernetes.io/kube-apiserver-client-kubelet"):
    pem = new_request(name, groups, (), new_key())
    spec = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": "c"}, "spec": spec}


async def test_a_request_notes_who_asks_whatever_was_sent(api):
    body = csr()
    body["spec"]["username"] = "root"
    made = await api.made(CSRS, body, user=NODE)
    assert (made["spec"]["username"], made["spec"]["groups"]) == ("system:node:n1", list(NODE.groups))
    (row,) = await api.table(CSRS)
    assert (row["Requestor"], row["Condition"]) == ("system:node:n1", "Pending")


async def test_a_request_must_be_one(api):
    body = csr(signer="nobody")
    body["spec"] |= {"request": base64.b64encode(b"x").decode(), "usages": [], "expirationSeconds": 1}
    found = await api.faults("POST", CSRS, body)
    assert [fault.partition(": ")[0] for fault in found] == [
        "spec.request",
        "spec.usages",
        "spec.signerName",
        "spec.expirationSeconds",
    ]


async def test_approval_writes_conditions_and_needs_the_verb(api):
    made = await api.made(CSRS, csr())
    made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "x"}], "certificate": "eA=="}
    code, approved = await api("PUT", f"{CSRS}/c/approval", made)
    assert code == 200, approved
    assert "certificate" not in approved["status"]
    assert approved["status"]["conditions"][0]["lastTransitionTime"]
    denied = {"status": {"conditions": [{"type": "Denied", "status": "True"}]}}
    _, current = await api("GET", f"{CSRS}/c")
    assert await api.faults("PUT", f"{CSRS}/c/approval", {**current, **denied}) == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]
    await api.made(
        f"{RBAC}/clusterroles",
        {
            "metadata": {"name": "approves"},
            "rules": [
                {
                    "verbs": ["get", "update"],
                    "apiGroups": ["certificates.k8s.io"],
                    "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"],
                }
            ],
        },
    )
    await api.made(f"{RBAC}/clusterrolebindings", bind("approves"))
    text = await api.refused("PUT", f"{CSRS}/c/approval", current, user=BOB)
    assert 'user not permitted to approve requests with signerName "kubernetes.io/' in text


async def test_nobody_asks_for_masters(api):
    body = csr("x", ("system:masters",), "kubernetes.io/kube-apiserver-client")
    text = await api.refused("POST", CSRS, body)
    assert "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in text


async def test_a_node_writes_itself_only(api):
    await api.made("/api/v1/nodes", {"metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux"}}}, user=NODE)
    text = await api.refused("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, user=NODE)
    assert text == 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'
    role = {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}
    text = await api.refused("PATCH", "/api/v1/nodes/n1", role, user=NODE)
    assert text.endswith("is not allowed to modify labels: node-role.kubernetes.io/control-plane")
    text = await api.refused(
        "PATCH", "/api/v1/nodes/n1", {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}, user=NODE
    )
    assert text.endswith('node "n1" is not allowed to modify taints')
    code, _ = await api("PATCH", "/api/v1/nodes/n1/status", {"status": {"capacity": {"cpu": "4"}}}, user=NODE)
    assert code == 200


async def test_a_node_creates_mirrors_of_its_own_pods_only(api):
    node = await api.made("/api/v1/nodes", {"metadata": {"name": "n1"}}, user=NODE)
    spec = {"nodeName": "n1", "containers": [{"name": "a", "image": "a"}]}
    plain = {"metadata": {"name": "p"}, "spec": spec}
    text = await api.refused("POST", f"{CORE}/pods", plain, user=NODE)
    assert 'pod does not have "kubernetes.io/config.mirror" annotation' in text
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": node["metadata"]["uid"], "controller": True}
    meta = {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}
    secret = {**spec, "volumes": [{"name": "v", "secret": {"secretName": "s"}}]}
    text = await api.refused("POST", f"{CORE}/pods", {"metadata": meta, "spec": secret}, user=NODE)
    assert "secrets" in text
    await api.made(f"{CORE}/pods", {"metadata": meta, "spec": spec}, user=NODE)
    code, _ = await api("DELETE", f"{CORE}/pods/p?gracePeriodSeconds=0", user=NODE)
    assert code == 200


async def test_a_node_takes_tokens_for_its_own_pods_only(api):
    await api.made(f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "a"}]}})
    await api("POST", f"{CORE}/bindings", {"metadata": {"name": "p"}, "target": {"name": "n1"}})
    _, pod = await api("GET", f"{CORE}/pods/p")
    path = f"{CORE}/serviceaccounts/default/token"
    text = await api.refused("POST", path, {"spec": {}}, user=NODE)
    assert "node requested token not bound to a pod" in text
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
    await api.made(path, {"spec": {"boundObjectRef": ref}}, user=NODE)
    other = User("system:node:n2", groups=NODE.groups)
    await api.refused("POST", path, {"spec": {"boundObjectRef": ref}}, user=other)


async def test_a_node_keeps_its_own_lease(api):
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    await api.made(path, {"metadata": {"name": "n1"}, "spec": {}}, user=NODE)
    text = await api.refused("POST", path, {"metadata": {"name": "n2"}, "spec": {}}, user=NODE)
    assert "can only access node lease with the same name as the requesting node" in text


async def test_a_node_asks_certificates_for_itself_only(api):
    await api.made(CSRS, csr(), user=NODE)
    other = csr("system:node:n2")
    other["metadata"]["name"] = "d"
    assert "can only create a node CSR with CN=system:node:n1" in await api.refused("POST", CSRS, other, user=NODE)
