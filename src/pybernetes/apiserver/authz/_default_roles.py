"""The ClusterRoles and bindings that every cluster has, as upstream's bootstrap policy names them. bootstrap.py writes them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pybernetes.apiserver.authz._rules import READ, WRITE, Rules, rule, urls

GROUP = "rbac.authorization.k8s.io"
_ALL = f"{READ} {WRITE}"
_AUTHENTICATION = "extension-apiserver-authentication"

_EVENTS: Rules = [rule("create patch update", "events", ",events.k8s.io")]
_DEVICES = "resource.k8s.io"
_EXTENSIONS = (
    "daemonsets deployments deployments/scale ingresses networkpolicies replicasets replicasets/scale "
    "replicationcontrollers/scale"
)

_WORKLOADS = (
    "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
    "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status"
)
_VIEW: Rules = [
    rule(
        READ,
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        READ,
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
    ),
    rule(READ, "namespaces"),
    rule(READ, "endpointslices", "discovery.k8s.io"),
    rule(READ, _WORKLOADS, "apps"),
    rule(READ, "horizontalpodautoscalers horizontalpodautoscalers/status", "autoscaling"),
    rule(READ, "cronjobs cronjobs/status jobs jobs/status", "batch"),
    rule(READ, f"{_EXTENSIONS} daemonsets/status deployments/status ingresses/status replicasets/status", "extensions"),
    rule(READ, "poddisruptionbudgets poddisruptionbudgets/status", "policy"),
    rule(READ, "ingresses ingresses/status networkpolicies", "networking.k8s.io"),
    rule(READ, "resourceclaims resourceclaims/status resourceclaimtemplates", _DEVICES),
]
_USAGE: Rules = [rule(READ, "pods nodes", "metrics.k8s.io")]
"""As metrics-server brings it."""
_EDIT: Rules = [
    rule(READ, "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    rule("impersonate", "serviceaccounts"),
    rule(WRITE, "pods pods/attach pods/exec pods/portforward pods/proxy"),
    rule("create", "pods/eviction"),
    rule(
        WRITE,
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
    ),
    rule("create", "serviceaccounts/token"),
    rule(
        WRITE,
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        "apps",
    ),
    rule(WRITE, "horizontalpodautoscalers", "autoscaling"),
    rule(WRITE, "cronjobs jobs", "batch"),
    rule(WRITE, f"{_EXTENSIONS} deployments/rollback", "extensions"),
    rule(WRITE, "poddisruptionbudgets", "policy"),
    rule(WRITE, "ingresses networkpolicies", "networking.k8s.io"),
    rule(_ALL, "leases", "coordination.k8s.io"),
    rule(WRITE, "resourceclaims resourceclaimtemplates", _DEVICES),
]
_ADMIN: Rules = [
    rule("create", "localsubjectaccessreviews", "authorization.k8s.io"),
    rule(_ALL, "rolebindings roles", GROUP),
]
_HEALTH = "/healthz /livez /readyz /version /version/"
_SIGNERS = "certificates.k8s.io"

_NODE: Rules = [
    rule("create", "tokenreviews", "authentication.k8s.io"),
    rule("create", "localsubjectaccessreviews subjectaccessreviews", "authorization.k8s.io"),
    rule(READ, "services"),
    rule("create get list watch", "nodes"),
    rule("patch update", "nodes/status"),
    rule("patch update", "nodes"),
    *_EVENTS,
    rule(READ, "pods"),
    rule("create delete", "pods"),
    rule("patch update", "pods/status"),
    rule("create", "pods/eviction"),
    rule(READ, "configmaps secrets"),
    rule("get", "persistentvolumeclaims persistentvolumes"),
    rule("get patch update", "persistentvolumeclaims/status"),
    rule("get", "endpoints"),
    rule("create get list watch", "certificatesigningrequests", _SIGNERS),
    rule("create delete get patch update", "leases", "coordination.k8s.io"),
    rule("get", "volumeattachments", "storage.k8s.io"),
    rule("create", "serviceaccounts/token"),
    rule(READ, "csidrivers", "storage.k8s.io"),
    rule("create delete get patch update", "csinodes", "storage.k8s.io"),
    rule(READ, "runtimeclasses", "node.k8s.io"),
    rule("get", "resourceclaims", _DEVICES),
    rule("get", "serviceaccounts"),
    rule(_ALL, "resourceslices", _DEVICES),
    rule(READ, "clustertrustbundles", _SIGNERS),
    rule(f"create {READ}", "podcertificaterequests", _SIGNERS),
]

_SCHEDULER: Rules = [
    *_EVENTS,
    rule("create", "leases", "coordination.k8s.io"),
    rule("get list patch update watch", "leases", "coordination.k8s.io", "kube-scheduler"),
    rule(READ, "nodes"),
    rule("delete get list watch", "pods"),
    rule("create", "bindings pods/binding"),
    rule("patch update", "pods/status"),
    rule(READ, "replicationcontrollers services"),
    rule(READ, "replicasets", "apps,extensions"),
    rule(READ, "statefulsets", "apps"),
    rule(READ, "poddisruptionbudgets", "policy"),
    rule("get list patch update watch", "persistentvolumeclaims persistentvolumes"),
    rule("create", "tokenreviews", "authentication.k8s.io"),
    rule("create", "subjectaccessreviews", "authorization.k8s.io"),
    rule(READ, "csinodes csidrivers csistoragecapacities storageclasses volumeattachments", "storage.k8s.io"),
    rule(READ, "namespaces"),
    rule(READ, "priorityclasses", "scheduling.k8s.io"),
    rule(f"patch update {READ}", "resourceclaims", _DEVICES),
    rule(f"patch update {READ}", "resourceclaims/status", _DEVICES),
    rule(f"patch update {READ}", "pods/finalizers"),
    rule(READ, "deviceclasses devicetaintrules resourceslices", _DEVICES),
]

_CONTROLLER_MANAGER: Rules = [
    *_EVENTS,
    rule("create", "leases", "coordination.k8s.io"),
    rule("get patch update", "leases", "coordination.k8s.io", "kube-controller-manager"),
    rule("create", "secrets serviceaccounts"),
    rule("delete", "secrets"),
    rule("get", "configmaps namespaces secrets serviceaccounts"),
    rule("update", "secrets serviceaccounts"),
    rule("create", "tokenreviews", "authentication.k8s.io"),
    rule("create", "subjectaccessreviews", "authorization.k8s.io"),
    {"verbs": ["list", "watch"], "apiGroups": ["*"], "resources": ["*"]},
    rule("create", "serviceaccounts/token"),
]

_ROLES: dict[str, Rules] = {
    "cluster-admin": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, urls("*", "*")],
    "system:discovery": [
        urls("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/")
    ],
    "system:monitoring": [
        urls("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/* /flagz /statusz")
    ],
    "system:basic-user": [
        rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", "authorization.k8s.io"),
        rule("create", "selfsubjectreviews", "authentication.k8s.io"),
    ],
    "system:public-info-viewer": [urls("get", _HEALTH)],
    "system:heapster": [rule(READ, "events namespaces nodes pods"), rule(READ, "deployments", "extensions")],
    "system:node": _NODE,
    "system:node-problem-detector": [rule("get", "nodes"), rule("patch", "nodes/status"), *_EVENTS],
    "system:node-proxier": [
        rule("list watch", "endpoints services"),
        rule(READ, "nodes"),
        *_EVENTS,
        rule("list watch", "endpointslices", "discovery.k8s.io"),
        rule("list watch", "servicecidrs", "networking.k8s.io"),
    ],
    "system:kubelet-api-admin": [
        rule(READ, "nodes"),
        rule("proxy", "nodes"),
        rule("*", "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats"),
    ],
    "system:node-bootstrapper": [rule("create get list watch", "certificatesigningrequests", _SIGNERS)],
    "system:auth-delegator": [
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "subjectaccessreviews", "authorization.k8s.io"),
    ],
    "system:kube-aggregator": [rule(READ, "endpoints services")],
    "system:kube-controller-manager": _CONTROLLER_MANAGER,
    "system:kube-scheduler": _SCHEDULER,
    "system:kube-dns": [rule("list watch", "endpoints services")],
    "system:persistent-volume-provisioner": [
        rule("create delete get list watch", "persistentvolumes"),
        rule("get list update watch", "persistentvolumeclaims"),
        rule(READ, "storageclasses", "storage.k8s.io"),
        rule("watch", "events"),
        *_EVENTS,
    ],
    "system:volume-scheduler": [
        rule(f"patch update {READ}", "persistentvolumes"),
        rule(READ, "storageclasses", "storage.k8s.io"),
        rule(f"patch update {READ}", "persistentvolumeclaims"),
    ],
    "system:cluster-trust-bundle-discovery": [rule(READ, "clustertrustbundles", _SIGNERS)],
    "system:service-account-issuer-discovery": [
        urls(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )
    ],
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        rule("create", "certificatesigningrequests/nodeclient", _SIGNERS)
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        rule("create", "certificatesigningrequests/selfnodeclient", _SIGNERS)
    ],
    **{
        f"system:certificates.k8s.io:{name}-approver": [rule("approve", "signers", _SIGNERS, f"kubernetes.io/{name}")]
        for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    },
}

_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group system:masters",),
    "system:discovery": ("Group system:authenticated",),
    "system:monitoring": ("Group system:monitoring",),
    "system:basic-user": ("Group system:authenticated",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    "system:cluster-trust-bundle-discovery": ("Group system:serviceaccounts",),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    # The Node authorizer grants these rules; upstream keeps the binding, without subjects, for old clusters.
    "system:node": (),
}


_AGGREGATED: dict[str, tuple[Rules, str]] = {"admin": (_ADMIN, ""), "edit": (_EDIT, "admin"), "view": (_VIEW, "edit")}
"""Name to the rules of its own, and to which other role it counts."""


class ClusterRole(NamedTuple):
    """One ClusterRole."""

    name: str
    rules: Rules
    aggregates_to: tuple[str, ...] = ()
    """The roles that its rules count to, too."""
    aggregates: bool = False
    """Whether it is made of the roles that say so."""


def aggregation_label(name: str) -> str:
    """The label of what counts to a role."""
    return f"{GROUP}/aggregate-to-{name}"


def cluster_roles() -> Iterator[ClusterRole]:
    """Each of them, with all the rules of those that aggregate others."""
    for name, rules in _ROLES.items():
        yield ClusterRole(name, rules)
    made = [ClusterRole("system:aggregated-metrics-reader", _USAGE, aggregates_to=("view", "edit", "admin"))]
    for name, (own, above) in reversed(_AGGREGATED.items()):
        made.append(ClusterRole(f"system:aggregate-to-{name}", own, aggregates_to=(name,)))
        made.append(ClusterRole(name, _together(name, made), aggregates_to=(above,) if above else (), aggregates=True))
    yield from made


def _together(name: str, roles: Iterable[ClusterRole]) -> Rules:
    """As the aggregation controller puts them together: in the order of the names. It finds nothing to do then."""
    rules: Rules = []
    for role in sorted(roles):
        if name in role.aggregates_to:
            rules += [rule for rule in role.rules if rule not in rules]
    return rules


def cluster_role_bindings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name, which is also its role's, and subjects: `Group x`, `User x`, `ServiceAccount namespace/name`."""
    yield from _BINDINGS.items()


class NamespacedRole(NamedTuple):
    """A Role and the subjects of its binding."""

    namespace: str
    name: str
    rules: Rules
    subjects: Sequence[str]
    binding: str = ""
    """Name of the binding, where that is another."""


def namespaced_roles() -> Iterator[NamespacedRole]:
    """Each of them."""
    system = "kube-system"
    managers = ("User system:kube-controller-manager", "User system:kube-scheduler")
    reader = "extension-apiserver-authentication-reader"
    yield NamespacedRole(
        system, reader, [rule(READ, "configmaps", names=_AUTHENTICATION)], managers, f"system::{reader}"
    )
    for name, user in (("kube-controller-manager", managers[0]), ("kube-scheduler", managers[1])):
        rules = [rule("watch", "configmaps"), rule("get update", "configmaps", names=name)]
        accounts = (name, "leader-election-controller") if name == "kube-controller-manager" else (name,)
        subjects = (user, *(f"ServiceAccount {system}/{account}" for account in accounts))
        yield NamespacedRole(system, f"system::leader-locking-{name}", rules, subjects)
    of_signer = rule("update", "configmaps", names="cluster-info")
    for namespace, account, rules in (
        (system, "bootstrap-signer", [rule(READ, "secrets")]),
        ("kube-public", "bootstrap-signer", [rule(READ, "configmaps"), of_signer, *_EVENTS]),
        (system, "token-cleaner", [rule(f"delete {READ}", "secrets"), *_EVENTS]),
        (system, "cloud-provider", [rule(f"create {READ}", "configmaps")]),
    ):
        yield NamespacedRole(namespace, f"system:controller:{account}", rules, (f"ServiceAccount {system}/{account}",))
