"""The ClusterRoles and bindings that every cluster has, as upstream's bootstrap policy names them. bootstrap.py writes them."""

from collections.abc import Iterator

from pybernetes.api.objects import Object

GROUP = "rbac.authorization.k8s.io"
_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_ALL = f"{_READ} {_WRITE}"

Rules = list[Object]


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> Object:
    """A rule on resources of one group; words separated by blanks. `core` is not written."""
    found: Object = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    if names:
        found["resourceNames"] = names.split()
    return found


def urls(verbs: str, paths: str) -> Object:
    """A rule on paths that are no resources."""
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}


_EVENTS: Rules = [rule("create patch update", "events"), rule("create patch update", "events", "events.k8s.io")]

_WORKLOADS = (
    "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
    "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status"
)
_VIEW: Rules = [
    rule(
        _READ,
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        _READ,
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
    ),
    rule(_READ, "namespaces"),
    rule(_READ, "endpointslices", "discovery.k8s.io"),
    rule(_READ, _WORKLOADS, "apps"),
    rule(_READ, "horizontalpodautoscalers horizontalpodautoscalers/status", "autoscaling"),
    rule(_READ, "cronjobs cronjobs/status jobs jobs/status", "batch"),
    rule(_READ, "ingresses ingresses/status networkpolicies", "networking.k8s.io"),
    rule(_READ, "poddisruptionbudgets poddisruptionbudgets/status", "policy"),
]
_EDIT: Rules = [
    rule(_READ, "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    rule("impersonate", "serviceaccounts"),
    rule(_WRITE, "pods pods/attach pods/exec pods/portforward pods/proxy"),
    rule("create", "pods/eviction"),
    rule(
        _WRITE,
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
    ),
    rule("create", "serviceaccounts/token"),
    rule(
        _WRITE,
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        "apps",
    ),
    rule(_WRITE, "horizontalpodautoscalers", "autoscaling"),
    rule(_WRITE, "cronjobs jobs", "batch"),
    rule(_WRITE, "ingresses networkpolicies", "networking.k8s.io"),
    rule(_WRITE, "poddisruptionbudgets", "policy"),
    rule(f"{_READ} create delete deletecollection patch update", "leases", "coordination.k8s.io"),
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
    rule(_READ, "services"),
    rule("create get list watch", "nodes"),
    rule("patch update", "nodes/status"),
    rule("patch update", "nodes"),
    *_EVENTS,
    rule(_READ, "pods"),
    rule("create delete", "pods"),
    rule("patch update", "pods/status"),
    rule("create", "pods/eviction"),
    rule(_READ, "configmaps secrets"),
    rule("get", "persistentvolumeclaims persistentvolumes"),
    rule("get", "endpoints"),
    rule("create get list watch", "certificatesigningrequests", _SIGNERS),
    rule("create delete get patch update", "leases", "coordination.k8s.io"),
    rule("get", "volumeattachments", "storage.k8s.io"),
    rule("create", "serviceaccounts/token"),
    rule(_READ, "csidrivers", "storage.k8s.io"),
    rule("create delete get patch update", "csinodes", "storage.k8s.io"),
    rule(_READ, "runtimeclasses", "node.k8s.io"),
]

_SCHEDULER: Rules = [
    *_EVENTS,
    rule("create", "leases", "coordination.k8s.io"),
    rule("get patch update", "leases", "coordination.k8s.io", "kube-scheduler"),
    rule(_READ, "nodes"),
    rule("delete get list watch", "pods"),
    rule("create", "bindings pods/binding"),
    rule("patch update", "pods/status"),
    rule(_READ, "replicationcontrollers services"),
    rule(_READ, "replicasets statefulsets", "apps"),
    rule(_READ, "poddisruptionbudgets", "policy"),
    rule("get list patch update watch", "persistentvolumeclaims persistentvolumes"),
    rule("create", "tokenreviews", "authentication.k8s.io"),
    rule("create", "subjectaccessreviews", "authorization.k8s.io"),
    rule(_READ, "csinodes csidrivers csistoragecapacities storageclasses volumeattachments", "storage.k8s.io"),
    rule(_READ, "namespaces"),
    rule(_READ, "priorityclasses", "scheduling.k8s.io"),
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
    "system:monitoring": [urls("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*")],
    "system:basic-user": [
        rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", "authorization.k8s.io"),
        rule("create", "selfsubjectreviews", "authentication.k8s.io"),
    ],
    "system:public-info-viewer": [urls("get", _HEALTH)],
    "view": _VIEW,
    "edit": [*_EDIT, *_VIEW],
    "admin": [*_ADMIN, *_EDIT, *_VIEW],
    "system:heapster": [rule(_READ, "events namespaces nodes pods"), rule(_READ, "deployments", "extensions")],
    "system:node": _NODE,
    "system:node-problem-detector": [rule("get", "nodes"), rule("patch", "nodes/status"), *_EVENTS],
    "system:node-proxier": [
        rule("list watch", "endpoints services"),
        rule(_READ, "nodes"),
        *_EVENTS,
        rule("list watch", "endpointslices", "discovery.k8s.io"),
        rule("list watch", "servicecidrs", "networking.k8s.io"),
    ],
    "system:kubelet-api-admin": [
        rule(_READ, "nodes"),
        rule("proxy", "nodes"),
        rule("*", "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats"),
    ],
    "system:node-bootstrapper": [rule("create get list watch", "certificatesigningrequests", _SIGNERS)],
    "system:auth-delegator": [
        rule("create", "tokenreviews", "authentication.k8s.io"),
        rule("create", "subjectaccessreviews", "authorization.k8s.io"),
    ],
    "system:kube-aggregator": [rule(_READ, "endpoints services")],
    "system:kube-controller-manager": _CONTROLLER_MANAGER,
    "system:kube-scheduler": _SCHEDULER,
    "system:kube-dns": [rule("list watch", "endpoints services")],
    "system:persistent-volume-provisioner": [
        rule("create delete get list watch", "persistentvolumes"),
        rule("get list update watch", "persistentvolumeclaims"),
        rule(_READ, "storageclasses", "storage.k8s.io"),
        *_EVENTS,
    ],
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
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    # The Node authorizer grants these rules; upstream keeps the binding, without subjects, for old clusters.
    "system:node": (),
}


def cluster_roles() -> Iterator[tuple[str, Rules]]:
    """Name and rules of each."""
    yield from _ROLES.items()


def cluster_role_bindings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name, which is also its role's, and subjects: `Group x`, `User x`, `ServiceAccount namespace/name`."""
    yield from _BINDINGS.items()


def namespaced_roles() -> Iterator[tuple[str, str, Rules, tuple[str, ...]]]:
    """Namespace, name, rules and subjects of the Roles that upstream binds under the same name."""
    managers = ("User system:kube-controller-manager", "User system:kube-scheduler")
    yield (
        "kube-system",
        "extension-apiserver-authentication-reader",
        [rule(_READ, "configmaps", names="extension-apiserver-authentication")],
        managers,
    )
    for name, user in (("kube-controller-manager", managers[0]), ("kube-scheduler", managers[1])):
        rules = [rule("watch", "configmaps"), rule("get update", "configmaps", names=name)]
        yield "kube-system", f"system::leader-locking-{name}", rules, (user, f"ServiceAccount kube-system/{name}")
    signer = ("ServiceAccount kube-system/bootstrap-signer",)
    yield "kube-system", "system:controller:bootstrap-signer", [rule(_READ, "secrets")], signer
    yield (
        "kube-public",
        "system:controller:bootstrap-signer",
        [rule(_READ, "configmaps"), rule("update", "configmaps", names="cluster-info"), *_EVENTS],
        signer,
    )
    cleaner = ("ServiceAccount kube-system/token-cleaner",)
    yield (
        "kube-system",
        "system:controller:token-cleaner",
        [rule("delete get list watch", "secrets"), *_EVENTS],
        cleaner,
    )
