"""The roles that every cluster has: all of upstream's names, and rules that are well formed."""

from pybernetes.apiserver.authz._controller_roles import controller_roles
from pybernetes.apiserver.authz._default_roles import cluster_role_bindings, cluster_roles, namespaced_roles
from pybernetes.apiserver.validation.rbac import validate_rules
from pybernetes.rules.rbac import rule_of, uncovered

CONTROLLERS = """
attachdetach-controller certificate-controller clusterrole-aggregation-controller cronjob-controller
daemon-set-controller deployment-controller device-taint-eviction-controller disruption-controller endpoint-controller
endpointslice-controller endpointslicemirroring-controller ephemeral-volume-controller expand-controller
generic-garbage-collector horizontal-pod-autoscaler job-controller legacy-service-account-token-cleaner
namespace-controller node-controller persistent-volume-binder pod-garbage-collector pv-protection-controller
pvc-protection-controller replicaset-controller replication-controller resource-claim-controller
resourcequota-controller root-ca-cert-publisher route-controller selinux-warning-controller
service-account-controller service-cidrs-controller service-controller statefulset-controller
storage-version-migrator-controller ttl-after-finished-controller ttl-controller
validatingadmissionpolicy-status-controller volumeattributesclass-protection-controller
"""
ROLES = """
admin cluster-admin edit system:aggregate-to-admin system:aggregate-to-edit system:aggregate-to-view
system:aggregated-metrics-reader
system:auth-delegator system:basic-user system:cluster-trust-bundle-discovery system:discovery system:heapster
system:kube-aggregator system:kube-controller-manager system:kube-dns system:kube-scheduler system:kubelet-api-admin
system:monitoring system:node system:node-bootstrapper system:node-problem-detector system:node-proxier
system:persistent-volume-provisioner system:public-info-viewer system:service-account-issuer-discovery
system:volume-scheduler view system:certificates.k8s.io:certificatesigningrequests:nodeclient
system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
system:certificates.k8s.io:kube-apiserver-client-approver
system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
system:certificates.k8s.io:kubelet-serving-approver system:certificates.k8s.io:legacy-unknown-approver
"""


def test_every_name_is_there():
    assert set(CONTROLLERS.split()) <= {name for name, _ in controller_roles()}
    names = [role.name for role in cluster_roles()]
    assert sorted(names) == sorted(ROLES.split())
    assert {name for name, _ in cluster_role_bindings()} <= set(names)


def test_every_rule_is_well_formed():
    roles = [(role.name, role.rules) for role in (*cluster_roles(), *namespaced_roles())]
    for name, rules in (*roles, *controller_roles()):
        assert rules, name
        assert list(validate_rules({"rules": rules}, namespaced=False)) == [], name


def test_those_who_edit_may_view_and_admins_may_edit():
    rules = {role.name: [rule_of(rule) for rule in role.rules] for role in cluster_roles()}
    assert uncovered(rules["admin"], rules["edit"]) == []
    assert uncovered(rules["edit"], rules["view"]) == []
    assert uncovered(rules["view"], rules["edit"])
    assert uncovered(rules["edit"], rules["admin"])


def test_nobody_views_secrets():
    (view,) = (role for role in cluster_roles() if role.name == "view")
    assert not any("secrets" in rule["resources"] for rule in view.rules)
