"""kill -9 of every part in turn, under a running Deployment: nothing acknowledged is lost, Pods keep running."""

import asyncio
import json
import re
import sqlite3
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from pybernetes.api.types import core_v1
from pybernetes.assembly.cluster import until
from pybernetes.rules.readiness import is_ready
from tests.e2e.conftest import BIN, EXAMPLES, Up

DEPLOYMENT = (EXAMPLES / "03-replicas" / "deployment.yaml").read_text()


@pytest.fixture(scope="module")
def workload(up: Up):
    """A Deployment of three that runs through all of these tests."""
    up.kubectl("create", "namespace", "faults")
    up.kubectl("apply", "-n", "faults", "-f", "-", stdin=DEPLOYMENT)
    up.kubectl("rollout", "status", "-n", "faults", "deploy/http-go", "--timeout=90s")
    yield "faults"
    up.kubectl("delete", "namespace", "faults", "--timeout=120s")


def containers(up: Up, namespace: str) -> set[str]:
    pods = json.loads(up.kubectl("get", "pods", "-n", namespace, "-l", "app=http-go", "-o", "json"))
    return {status["containerID"] for pod in pods["items"] for status in pod["status"]["containerStatuses"]}


def kill(up: Up, node: str, program: str) -> None:
    """kill -9 of a program on a node, and wait until its successor runs."""
    machine = up.nodes.nodes[node]
    before = pids(machine.spec.cgroup, program)
    assert before, f"{program} does not run on {node}"
    subprocess.run(["kill", "-9", *map(str, before)], check=True)
    deadline = threading.Event()
    for _ in range(600):
        if pids(machine.spec.cgroup, program) - before:
            return
        deadline.wait(0.05)
    raise AssertionError(f"{program} was not started again on {node}")


def pids(cgroup: str, program: str) -> set[int]:
    """Pids (of this machine) of a program on the node of that control group, in containers too."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"/{cgroup}/" in (entry / "cgroup").read_text().replace("\n", "/\n"):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if any(Path(word.decode(errors="replace")).name == program for word in words[:2]):
                    found.add(int(entry.name))
        except OSError:
            continue
    return found


def answers(up: Up) -> None:
    """Waits until the API answers again."""
    waiting = threading.Event()
    for _ in range(300):
        if up.attempt(BIN / "kubectl", "get", "--raw", "/readyz").returncode == 0:
            return
        waiting.wait(0.1)
    raise AssertionError("the API server did not come back")


@pytest.mark.parametrize(
    ("node", "program"),
    [
        ("master", "kube-scheduler"),
        ("master", "kube-controller-manager"),
        ("worker-1", "kubelet"),
        ("worker-2", "containerd"),
        ("worker-1", "kube-proxy"),
    ],
)
def test_pods_keep_running_when_a_part_is_killed(up: Up, workload: str, node: str, program: str):
    before = containers(up, workload)
    kill(up, node, program)
    up.kubectl("scale", "-n", workload, "deploy/http-go", "--replicas=4")
    up.kubectl("wait", "-n", workload, "deploy/http-go", "--for=jsonpath={.status.readyReplicas}=4", "--timeout=90s")
    assert before <= containers(up, workload)
    up.kubectl("scale", "-n", workload, "deploy/http-go", "--replicas=3")
    up.kubectl("wait", "-n", workload, "deploy/http-go", "--for=jsonpath={.status.replicas}=3", "--timeout=90s")


def test_nothing_acknowledged_is_lost_when_the_api_server_is_killed(up: Up, workload: str):
    before = containers(up, workload)
    acknowledged: list[tuple[str, int]] = []
    enough = threading.Event()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"written-{number}"
            made = up.attempt(BIN / "kubectl", "create", "configmap", name, "-n", workload, "-o", "json")
            if made.returncode == 0:
                acknowledged.append((name, int(json.loads(made.stdout)["metadata"]["resourceVersion"])))
            if len(acknowledged) >= 5:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert enough.wait(60)
        kill(up, "master", "kube-apiserver")
        answers(up)
    finally:
        stop.set()
        writer.join()
    there = up.kubectl("get", "configmaps", "-n", workload, "-o", "name")
    assert {name for name, _ in acknowledged} <= set(re.findall(r"configmap/(written-\d+)", there))
    history = revisions(up)
    assert {revision for _, revision in acknowledged} <= history
    assert before == containers(up, workload)


def revisions(up: Up) -> set[int]:
    """Every revision in the store's history, read from its file."""
    (path,) = Path(up.nodes.master.spec.state_dir).glob("var/lib/pybernetes/*/store.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return {row[0] for row in db.execute("SELECT revision FROM history")}


def test_a_lost_worker_is_replaced_and_comes_back(up: Up, workload: str):
    up.kubectl("wait", "node/worker-2", "--for=condition=Ready", "--timeout=60s")
    subprocess.run(["kill", "-9", str(up.nodes.nodes["worker-2"].pid)], check=True)
    asyncio.run(replaced(up, workload))
    asyncio.run(up.nodes.power_on("worker-2"))
    up.nodes.switch.close()
    up.kubectl("wait", "node/worker-2", "--for=condition=Ready", "--timeout=60s")


async def replaced(up: Up, namespace: str) -> None:
    """Waits until three ready Pods run, none of them on the lost node."""

    def holds(pods: Sequence[core_v1.Pod]) -> bool:
        kept = [p for p in pods if not p.metadata.deletionTimestamp and is_ready(p)]
        return len(kept) == 3 and {p.spec.nodeName for p in kept} == {"worker-1"}

    async with up.nodes.client() as client:
        await until(client, core_v1.Pod, holds, "three Pods on worker-1", namespace=namespace, timeout=150)
