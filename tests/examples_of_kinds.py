"""One valid object of every built-in kind that is stored, as small as clients may send it, in namespace `default`.

Keyed by group, version and plural: `example("apps", "v1", "deployments")`. What the server serves and this table
lacks is told by tests/unit/apiserver/test_every_resource.py.
"""

import base64
import copy
from functools import cache
from typing import Any

from pybernetes.api import facts
from pybernetes.wire.pki.certificates import certificate_pem, new_authority, new_request
from pybernetes.wire.pki.keys import new_key

Key = tuple[str, str, str]
"""Group, version, plural."""

NAME = "example"
_LABELS = {"app": "web"}
_SELECTOR = {"matchLabels": _LABELS}
_CONTAINERS = [{"name": "web", "image": "web:1"}]
_TEMPLATE = {"metadata": {"labels": _LABELS}, "spec": {"containers": _CONTAINERS}}
_JOB = {"template": {"spec": {"containers": _CONTAINERS, "restartPolicy": "Never"}}}
_WORKLOAD = {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
_BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
_ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
_SUBJECTS = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]
_MATCHED = {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
_HOOK = {
    "name": "hook.example.com",
    "clientConfig": {"url": "https://example.com/hook"},
    "rules": [_MATCHED],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
_MATCHES = {"resourceRules": [_MATCHED]}
_MUTATION = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}
_REQUESTED = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}
_WIDGET = {"kind": "Widget", "plural": "widgets"}
_SCHEMA = {"openAPIV3Schema": {"type": "object"}}
_HAPPENED = {"kind": "Pod", "namespace": "default", "name": "web"}
_FLOWS = {
    "subjects": [{"kind": "User", "user": {"name": "ann"}}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}

_CORE: dict[str, dict[str, Any]] = {
    "configmaps": {"data": {"a": "b"}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
    "events": {"involvedObject": _HAPPENED, "reason": "Started"},
    "limitranges": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
    "namespaces": {},
    "nodes": {},
    "persistentvolumeclaims": {"spec": _CLAIM},
    "persistentvolumes": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/data", "type": "Directory"},
        }
    },
    "pods": {"spec": {"containers": _CONTAINERS}},
    "podtemplates": {"template": _TEMPLATE},
    "replicationcontrollers": {"spec": {"selector": _LABELS, "template": _TEMPLATE}},
    "resourcequotas": {"spec": {"hard": {"pods": "10"}}},
    "secrets": {"data": {"a": "Yg=="}},
    "serviceaccounts": {},
    "services": {"spec": {"ports": [{"port": 80}]}},
}
_OTHERS: dict[Key, dict[str, Any]] = {
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies"): {
        "spec": {"matchConstraints": _MATCHES, "mutations": [_MUTATION], "reinvocationPolicy": "Never"}
    },
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings"): {"spec": {"policyName": "policy"}},
    ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"): {"webhooks": [_HOOK]},
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"): {
        "spec": {"matchConstraints": _MATCHES, "validations": [{"expression": "true"}]}
    },
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings"): {
        "spec": {"policyName": "policy", "validationActions": ["Deny"]}
    },
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"): {"webhooks": [_HOOK]},
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"): {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": _WIDGET,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": _SCHEMA}],
        },
    },
    ("apiregistration.k8s.io", "v1", "apiservices"): {
        "metadata": {"name": "v1.example.com"},
        "spec": {
            "group": "example.com",
            "version": "v1",
            "service": {"namespace": "default", "name": "web", "port": 443},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    },
    ("apps", "v1", "controllerrevisions"): {"revision": 1, "data": {"a": "b"}},
    ("apps", "v1", "daemonsets"): _WORKLOAD,
    ("apps", "v1", "deployments"): _WORKLOAD,
    ("apps", "v1", "replicasets"): _WORKLOAD,
    ("apps", "v1", "statefulsets"): {"spec": {**_WORKLOAD["spec"], "serviceName": "web"}},
    ("autoscaling", "v1", "horizontalpodautoscalers"): {"spec": {"scaleTargetRef": _TARGET, "maxReplicas": 3}},
    ("autoscaling", "v2", "horizontalpodautoscalers"): {"spec": {"scaleTargetRef": _TARGET, "maxReplicas": 3}},
    ("batch", "v1", "cronjobs"): {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": _JOB}}},
    ("batch", "v1", "jobs"): {"spec": _JOB},
    ("coordination.k8s.io", "v1", "leases"): {"spec": {"holderIdentity": "ann", "leaseDurationSeconds": 15}},
    ("discovery.k8s.io", "v1", "endpointslices"): {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"port": 80}],
    },
    ("events.k8s.io", "v1", "events"): {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/controller",
        "reportingInstance": "one",
        "action": "Starting",
        "reason": "Started",
        "regarding": _HAPPENED,
        "type": "Normal",
    },
    ("flowcontrol.apiserver.k8s.io", "v1", "flowschemas"): {
        "spec": {"priorityLevelConfiguration": {"name": "workload-low"}, "rules": [_FLOWS]}
    },
    ("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations"): {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    },
    ("networking.k8s.io", "v1", "ingressclasses"): {"spec": {"controller": "example.com/controller"}},
    ("networking.k8s.io", "v1", "ingresses"): {"spec": {"defaultBackend": _BACKEND}},
    ("networking.k8s.io", "v1", "ipaddresses"): {
        "metadata": {"name": "10.0.0.1"},
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "web"}},
    },
    ("networking.k8s.io", "v1", "networkpolicies"): {"spec": {"podSelector": _SELECTOR}},
    ("networking.k8s.io", "v1", "servicecidrs"): {"spec": {"cidrs": ["10.1.0.0/16"]}},
    ("node.k8s.io", "v1", "runtimeclasses"): {"handler": "sandbox"},
    ("policy", "v1", "poddisruptionbudgets"): {"spec": {"selector": _SELECTOR, "minAvailable": 1}},
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings"): {"roleRef": _ROLE, "subjects": _SUBJECTS},
    ("rbac.authorization.k8s.io", "v1", "clusterroles"): {"rules": _RULES},
    ("rbac.authorization.k8s.io", "v1", "rolebindings"): {"roleRef": _ROLE, "subjects": _SUBJECTS},
    ("rbac.authorization.k8s.io", "v1", "roles"): {"rules": _RULES},
    ("resource.k8s.io", "v1", "deviceclasses"): {"spec": {}},
    ("resource.k8s.io", "v1", "devicetaintrules"): {
        "spec": {
            "deviceSelector": {"driver": "gpu.example.com"},
            "taint": {"key": "example.com/broken", "effect": "NoSchedule"},
        }
    },
    ("resource.k8s.io", "v1", "resourceclaims"): {"spec": _REQUESTED},
    ("resource.k8s.io", "v1", "resourceclaimtemplates"): {"spec": {"spec": _REQUESTED}},
    ("resource.k8s.io", "v1", "resourceslices"): {
        "spec": {
            "driver": "gpu.example.com",
            "nodeName": "n1",
            "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0"}],
        }
    },
    ("scheduling.k8s.io", "v1", "priorityclasses"): {"value": 1000},
    ("storage.k8s.io", "v1", "csidrivers"): {"spec": {}},
    ("storage.k8s.io", "v1", "csinodes"): {"spec": {"drivers": [{"name": "csi.example.com", "nodeID": "n1"}]}},
    ("storage.k8s.io", "v1", "csistoragecapacities"): {"storageClassName": "fast", "capacity": "1Gi"},
    ("storage.k8s.io", "v1", "storageclasses"): {"provisioner": "csi.example.com"},
    ("storage.k8s.io", "v1", "volumeattachments"): {
        "spec": {"attacher": "csi.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv"}}
    },
    ("storage.k8s.io", "v1", "volumeattributesclasses"): {
        "driverName": "csi.example.com",
        "parameters": {"iops": "1000"},
    },
    ("storagemigration.k8s.io", "v1", "storageversionmigrations"): {
        "spec": {"resource": {"group": "apps", "resource": "deployments"}}
    },
}


@cache
def _signed() -> dict[Key, dict[str, Any]]:
    """Kinds that hold certificates or requests for them, which take a key to make."""
    key = new_key()
    request = new_request("system:node:n1", ("system:nodes",), (), key)
    der = base64.b64decode(b"".join(request.splitlines()[1:-1]))
    group = "certificates.k8s.io"
    people = {"podName": "web", "podUID": "1", "serviceAccountName": "default", "serviceAccountUID": "2"}
    return {
        (group, "v1", "certificatesigningrequests"): {
            "spec": {
                "request": base64.b64encode(request).decode(),
                "signerName": "example.com/signer",
                "usages": ["client auth"],
            }
        },
        (group, "v1", "clustertrustbundles"): {
            "spec": {"trustBundle": certificate_pem(new_authority("example", 1767225600.0).certificate).decode()}
        },
        (group, "v1", "podcertificaterequests"): {
            "spec": {
                **people,
                "signerName": "example.com/signer",
                "nodeName": "n1",
                "nodeUID": "3",
                "stubPKCS10Request": base64.b64encode(der).decode(),
            }
        },
    }


@cache
def _table() -> dict[Key, dict[str, Any]]:
    return {**{("", "v1", plural): body for plural, body in _CORE.items()}, **_OTHERS, **_signed()}


def keys() -> list[Key]:
    """All kinds that have an example."""
    return sorted(_table())


def example(group: str, version: str, plural: str) -> dict[str, Any]:
    """A fresh copy, complete with kind, apiVersion, name and, where it has one, namespace. Raises KeyError."""
    known = facts.resource(group, plural, version)
    assert known is not None, (group, version, plural)
    body = copy.deepcopy(_table()[group, version, plural])
    metadata = {"name": NAME, **({"namespace": "default"} if known.namespaced else {}), **body.pop("metadata", {})}
    return {"kind": known.kind, "apiVersion": known.api_version, "metadata": metadata, **body}


def collection(group: str, version: str, plural: str) -> str:
    """The path that an example is posted to."""
    known = facts.resource(group, plural, version)
    assert known is not None, (group, version, plural)
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{root}/namespaces/default/{plural}" if known.namespaced else f"{root}/{plural}"
