"""API objects that kubeadm makes, as upstream names them."""

from collections.abc import Mapping, Sequence

from pybernetes.api.objects import Object

RBAC = "rbac.authorization.k8s.io"
ANONYMOUS = "system:anonymous"


def cluster_role_binding(name: str, role: str, group: str) -> Object:
    """Gives a group a ClusterRole."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [_group(group)],
    }


def cluster_role(name: str, verbs: Sequence[str], resources: Sequence[str]) -> Object:
    """A ClusterRole with one rule on core resources."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [""], "resources": list(resources), "verbs": list(verbs)}],
    }


def config_map(namespace: str, name: str, data: Mapping[str, str]) -> Object:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": dict(data),
    }


def readers(
    namespace: str, name: str, target: str, *, groups: Sequence[str] = (), user: str = "", resource: str = "configmaps"
) -> list[Object]:
    """A Role to get one object, and its binding to groups or a user."""
    subjects = [_group(group) for group in groups]
    if user:
        subjects.append({"apiGroup": RBAC, "kind": "User", "name": user})
    rule = {"apiGroups": [""], "resources": [resource], "resourceNames": [target], "verbs": ["get"]}
    metadata = {"name": name, "namespace": namespace}
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": subjects,
        },
    ]


def _group(name: str) -> Object:
    return {"apiGroup": RBAC, "kind": "Group", "name": name}
