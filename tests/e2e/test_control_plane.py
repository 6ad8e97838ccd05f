"""The control plane runs as static Pods: kubectl sees it as mirrors, and its manifests rule over it."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, Up

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def pod(up: Up, name: str) -> dict:
    return json.loads(up.kubectl("get", "pod", "-n", "kube-system", name, "-o", "json"))


def manifest(up: Up, name: str) -> Path:
    return up.nodes.master.path(f"/etc/kubernetes/manifests/{name}.yaml")


def rewritten(file: Path, old: str, new: str) -> None:
    """Changes a manifest as an editor does: a new file takes the place of the old one."""
    text = file.read_text()
    assert old in text
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text.replace(old, new))
    fresh.rename(file)


@pytest.fixture
def taken_away(up: Up) -> Iterator[Path]:
    """The scheduler's manifest; it is put back if a test has moved it."""
    file = manifest(up, "kube-scheduler")
    text = file.read_text()
    yield file
    file.write_text(text)
    up.kubectl("wait", "-n", "kube-system", "pod/kube-scheduler-master", "--for=create", "--timeout=30s")
    up.kubectl("wait", "-n", "kube-system", "pod/kube-scheduler-master", "--for=condition=Ready", "--timeout=60s")


def test_kubectl_shows_the_control_plane_and_the_nodes_own_pods(up: Up):
    names = up.kubectl("get", "pods", "-n", "kube-system", "-o", "name").split()
    wanted = [f"{name}-master" for name in COMPONENTS]
    wanted += [
        f"{name}-{node}" for name in ("kube-proxy", "pod-network") for node in ("master", "worker-1", "worker-2")
    ]
    assert {f"pod/{name}" for name in wanted} <= set(names)
    for name in wanted:
        up.kubectl("wait", "-n", "kube-system", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")


def test_logs_and_exec_reach_it_through_its_mirror(up: Up):
    said = up.kubectl("logs", "-n", "kube-system", "kube-apiserver-master")
    assert "listening address=0.0.0.0 port=6443" in said
    command = ("exec", "-n", "kube-system", "kube-apiserver-master", "--", "cat", "/proc/1/cmdline")
    assert "kube-apiserver" in up.kubectl(*command)


def test_a_deleted_mirror_comes_back_and_its_container_never_stops(up: Up):
    before = pod(up, "kube-scheduler-master")
    up.kubectl("delete", "pod", "-n", "kube-system", "kube-scheduler-master")
    up.kubectl("wait", "-n", "kube-system", "pod/kube-scheduler-master", "--for=create", "--timeout=30s")
    up.kubectl("wait", "-n", "kube-system", "pod/kube-scheduler-master", "--for=condition=Ready", "--timeout=30s")
    after = pod(up, "kube-scheduler-master")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    ids = [p["status"]["containerStatuses"][0]["containerID"] for p in (before, after)]
    assert ids[0] == ids[1]


def test_without_its_manifest_a_component_ends(up: Up, taken_away: Path):
    taken_away.unlink()
    up.kubectl("wait", "-n", "kube-system", "pod/kube-scheduler-master", "--for=delete", "--timeout=60s")


def test_a_changed_manifest_upgrades_a_component(up: Up, taken_away: Path):
    before = pod(up, "kube-scheduler-master")["metadata"]["annotations"]["kubernetes.io/config.hash"]
    rewritten(taken_away, "- --leader-elect=true", "- --leader-elect=true\n    - --v=4")
    waiting = threading.Event()
    for _ in range(300):
        found = up.attempt(BIN / "kubectl", "get", "pod", "-n", "kube-system", "kube-scheduler-master", "-o", "json")
        if found.returncode == 0:
            now = json.loads(found.stdout)
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in now["status"].get("conditions", ()))
            if ready and now["metadata"]["annotations"]["kubernetes.io/config.hash"] != before:
                assert "--v=4" in now["spec"]["containers"][0]["command"]
                assert "Container started" in up.kubectl(
                    "describe", "pod", "-n", "kube-system", "kube-scheduler-master"
                )
                return
        waiting.wait(0.1)
    raise AssertionError("the changed scheduler did not come")


def test_while_the_api_server_is_away_pods_go_on_and_nothing_is_evicted(up: Up):
    file = manifest(up, "kube-apiserver")
    text = file.read_text()
    before = {name: pod(up, name)["status"]["containerStatuses"][0]["containerID"] for name in ("kube-proxy-worker-1",)}
    file.unlink()
    waiting = threading.Event()
    for _ in range(300):
        if up.attempt(BIN / "kubectl", "get", "--raw", "/readyz", "--request-timeout=1s").returncode:
            break
        waiting.wait(0.1)
    else:
        raise AssertionError("the API server did not end")
    waiting.wait(5)
    file.write_text(text)
    for _ in range(600):
        if up.attempt(BIN / "kubectl", "get", "--raw", "/readyz", "--request-timeout=1s").returncode == 0:
            break
        waiting.wait(0.1)
    up.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")
    for name, container in before.items():
        assert pod(up, name)["status"]["containerStatuses"][0]["containerID"] == container
