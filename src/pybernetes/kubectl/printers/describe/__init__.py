"""What `kubectl describe` says of an object: one function a kind, a general one for the rest; the words are kubectl's."""

from collections.abc import Awaitable, Callable, Sequence

from pybernetes.api.objects import Object
from pybernetes.kubectl import mapper
from pybernetes.kubectl.printers.describe import blocks, cluster, network, pods, storage, workloads
from pybernetes.kubectl.session import Session

Describer = Callable[[Session, Object], Awaitable[blocks.Lines]]


async def describe(session: Session, mapping: mapper.Mapping, obj: Object, events: Sequence[Object] | None) -> str:
    """The whole text of an object; `events` None leaves them out."""
    key = (mapping.group, mapping.plural)
    describer = _BY_RESOURCE.get(key)
    lines = await describer(session, obj) if describer else blocks.general(obj)
    if events is not None and key not in _WITHOUT_EVENTS:
        lines += blocks.events(events)
    return "\n".join(blocks.aligned(lines))


_BY_RESOURCE: dict[tuple[str, str], Describer] = {
    ("", "pods"): pods.pod,
    ("", "nodes"): cluster.node,
    ("", "services"): network.service,
    ("", "endpoints"): network.endpoints,
    ("", "namespaces"): cluster.namespace,
    ("", "configmaps"): cluster.config_map,
    ("", "secrets"): cluster.secret,
    ("", "serviceaccounts"): cluster.service_account,
    ("", "resourcequotas"): cluster.quota,
    ("", "limitranges"): cluster.limit_range,
    ("", "persistentvolumes"): storage.volume,
    ("", "persistentvolumeclaims"): storage.claim,
    ("", "replicationcontrollers"): workloads.replica_set,
    ("apps", "replicasets"): workloads.replica_set,
    ("apps", "deployments"): workloads.deployment,
    ("apps", "statefulsets"): workloads.stateful_set,
    ("apps", "daemonsets"): workloads.daemon_set,
    ("autoscaling", "horizontalpodautoscalers"): workloads.autoscaler,
    ("batch", "jobs"): workloads.job,
    ("batch", "cronjobs"): workloads.cron_job,
    ("discovery.k8s.io", "endpointslices"): network.endpoint_slice,
    ("networking.k8s.io", "ingresses"): network.ingress,
    ("networking.k8s.io", "networkpolicies"): network.network_policy,
    ("policy", "poddisruptionbudgets"): workloads.disruption_budget,
    ("rbac.authorization.k8s.io", "roles"): cluster.role,
    ("rbac.authorization.k8s.io", "clusterroles"): cluster.role,
    ("rbac.authorization.k8s.io", "rolebindings"): cluster.binding,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): cluster.binding,
    ("scheduling.k8s.io", "priorityclasses"): cluster.priority_class,
    ("storage.k8s.io", "storageclasses"): storage.storage_class,
}
_WITHOUT_EVENTS = frozenset({
    *(("", "namespaces"), ("", "secrets"), ("", "resourcequotas"), ("", "limitranges")),
    *(("networking.k8s.io", "networkpolicies"), ("rbac.authorization.k8s.io", "roles")),
    *(("rbac.authorization.k8s.io", plural) for plural in ("clusterroles", "rolebindings", "clusterrolebindings")),
})  # fmt: skip
"""Of these kubectl shows none."""
