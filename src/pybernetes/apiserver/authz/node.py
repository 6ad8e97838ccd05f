"""Node authorizer: a kubelet reads what the Pods on its Node refer to, and writes its own Node, lease and Pod status.

What a Node may see follows the stored Pods (Registry.subscribe). It never denies: RBAC may still allow. What a kubelet
may write into those objects is admission/noderestriction.py's matter.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pybernetes.api.objects import GroupResource, Object
from pybernetes.api.selectors import parse_fields
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.rbac import Rule

PREFIX, NODES = "system:node:", "system:nodes"
LEASES = "kube-node-lease"

_Reference = tuple[str, str, str]
"""Plural, namespace, name."""


def _rule(verbs: str, resources: str, group: str = "") -> Rule:
    return Rule(frozenset(verbs.split()), frozenset({group}), frozenset(resources.split()))


_ALWAYS = (
    _rule("create", "tokenreviews", "authentication.k8s.io"),
    _rule("create", "subjectaccessreviews localsubjectaccessreviews", "authorization.k8s.io"),
    _rule("get list watch", "services"),
    _rule("create", "nodes"),
    _rule("update patch", "nodes nodes/status"),
    _rule("create update patch", "events"),
    _rule("create delete", "pods"),
    _rule("update patch", "pods/status"),
    _rule("create", "pods/eviction"),
    _rule("get", "endpoints"),
    _rule("create get list watch", "certificatesigningrequests", "certificates.k8s.io"),
    _rule("get list watch", "csidrivers", "storage.k8s.io"),
    _rule("get list watch", "runtimeclasses", "node.k8s.io"),
)
"""What every kubelet may do; NodeRestriction narrows the writes to its own objects."""


class NodeAuthorizer:
    """An Authorizer. `follow(registry)` before it is asked."""

    def __init__(self) -> None:
        self._references: dict[str, Counter[_Reference]] = {}
        self._pods: dict[str, tuple[str, frozenset[_Reference]]] = {}
        """Pod's uid to its Node and what it refers to."""

    def follow(self, registry: Registry) -> None:
        """Subscribes to Pods."""
        registry.subscribe(GroupResource("", "pods"), self._pod_changed)

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """ALLOW or NO_OPINION."""
        node = node_name(attributes)
        if node is None or not attributes.resource:
            return Decision.NO_OPINION, ""
        if not node:
            return Decision.NO_OPINION, f'unknown node for user "{attributes.user.name}"'
        judge = _JUDGES.get((attributes.group, attributes.resource))
        if judge is not None:
            why = judge(self, node, attributes)
            if why is None:
                return Decision.ALLOW, ""
            if why:
                return Decision.NO_OPINION, why
        return (Decision.ALLOW if _always(attributes) else Decision.NO_OPINION), ""

    def _pod_changed(self, change: Literal["ADDED", "MODIFIED", "DELETED"], pod: Object) -> None:
        uid, spec = pod["metadata"]["uid"], pod.get("spec") or {}
        node = spec.get("nodeName") or ""
        old = self._pods.get(uid)
        if old is not None and change == "MODIFIED" and old[0] == node and not spec.get("ephemeralContainers"):
            # Nothing else of a Pod that refers to something may change; its status does all the time.
            return
        if old is not None:
            del self._pods[uid]
            before, references = old
            counter = self._references[before]
            counter.subtract(references)
            for reference in references:
                if counter[reference] <= 0:
                    del counter[reference]
            if not counter:
                del self._references[before]
        if change != "DELETED" and node:
            references = frozenset(_references(pod))
            self._pods[uid] = (node, references)
            self._references.setdefault(node, Counter()).update(references)

    def _knows(self, node: str, resource: str, attributes: Attributes) -> bool:
        reference = (resource, attributes.namespace, attributes.name)
        return self._references.get(node, Counter())[reference] > 0

    def _referred(self, node: str, attributes: Attributes) -> str | None:
        """Secrets, ConfigMaps, claims: single ones, by name, that a Pod here refers to."""
        name = attributes.name or _named(attributes)
        if attributes.verb not in ("get", "list", "watch") or attributes.subresource or not name:
            return f"can only read {attributes.resource} of pods on this node, one by one"
        if self._references.get(node, Counter())[attributes.resource, attributes.namespace, name]:
            return None
        return f"no relationship found between node '{node}' and this object"

    def _account(self, node: str, attributes: Attributes) -> str | None:
        """Tokens for the accounts of its Pods."""
        creates_token = attributes.verb == "create" and attributes.subresource == "token"
        if not creates_token and not (attributes.verb == "get" and not attributes.subresource):
            return "can only create tokens for individual service accounts"
        if self._knows(node, "serviceaccounts", attributes):
            return None
        return f"no relationship found between node '{node}' and this object"

    def _own_pods(self, node: str, attributes: Attributes) -> str | None:
        """get of Pods that are here, list and watch with spec.nodeName; the rest is for everybody."""
        verb = attributes.verb
        if attributes.subresource or verb not in ("get", "list", "watch"):
            return ""
        if attributes.name and self._knows(node, "pods", attributes):
            return None
        if verb == "get":
            return f"no relationship found between node '{node}' and this object"
        if _selected(attributes, "spec.nodeName") == node:
            return None
        return "can only list/watch pods with spec.nodeName field selector"

    def _own_node(self, node: str, attributes: Attributes) -> str | None:
        """Reads of its own Node only (named, or by metadata.name selector)."""
        if attributes.verb not in ("get", "list", "watch"):
            return ""
        if (attributes.name or _named(attributes)) == node:
            return None
        return f"node '{node}' cannot read '{attributes.name}', only its own Node object"

    def _own_lease(self, node: str, attributes: Attributes) -> str | None:
        if attributes.subresource or attributes.verb not in ("get", "create", "update", "patch", "delete"):
            return "can only get, create, update, patch, or delete a node lease"
        if attributes.namespace != LEASES:
            return f'can only access leases in the "{LEASES}" system namespace'
        if attributes.verb != "create" and attributes.name != node:
            return "can only access node lease with the same name as the requesting node"
        return None

    def _own_csi_node(self, node: str, attributes: Attributes) -> str | None:
        if attributes.verb not in ("get", "create", "update", "patch", "delete"):
            return "can only get, create, update, patch, or delete a CSINode"
        if attributes.verb != "create" and attributes.name != node:
            return "can only access CSINode with the same name as the requesting node"
        return None


_JUDGES = {
    ("", "secrets"): NodeAuthorizer._referred,
    ("", "configmaps"): NodeAuthorizer._referred,
    ("", "persistentvolumeclaims"): NodeAuthorizer._referred,
    ("", "serviceaccounts"): NodeAuthorizer._account,
    ("", "pods"): NodeAuthorizer._own_pods,
    ("", "nodes"): NodeAuthorizer._own_node,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._own_lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._own_csi_node,
}
"""Each says None for yes, the reason for no, and empty text for "no more than everybody"."""


def node_name(attributes: Attributes) -> str | None:
    """The Node that a user speaks for: `system:node:x` in group system:nodes. None for others."""
    user = attributes.user
    if NODES not in user.groups or not user.name.startswith(PREFIX):
        return None
    return user.name.removeprefix(PREFIX)


def _always(attributes: Attributes) -> bool:
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    return any(rule.allows(attributes.verb, attributes.group, resource, attributes.name) for rule in _ALWAYS)


def _selected(attributes: Attributes, field: str) -> str | None:
    try:
        return parse_fields(attributes.field_selector).exact(field)
    except ValueError:
        return None


def _named(attributes: Attributes) -> str:
    return _selected(attributes, "metadata.name") or ""


def _references(pod: Mapping[str, Any]) -> Iterator[_Reference]:
    """What the kubelet must read to run the Pod. A mirror Pod refers to nothing but itself."""
    meta, spec = pod["metadata"], pod["spec"]
    namespace = meta.get("namespace", "")
    yield "pods", namespace, meta["name"]
    if "kubernetes.io/config.mirror" in (meta.get("annotations") or {}):
        return
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for plural, name in _of_container(container):
                yield plural, namespace, name
    for volume in spec.get("volumes") or ():
        for plural, name in _of_volume(volume):
            yield plural, namespace, name


def _of_container(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for field, plural in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
            if source.get(field):
                yield plural, source[field].get("name", "")
    for source in container.get("envFrom") or ():
        for field, plural in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            if source.get(field):
                yield plural, source[field].get("name", "")


def _of_volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if volume.get("secret"):
        yield "secrets", volume["secret"].get("secretName", "")
    if volume.get("configMap"):
        yield "configmaps", volume["configMap"].get("name", "")
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        for field, plural in (("secret", "secrets"), ("configMap", "configmaps")):
            if source.get(field):
                yield plural, source[field].get("name", "")
    for driver in ("csi", "cephfs", "rbd", "flexVolume", "scaleIO", "iscsi", "storageos", "azureFile"):
        inner = volume.get(driver) or {}
        reference = inner.get("nodePublishSecretRef") or inner.get("secretRef") or {}
        if reference.get("name"):
            yield "secrets", reference["name"]
