"""Making a Pod canonical at the door, against parsing and writing its JSON, which nobody can do without."""

from collections.abc import Sequence
from typing import Any

import orjson

from bench import Benchmark, Row, microseconds
from pybernetes.api.canonical import canonicalize

POD = "io.k8s.api.core.v1.Pod"


def pod() -> dict[str, Any]:
    """A Pod of some 3 KB, as a cluster in use has them: two containers, probes, volumes, tolerations, status."""
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    labels = {"app": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "7d4b9c6f5"}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9c6f5", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-7d4b9c6f5-x2x4z",
            "generateName": "web-7d4b9c6f5-",
            "namespace": "default",
            "uid": "2f1c9f3e-8f0b-4c57-9f5a-1f0d6f1f2a3b",
            "resourceVersion": "12345",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels,
            "ownerReferences": [owner | {"uid": "5b0c7f6e-0d5f-4f0e-8d3d-0d9b6c1b7e11", "blockOwnerDeletion": True}],
        },
        "spec": {
            "containers": [_container("web", 8080), _container("side", 9090)],
            "volumes": [
                {"name": "config", "configMap": {"name": "web", "defaultMode": 420}},
                {"name": "scratch", "emptyDir": {}},
            ],
            "nodeName": "worker-1",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "serviceAccountName": "default",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "tolerations": [
                {
                    "key": f"node.kubernetes.io/{key}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
                for key in ("not-ready", "unreachable")
            ],
        },
        "status": {"phase": "Running", "podIP": "10.244.1.7", "hostIP": "10.0.0.2", "conditions": conditions},
    }


def _container(name: str, port: int) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": port, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1}
    return {
        "name": name,
        "image": f"registry.example/{name}:1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "env": [
            {"name": "MODE", "value": "production"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": probe | {"failureThreshold": 3, "successThreshold": 1},
        "readinessProbe": probe | {"failureThreshold": 3, "successThreshold": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": True}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


def run() -> Sequence[Row]:
    """One row: the canonical form alone, and one of the whole door."""
    data = orjson.dumps(pod())
    parsed = orjson.loads(data)
    floor = microseconds(lambda: orjson.dumps(orjson.loads(data)), calls=2000)
    alone = microseconds(lambda: canonicalize(parsed, POD), calls=2000)
    door = microseconds(lambda: orjson.dumps(canonicalize(orjson.loads(data), POD).object), calls=2000)
    size = f"{len(data) / 1000:.1f} kB"
    return [Row(f"canonicalize a Pod of {size}", alone, floor), Row("loads, canonicalize, dumps", door, floor)]


BENCHMARK = Benchmark("canonical", "canonical form of a Pod; floor: orjson loads and dumps of the same bytes", run)
