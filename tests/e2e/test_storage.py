"""Volumes of a real cluster: a StatefulSet keeps its data across its Pods, and the directory goes with the claim."""

import json
import time
from typing import Any

from tests.e2e.conftest import Up

ROOT = "/opt/local-path-provisioner"
STORE = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 1
  selector: {matchLabels: {app: store}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}
  template:
    metadata: {labels: {app: store}}
    spec:
      terminationGracePeriodSeconds: 0
      securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000}
      containers:
      - name: c
        image: gasbugs/http-go
        command: [sh, -c, "echo $HOSTNAME-$(date +%s%N) >> /data/starts; exec sleep 1000000"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Mi}}
"""


def shown(up: Up, kind: str, *names: str) -> Any:
    return json.loads(up.kubectl("get", kind, *names, "-o", "json"))


def starts(up: Up) -> list[str]:
    return up.kubectl("exec", "store-0", "--", "cat", "/data/starts").splitlines()


def test_a_stateful_set_keeps_its_data_and_the_directory_goes_with_the_claim(up: Up):
    up.kubectl("apply", "-f", "-", stdin=STORE)
    try:
        up.kubectl("rollout", "status", "statefulset/store", "--timeout=90s")
        first = starts(up)
        assert len(first) == 1
        before, pod = shown(up, "pvc", "data-store-0"), shown(up, "pod", "store-0")
        assert (before["spec"]["storageClassName"], before["status"]["phase"]) == ("local-path", "Bound")
        volume = shown(up, "pv", before["spec"]["volumeName"])
        path, node = volume["spec"]["local"]["path"], pod["spec"]["nodeName"]
        folder = up.nodes.nodes[node].path(path)
        assert path.startswith(f"{ROOT}/pvc-")
        assert (folder / "starts").read_text().splitlines() == first
        assert "local-path (default)" in up.kubectl("get", "storageclass")

        up.kubectl("delete", "pod", "store-0")
        up.kubectl("rollout", "status", "statefulset/store", "--timeout=90s")
        second = starts(up)
        assert second[:1] == first
        assert len(second) == 2
        assert shown(up, "pod", "store-0")["spec"]["nodeName"] == node
    finally:
        up.kubectl("delete", "statefulset", "store", "--ignore-not-found")
    _until(lambda: not shown(up, "pv")["items"])
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []
    _until(lambda: "helper-pod-" not in up.kubectl("get", "pods", "-n", "kube-system", "-o", "name"))


def _until(holds: Any, seconds: float = 60) -> None:
    """Asks again until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)
