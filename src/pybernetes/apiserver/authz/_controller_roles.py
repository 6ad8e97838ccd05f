"""The ClusterRoles `system:controller:*` that clusters have, for the ServiceAccounts of the same names in kube-system.

Our own controllers' roles come from their rules (api/facts/roles.py); these are upstream's, by the names that manifests,
audits and other controller managers know. bootstrap.py writes them, one role of both where a name is in both.
"""

from collections.abc import Iterator

from pybernetes.apiserver.authz._rules import READ, Rules, rule

_LW = "list watch"
_CHANGE = "create delete get list patch update watch"
_EVENTS = "create patch update | events | ,events.k8s.io"
_APPS = "apps,extensions"
_BATCH = "batch"
_DISCOVERY = "discovery.k8s.io"
_NET = "networking.k8s.io"
_STORAGE = "storage.k8s.io"
_DEVICES = "resource.k8s.io"
_CERTIFICATES = "certificates.k8s.io"
_ALL_OF_IT = "*"

_ROLES: dict[str, tuple[str, ...]] = {
    "attachdetach-controller": (
        f"{_LW} | persistentvolumeclaims persistentvolumes",
        f"{READ} | nodes",
        "patch update | nodes/status",
        f"{_LW} | pods",
        _EVENTS,
        f"create delete {READ} | volumeattachments | {_STORAGE}",
        f"{READ} | csidrivers csinodes | {_STORAGE}",
    ),
    "certificate-controller": (
        f"delete {READ} | certificatesigningrequests | {_CERTIFICATES}",
        f"update | certificatesigningrequests/approval certificatesigningrequests/status | {_CERTIFICATES}",
        f"approve | signers | {_CERTIFICATES} | kubernetes.io/kube-apiserver-client-kubelet",
        f"sign | signers | {_CERTIFICATES} | kubernetes.io/kube-apiserver-client "
        "kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
        "create | subjectaccessreviews | authorization.k8s.io",
        _EVENTS,
    ),
    "clusterrole-aggregation-controller": (f"escalate patch update {READ} | clusterroles | rbac.authorization.k8s.io",),
    "cronjob-controller": (
        f"update {READ} | cronjobs | {_BATCH}",
        f"{_CHANGE} | jobs | {_BATCH}",
        f"update | cronjobs/finalizers cronjobs/status | {_BATCH}",
        f"delete {_LW} | pods",
        _EVENTS,
    ),
    "daemon-set-controller": (
        f"{READ} | daemonsets | {_APPS}",
        f"update | daemonsets/finalizers daemonsets/status | {_APPS}",
        f"{_LW} | nodes",
        f"create delete patch {_LW} | pods",
        "create | pods/binding",
        f"{_CHANGE} | controllerrevisions | apps",
        _EVENTS,
    ),
    "deployment-controller": (
        f"update {READ} | deployments | {_APPS}",
        f"update | deployments/finalizers deployments/status | {_APPS}",
        f"{_CHANGE} | replicasets | {_APPS}",
        f"update {READ} | pods",
        _EVENTS,
    ),
    "device-taint-eviction-controller": (
        f"delete {READ} | pods",
        "patch update | pods/status",
        f"{READ} | deviceclasses devicetaintrules resourceclaims resourceslices | {_DEVICES}",
        f"patch update | devicetaintrules/status | {_DEVICES}",
        _EVENTS,
    ),
    "disruption-controller": (
        f"{READ} | deployments replicasets | {_APPS}",
        f"{READ} | replicationcontrollers",
        f"{READ} | poddisruptionbudgets | policy",
        f"{READ} | statefulsets | apps",
        "update | poddisruptionbudgets/status | policy",
        "patch update | pods/status",
        f"get | */scale | {_ALL_OF_IT}",
        _EVENTS,
    ),
    "endpoint-controller": (
        f"{READ} | pods services",
        f"create delete update {READ} | endpoints",
        "create | endpoints/restricted",
        _EVENTS,
    ),
    "endpointslice-controller": (
        f"{READ} | nodes pods services",
        "update | services/finalizers",
        f"create delete update {READ} | endpointslices | {_DISCOVERY}",
        _EVENTS,
    ),
    "endpointslicemirroring-controller": (
        f"{READ} | endpoints services",
        "update | endpoints/finalizers services/finalizers",
        f"create delete update {READ} | endpointslices | {_DISCOVERY}",
        _EVENTS,
    ),
    "ephemeral-volume-controller": (
        f"{READ} | pods",
        "update | pods/finalizers",
        f"create {READ} | persistentvolumeclaims",
        _EVENTS,
    ),
    "expand-controller": (
        f"patch update {READ} | persistentvolumes",
        "patch update | persistentvolumeclaims/status",
        f"{READ} | persistentvolumeclaims",
        _EVENTS,
    ),
    "generic-garbage-collector": (f"delete patch update {READ} | * | {_ALL_OF_IT}", _EVENTS),
    "horizontal-pod-autoscaler": (
        f"{READ} | horizontalpodautoscalers | autoscaling",
        "update | horizontalpodautoscalers/status | autoscaling",
        f"get update | */scale | {_ALL_OF_IT}",
        f"{_LW} | pods",
        f"{_LW} | pods | metrics.k8s.io",
        f"{READ} | * | custom.metrics.k8s.io",
        f"{READ} | * | external.metrics.k8s.io",
        _EVENTS,
    ),
    "job-controller": (
        f"patch update {READ} | jobs | {_BATCH}",
        f"update | jobs/finalizers jobs/status | {_BATCH}",
        f"create delete patch {_LW} | pods",
        _EVENTS,
    ),
    "kube-apiserver-serving-clustertrustbundle-publisher": (
        f"attest | signers | {_CERTIFICATES} | kubernetes.io/kube-apiserver-serving",
        f"create delete update {_LW} | clustertrustbundles | {_CERTIFICATES}",
        _EVENTS,
    ),
    "legacy-service-account-token-cleaner": (
        "get | configmaps |  | kube-apiserver-legacy-service-account-token-tracking",
        "delete patch | secrets",
    ),
    "namespace-controller": (
        f"delete {READ} | namespaces",
        "update | namespaces/finalize namespaces/status",
        f"delete deletecollection {READ} | * | {_ALL_OF_IT}",
    ),
    "node-controller": (
        f"delete patch update {READ} | nodes",
        "patch update | nodes/status pods/status",
        f"delete {READ} | pods",
        f"{READ} | leases | coordination.k8s.io",
        _EVENTS,
    ),
    "persistent-volume-binder": (
        f"create delete update {READ} | persistentvolumes",
        "update | persistentvolumeclaims/status persistentvolumes/status",
        f"update {READ} | persistentvolumeclaims",
        f"create delete {READ} | pods",
        f"{READ} | storageclasses | {_STORAGE}",
        f"{_LW} | nodes",
        "watch | events",
        _EVENTS,
    ),
    "pod-garbage-collector": (f"delete {_LW} | pods", f"{READ} | nodes", "patch | pods/status"),
    "podcertificaterequestcleaner": (f"delete {READ} | podcertificaterequests | {_CERTIFICATES}",),
    "pv-protection-controller": (f"update {READ} | persistentvolumes", _EVENTS),
    "pvc-protection-controller": (
        f"update {READ} | persistentvolumeclaims",
        "update | persistentvolumeclaims/status",
        f"{READ} | pods",
        _EVENTS,
    ),
    "replicaset-controller": (
        f"update {READ} | replicasets | {_APPS}",
        f"update | replicasets/finalizers replicasets/status | {_APPS}",
        f"create delete patch {_LW} | pods",
        _EVENTS,
    ),
    "replication-controller": (
        f"update {READ} | replicationcontrollers",
        "update | replicationcontrollers/finalizers replicationcontrollers/status",
        f"create delete patch {_LW} | pods",
        _EVENTS,
    ),
    "resource-claim-controller": (
        f"{READ} | pods",
        "update | pods/finalizers",
        f"create delete {READ} | resourceclaims | {_DEVICES}",
        f"patch update | resourceclaims resourceclaims/binding resourceclaims/status | {_DEVICES}",
        "patch update | pods/status",
        _EVENTS,
    ),
    "resourcequota-controller": (f"{_LW} | * | {_ALL_OF_IT}", "update | resourcequotas/status", _EVENTS),
    "root-ca-cert-publisher": ("create update | configmaps", _EVENTS),
    "route-controller": (f"{_LW} | nodes", "patch | nodes/status", _EVENTS),
    "selinux-warning-controller": (
        f"{READ} | persistentvolumeclaims persistentvolumes pods",
        f"{READ} | csidrivers | {_STORAGE}",
        _EVENTS,
    ),
    "service-account-controller": ("create | serviceaccounts", _EVENTS),
    "service-cidrs-controller": (
        f"patch update {READ} | servicecidrs | {_NET}",
        f"patch update | servicecidrs/finalizers servicecidrs/status | {_NET}",
        f"{READ} | ipaddresses | {_NET}",
        _EVENTS,
    ),
    "service-controller": (f"{READ} | services", "patch update | services/status", f"{_LW} | nodes", _EVENTS),
    "statefulset-controller": (
        f"{_LW} | pods",
        f"{READ} | statefulsets | apps",
        "update | statefulsets/finalizers statefulsets/status | apps",
        "create delete get patch update | pods",
        f"{_CHANGE} | controllerrevisions | apps",
        f"create delete update {READ} | persistentvolumeclaims",
        "update | pods/finalizers",
        _EVENTS,
    ),
    "storage-version-migrator-controller": (
        f"create patch {_LW} | * | {_ALL_OF_IT}",
        "update | storageversionmigrations/status | storagemigration.k8s.io",
    ),
    "ttl-after-finished-controller": (f"delete {READ} | jobs | {_BATCH}", _EVENTS),
    "ttl-controller": (f"patch update {_LW} | nodes", _EVENTS),
    "validatingadmissionpolicy-status-controller": (
        f"{READ} | validatingadmissionpolicies | admissionregistration.k8s.io",
        "get patch update | validatingadmissionpolicies/status | admissionregistration.k8s.io",
        _EVENTS,
    ),
    "volumeattributesclass-protection-controller": (
        f"{READ} | persistentvolumeclaims persistentvolumes",
        f"update {READ} | volumeattributesclasses | {_STORAGE}",
        _EVENTS,
    ),
}
"""By controller: verbs | resources | groups, comma between them | names."""


def controller_roles() -> Iterator[tuple[str, Rules]]:
    """Controller and rules of each."""
    for controller, rows in _ROLES.items():
        yield controller, [rule(*(part.strip() for part in row.split("|"))) for row in rows]
