"""`kubectl rollout`, and nodes: cordon, drain, taint."""

import json
from collections.abc import Iterator

import pytest

from tests.clients import golden
from tests.clients.conftest import Kubectl


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    return kubectl


def image(kubectl: Kubectl) -> str:
    return kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")


def test_history_and_undo(web: Kubectl):
    web("annotate", "deploy/web", "kubernetes.io/change-cause=first")
    web("set", "image", "deploy/web", "web=web:2")
    web("rollout", "status", "deploy/web", "--timeout=30s")
    web("annotate", "deploy/web", "kubernetes.io/change-cause=second", "--overwrite")
    golden.hold("history-2.txt", golden.masked(web("rollout", "history", "deploy/web", "--revision=2")))
    assert web("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    assert image(web) == "web:1"
    web("rollout", "status", "deploy/web", "--timeout=30s")
    numbers = [line.split()[0] for line in web("rollout", "history", "deploy/web").splitlines()[2:] if line]
    assert numbers == ["2", "3"]
    assert web("rollout", "undo", "deploy/web", "--to-revision=2") == "deployment.apps/web rolled back\n"
    assert image(web) == "web:2"
    unknown = web.fails("rollout", "undo", "deploy/web", "--to-revision=77")
    assert unknown == "error: unable to find specified revision 77 in history\n"


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_sets_roll_out_and_back(kubectl: Kubectl, kind: str):
    def manifest(image: str) -> str:
        template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": image}]}}
        spec: dict[str, object] = {"selector": {"matchLabels": {"app": "db"}}, "template": template}
        if kind == "StatefulSet":
            spec |= {"serviceName": "db", "replicas": 2}
        why = {"kubernetes.io/change-cause": f"image {image}"}
        meta = {"name": "db", "annotations": why}
        return json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec})

    name = f"{kind.lower()}/db"
    complete = {"StatefulSet": "partitioned roll out complete: 2 new pods have been updated...\n"}
    complete["DaemonSet"] = 'daemon set "db" successfully rolled out\n'
    for wanted in ("db:1", "db:2"):
        kubectl("apply", "-f", "-", stdin=manifest(wanted))
        assert kubectl("rollout", "status", name, "--timeout=60s").endswith(complete[kind])
    listed = kubectl("rollout", "history", name).splitlines()[1:]
    assert [line.split(maxsplit=1) for line in listed if line] == [
        ["REVISION", "CHANGE-CAUSE"],
        ["1", "image db:1"],
        ["2", "image db:2"],
    ]
    assert "Image:\tdb:1" in kubectl("rollout", "history", name, "--revision=1")
    assert kubectl("rollout", "undo", name) == f"{kind.lower()}.apps/db rolled back\n"
    assert kubectl("rollout", "status", name, "--timeout=60s").endswith(complete[kind])
    listed = kubectl("rollout", "history", name).splitlines()[2:]
    assert [line.split()[0] for line in listed if line] == ["2", "3"]
    shown = "-o=jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("get", name, shown) == "db:1"
    assert kubectl("rollout", "restart", name) == f"{kind.lower()}.apps/db restarted\n"
    assert kubectl("rollout", "status", name, "--timeout=60s").endswith(complete[kind])
    assert "unable to find specified revision 77" in kubectl.fails("rollout", "undo", name, "--to-revision=77")


def test_a_paused_rollout_waits(web: Kubectl):
    assert web("rollout", "pause", "deploy/web") == "deployment.apps/web paused\n"
    assert 'error: deployments.apps "web" is already paused' in web.fails("rollout", "pause", "deploy/web")
    assert "can't restart paused deployment" in web.fails("rollout", "restart", "deploy/web")
    web("set", "image", "deploy/web", "web=web:2")
    web("wait", "--for=jsonpath={.status.observedGeneration}=3", "deploy/web", "--timeout=10s")
    assert len(web("get", "rs", "-o", "name").split()) == 1
    assert web("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    assert "successfully rolled out" in web("rollout", "status", "deploy/web", "--timeout=30s")
    assert len(web("get", "rs", "-o", "name").split()) == 2


def test_a_restart_replaces_every_pod(web: Kubectl):
    before = set(web("get", "pods", "-o", "name").split())
    assert web("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    said = web("rollout", "status", "deploy/web", "--timeout=30s")
    assert said.splitlines()[-1] == 'deployment "web" successfully rolled out'
    web("wait", "--for=delete", *before, "--timeout=30s")
    assert not before & set(web("get", "pods", "-o", "name").split())


@pytest.fixture
def node(kubectl: Kubectl) -> Iterator[str]:
    """A node that is as it was, afterwards."""
    yield "simulated-2"
    kubectl("uncordon", "simulated-1", "simulated-2")
    kubectl.attempt("taint", "node", "simulated-2", "clients-")


def test_cordon_and_drain(web: Kubectl, node: str):
    web("run", "alone", "--image=web:1", f"--overrides={json.dumps({'spec': {'nodeName': node}})}")
    web("wait", "--for=condition=Ready", "pod/alone", "--timeout=30s")
    assert web("cordon", node) == f"node/{node} cordoned\n"
    assert web("cordon", node) == f"node/{node} already cordoned\n"
    assert golden.cells(web("get", "node", node)).splitlines()[1].split(" | ")[1] == "Ready,SchedulingDisabled"
    mine = ("--pod-selector=app=web",)
    refused = web.fails("drain", node, "--timeout=20s")
    assert "cannot delete Pods that declare no controller (use --force to override)" in refused
    assert web("drain", node, *mine, "--timeout=30s").splitlines()[-1] == f"node/{node} drained"
    web("rollout", "status", "deploy/web", "--timeout=30s")
    assert node not in web("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert web("uncordon", node) == f"node/{node} uncordoned\n"


def test_drain_waits_for_a_budget(web: Kubectl, node: str):
    web("cordon", "simulated-1")
    web("delete", "pod", "-l", "app=web")
    web("uncordon", "simulated-1")
    web("rollout", "status", "deploy/web", "--timeout=30s")
    web("create", "pdb", "web", "--selector=app=web", "--min-available=2")
    web("wait", "pdb/web", "--for=jsonpath={.status.currentHealthy}=2", "--timeout=30s")
    mine = ("--pod-selector=app=web",)
    refused = web.fails("drain", node, *mine, "--timeout=2s")
    assert "(will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget." in refused
    assert "global timeout reached: 2s" in refused
    web("patch", "pdb", "web", "--type=merge", "-p", json.dumps({"spec": {"minAvailable": 1}}))
    web("wait", "pdb/web", "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=30s")
    assert web("drain", node, *mine, "--timeout=60s").splitlines()[-1] == f"node/{node} drained"
    assert node not in web("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}")


def test_taints(kubectl: Kubectl, node: str):
    assert kubectl("taint", "node", node, "clients=here:PreferNoSchedule") == f"node/{node} tainted\n"
    again = kubectl.fails("taint", "node", node, "clients=here:PreferNoSchedule")
    assert again == f"error: node {node} already has clients taint(s) with same effect(s) and --overwrite is false\n"
    assert "clients=here:PreferNoSchedule" in kubectl("describe", "node", node)
    assert kubectl("taint", "node", node, "clients-") == f"node/{node} untainted\n"
    assert "not found" in kubectl.fails("taint", "node", node, "clients-")
