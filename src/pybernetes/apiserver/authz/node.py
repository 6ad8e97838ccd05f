"""Node authorizer: a kubelet reads what the Pods on its Node refer to, and writes its own Node, lease and Pod status.

_graph.py knows what leads to which Node. It never denies: RBAC may still allow. What a kubelet may write into those
objects is admission/noderestriction.py's matter.
"""

from collections.abc import Callable

from pybernetes.api.objects import User
from pybernetes.api.selectors import parse_fields
from pybernetes.apiserver.authz._graph import Graph
from pybernetes.apiserver.extension import NOT_MINE, Attributes, Decision
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.rbac import Rule

PREFIX, NODES = "system:node:", "system:nodes"
LEASES = "kube-node-lease"


def _rule(verbs: str, resources: str, group: str = "") -> Rule:
    return Rule(frozenset(verbs.split()), frozenset({group}), frozenset(resources.split()))


_ALWAYS = (
    _rule("create", "tokenreviews", "authentication.k8s.io"),
    _rule("create", "subjectaccessreviews localsubjectaccessreviews", "authorization.k8s.io"),
    _rule("get list watch", "services"),
    _rule("create update patch", "events"),
    _rule("create update patch", "events", "events.k8s.io"),
    _rule("get", "endpoints"),
    _rule("create get list watch", "certificatesigningrequests", "certificates.k8s.io"),
    _rule("get list watch", "clustertrustbundles", "certificates.k8s.io"),
    _rule("get list watch", "csidrivers", "storage.k8s.io"),
    _rule("get list watch", "runtimeclasses", "node.k8s.io"),
)
"""What every kubelet may do beside what _JUDGES say; NodeRestriction narrows the writes to its own objects."""


class NodeAuthorizer:
    """An Authorizer. `follow(registry)` before it is asked."""

    def __init__(self) -> None:
        self.graph = Graph()

    def follow(self, registry: Registry) -> None:
        """Learns what leads to which Node."""
        self.graph.follow(registry)

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """ALLOW or NO_OPINION."""
        if NODES not in attributes.user.groups or not attributes.resource:
            return NOT_MINE
        node = node_name(attributes.user)
        if node is None:
            return NOT_MINE
        if not node:
            return Decision.NO_OPINION, f'unknown node for user "{attributes.user.name}"'
        judge = _JUDGES.get((attributes.group, attributes.resource), _as_everybody)
        why = judge(self.graph, node, attributes)
        return (Decision.ALLOW, "") if why is None else (Decision.NO_OPINION, why)


def node_name(user: User) -> str | None:
    """The Node that a user speaks for: `system:node:x` in group system:nodes. None for others."""
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return None
    return user.name.removeprefix(PREFIX)


# --- Judges: None for yes, else the reason for no; empty where upstream gives none.


def _as_everybody(graph: Graph, node: str, asked: Attributes) -> str | None:
    resource = asked.resource + (f"/{asked.subresource}" if asked.subresource else "")
    return None if any(rule.allows(asked.verb, asked.group, resource, asked.name) for rule in _ALWAYS) else ""


def _related(graph: Graph, node: str, asked: Attributes) -> str | None:
    name = _name(asked)
    if not name:
        return "No Object name found"
    if graph.leads(asked.resource, asked.namespace, name, node):
        return None
    return f"no relationship found between node '{node}' and this object"


def _get(graph: Graph, node: str, asked: Attributes) -> str | None:
    if asked.verb != "get":
        return "can only get individual resources of this type"
    return "cannot get subresource" if asked.subresource else _related(graph, node, asked)


def _read(graph: Graph, node: str, asked: Attributes) -> str | None:
    """Single ones by name, also as a list or a watch."""
    if asked.verb not in ("get", "list", "watch"):
        return "can only read resources of this type"
    if asked.subresource:
        return "cannot read subresource"
    if not asked.namespace:
        return "can only read namespaced object of this type"
    return _related(graph, node, asked)


def _claim(graph: Graph, node: str, asked: Attributes) -> str | None:
    if asked.subresource != "status":
        return _get(graph, node, asked)
    return _related(graph, node, asked) if asked.verb in ("update", "patch") else "can only get/update/patch this type"


def _account(graph: Graph, node: str, asked: Attributes) -> str | None:
    if asked.verb == "get" and not asked.subresource:
        return _read(graph, node, asked)
    if asked.verb != "create" or not asked.name:
        return "can only create tokens for individual service accounts"
    if asked.subresource != "token":
        return "can only create token subresource of serviceaccount"
    return _related(graph, node, asked)


def _pod(graph: Graph, node: str, asked: Attributes) -> str | None:
    """Those here; by name, or all by spec.nodeName."""
    if (asked.verb, asked.subresource) in _POD_WRITES:
        return None
    if asked.subresource or asked.verb not in ("get", "list", "watch"):
        return ""
    if asked.verb == "get":
        return _get(graph, node, asked)
    if _selected(asked, "spec.nodeName") == node:
        return None
    if _name(asked):
        return _related(graph, node, asked)
    return "can only list/watch pods with spec.nodeName field selector"


_POD_WRITES = frozenset(
    {("create", ""), ("delete", ""), ("update", "status"), ("patch", "status"), ("create", "eviction")}
)
"""NodeRestriction limits them to the Node's own."""
_NODE_WRITES = frozenset({("create", ""), ("update", ""), ("patch", ""), ("update", "status"), ("patch", "status")})


def _node(graph: Graph, node: str, asked: Attributes) -> str | None:
    if (asked.verb, asked.subresource) in _NODE_WRITES:
        return None
    if asked.subresource or asked.verb not in ("get", "list", "watch"):
        return ""
    name = _name(asked)
    if name == node:
        return None
    which = f"'{name}'" if name else "all nodes"
    return f"node '{node}' cannot read {which}, only its own Node object"


def _lease(graph: Graph, node: str, asked: Attributes) -> str | None:
    if asked.verb not in _SINGLE:
        return "can only get, create, update, patch, or delete a node lease"
    if asked.namespace != LEASES:
        return f'can only access leases in the "{LEASES}" system namespace'
    if asked.verb != "create" and asked.name != node:
        return "can only access node lease with the same name as the requesting node"
    return None


_SINGLE = ("get", "create", "update", "patch", "delete")


def _csi_node(graph: Graph, node: str, asked: Attributes) -> str | None:
    if asked.verb not in _SINGLE:
        return "can only get, create, update, patch, or delete a CSINode"
    if asked.subresource:
        return "cannot authorize CSINode subresources"
    if asked.verb != "create" and asked.name != node:
        return "can only access CSINode with the same name as the requesting node"
    return None


def _slice(graph: Graph, node: str, asked: Attributes) -> str | None:
    if asked.subresource:
        return "cannot authorize ResourceSlice subresources"
    if asked.verb in _SINGLE:
        return None if asked.verb == "create" else _related(graph, node, asked)
    if asked.verb not in ("watch", "list", "deletecollection"):
        return (
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )
    if _selected(asked, "spec.nodeName") == node:
        return None
    return "can only list/watch/deletecollection resourceslices with nodeName field selector"


def _certificate(graph: Graph, node: str, asked: Attributes) -> str | None:
    if asked.subresource:
        return "nodes may not access subresources of PodCertificateRequests"
    if asked.verb in ("create", "get"):
        return None if asked.verb == "create" else _related(graph, node, asked)
    if asked.verb not in ("list", "watch"):
        return "can only get, create, list, or watch PodCertificateRequests"
    if _selected(asked, "spec.nodeName") == node:
        return None
    return "can only list/watch podcertificaterequests with nodeName field selector"


_JUDGES: dict[tuple[str, str], Callable[[Graph, str, Attributes], str | None]] = {
    ("", "secrets"): _read,
    ("", "configmaps"): _read,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _get,
    ("", "serviceaccounts"): _account,
    ("", "pods"): _pod,
    ("", "nodes"): _node,
    ("resource.k8s.io", "resourceclaims"): _get,
    ("resource.k8s.io", "resourceslices"): _slice,
    ("storage.k8s.io", "volumeattachments"): _get,
    ("storage.k8s.io", "csinodes"): _csi_node,
    ("coordination.k8s.io", "leases"): _lease,
    ("certificates.k8s.io", "podcertificaterequests"): _certificate,
}


def _selected(asked: Attributes, field: str) -> str | None:
    try:
        return parse_fields(asked.field_selector).exact(field)
    except ValueError:
        return None


def _name(asked: Attributes) -> str:
    """A list of one object, by its name, is as good as a get."""
    return asked.name or _selected(asked, "metadata.name") or ""
