"""What users type: our kubectl and the machine's own, against `pybernetes up`."""

import hashlib
import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, EXAMPLES, Up
from tests.kubectls import OURS, machines_kubectl

POD = (EXAMPLES / "01-first-pod" / "pod.yaml").read_text()
TALKING = "for i in 1 2 3; do echo line $i; done; sleep 2; echo last"
TALKER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "talker"},
    "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "gasbugs/http-go", "command": ["/bin/sh", "-c", TALKING]}],
    },
}
DEPLOYMENT = (EXAMPLES / "03-replicas" / "deployment.yaml").read_text()


@pytest.fixture(params=["ours", "machine"])
def kubectl(request: pytest.FixtureRequest) -> str:
    return OURS if request.param == "ours" else machines_kubectl()


def test_a_pod_from_descriptor_to_deletion(up: Up, kubectl: str, namespace: str):
    def run(*words: str, stdin: str | None = None) -> str:
        return up.run(kubectl, "-n", namespace, *words, stdin=stdin)

    assert run("apply", "-f", "-", stdin=POD) == "pod/http-go created\n"
    assert run("apply", "-f", "-", stdin=POD) == "pod/http-go unchanged\n"
    assert "condition met" in run("wait", "pod/http-go", "--for=condition=Ready", "--timeout=60s")
    table = run("get", "pods", "-o", "wide")
    assert re.search(r"http-go +1/1 +Running +0 .* worker-[12]", table), table
    pod = json.loads(run("get", "pod", "http-go", "-o", "json"))
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert pod["status"]["podIP"] in run("get", "pod", "http-go", "-o", "yaml")
    assert run("get", "pod", "http-go", "-o", "jsonpath={.status.phase}") == "Running"
    assert run("get", "pod", "http-go", "-o", "name") == "pod/http-go\n"
    described = run("describe", "pod", "http-go")
    for word in ("Scheduled", "Pulling", "Pulled", "Created", "Started", "Successfully assigned"):
        assert word in described, described
    assert run("label", "pod", "http-go", "tier=front") == "pod/http-go labeled\n"
    assert "http-go" in run("get", "pods", "-l", "tier=front")
    assert run("exec", "http-go", "--", "hostname") == "http-go\n"
    run("delete", "pod", "http-go", "--grace-period=1")
    assert "No resources found" in up.attempt(kubectl, "get", "pods", "-n", namespace).stderr


def test_exec_passes_stdin_and_exit_codes(up: Up, kubectl: str, namespace: str):
    up.run(kubectl, "apply", "-n", namespace, "-f", "-", stdin=POD)
    up.run(kubectl, "wait", "-n", namespace, "pod/http-go", "--for=condition=Ready", "--timeout=60s")
    echoed = up.run(kubectl, "exec", "-i", "-n", namespace, "http-go", "--", "cat", stdin="through the wire\n")
    assert echoed == "through the wire\n"
    ended = up.attempt(kubectl, "exec", "-n", namespace, "http-go", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (ended.returncode, ended.stdout) == (3, "out\n")
    assert "err" in ended.stderr
    assert "exit code 3" in ended.stderr


def test_logs_are_those_of_the_container_and_can_be_followed(up: Up, kubectl: str, namespace: str):
    pod = TALKER
    up.run(kubectl, "create", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
    up.run(kubectl, "wait", "-n", namespace, "pod/talker", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    assert up.run(kubectl, "logs", "-f", "-n", namespace, "talker") == "line 1\nline 2\nline 3\nlast\n"
    assert up.run(kubectl, "logs", "-n", namespace, "talker", "--tail=1") == "last\n"
    up.run(kubectl, "wait", "-n", namespace, "pod/talker", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")


def test_a_deployment_rolls_scales_and_goes(up: Up, kubectl: str, namespace: str):
    def run(*words: str, stdin: str | None = None) -> str:
        return up.run(kubectl, "-n", namespace, *words, stdin=stdin)

    run("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "successfully rolled out" in run("rollout", "status", "deploy/http-go", "--timeout=90s")
    assert run("scale", "deploy/http-go", "--replicas=2") == "deployment.apps/http-go scaled\n"
    run("wait", "deploy/http-go", "--for=jsonpath={.status.replicas}=2", "--timeout=60s")
    patch = (
        '{"spec":{"template":{"spec":{"containers":[{"name":"http-go","env":[{"name":"COLOUR","value":"blue"}]}]}}}}'
    )
    assert run("patch", "deploy", "http-go", "-p", patch) == "deployment.apps/http-go patched\n"
    assert "successfully rolled out" in run("rollout", "status", "deploy/http-go", "--timeout=90s")
    assert run("exec", "deploy/http-go", "--", "sh", "-c", "echo colour=$COLOUR") == "colour=blue\n"
    assert "REVISION" in run("rollout", "history", "deploy/http-go")
    run("rollout", "undo", "deploy/http-go")
    run("rollout", "status", "deploy/http-go", "--timeout=90s")
    assert run("exec", "deploy/http-go", "--", "sh", "-c", "echo colour=$COLOUR") == "colour=\n"
    assert "http-go" in run("get", "deploy,rs,svc")
    run("delete", "deploy/http-go", "svc/http-go")
    run("wait", "pods", "-l", "app=http-go", "--for=delete", "--timeout=60s")


def test_the_servers_resources_are_listed(up: Up, kubectl: str):
    out = up.run(kubectl, "api-resources")
    for name in ("pods", "deployments", "rolebindings", "certificatesigningrequests", "endpointslices"):
        assert re.search(rf"^{name} ", out, re.MULTILINE), out
    assert "v1.37" in up.run(kubectl, "version")
    nodes = up.run(kubectl, "get", "nodes")
    assert len(re.findall(r" Ready ", nodes)) == 3


@pytest.mark.parametrize(
    ("descriptor", "words"),
    [
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {}\n", "spec.containers: Required value"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: X_}\nspec: {containers: [{name: a, image: b}]}\n",
            "metadata.name: Invalid value",
        ),
        # Other kubectls look for a CRD of that kind first, and say so where there are none
        ("apiVersion: v1\nkind: Nothing\nmetadata: {name: x}\n", 'no matches for kind "Nothing" in version "v1"|CRDs'),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b, imagee: c}]}\n",
            "imagee",
        ),
        ("apiVersion: v1\nkind: Pod\nmetadata: [\n", "error"),
    ],
)
def test_bad_descriptors_get_the_apis_own_words(up: Up, kubectl: str, namespace: str, descriptor: str, words: str):
    ended = up.attempt(kubectl, "create", "-n", namespace, "-f", "-", stdin=descriptor)
    assert ended.returncode == 1
    assert any(word in ended.stderr for word in words.split("|")), ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_pod_without_image_in_the_registry_says_why_and_heals(up: Up, namespace: str, tmp_path: Path):
    pod = POD.replace("gasbugs/http-go", "gasbugs/later:v1")
    up.kubectl("apply", "-n", namespace, "-f", "-", stdin=pod)
    waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    up.kubectl("wait", "-n", namespace, "pod/http-go", f"--for={waiting}=ImagePullBackOff", "--timeout=90s")
    events = up.kubectl("describe", "pod", "http-go", "-n", namespace)
    assert 'Failed to pull image "gasbugs/later:v1"' in events
    assert "ErrImagePull" in events
    image = EXAMPLES / "01-first-pod" / "image"
    build = [
        "image",
        "build",
        str(image),
        "-t",
        "gasbugs/later:v1",
        "-o",
        str(tmp_path / "x.tar"),
        "--push",
        "--name",
        "e2e",
    ]
    subprocess.run([str(BIN / "pybernetes"), *build], check=True, capture_output=True)
    up.kubectl("wait", "-n", namespace, "pod/http-go", "--for=condition=Ready", "--timeout=120s")


def test_top_shows_what_nodes_and_pods_use(up: Up, kubectl: str, namespace: str):
    busy = json.loads(json.dumps(TALKER))
    busy["metadata"]["name"] = "busy"
    busy["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", "while :; do :; done"]
    busy["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "200m"}}
    busy["spec"]["terminationGracePeriodSeconds"] = 0
    up.run(kubectl, "create", "-n", namespace, "-f", "-", stdin=json.dumps(busy))
    up.run(kubectl, "wait", "-n", namespace, "pod/busy", "--for=condition=Ready", "--timeout=60s")
    summary = json.loads(up.run(kubectl, "get", "--raw", "/api/v1/nodes/worker-1/proxy/stats/summary"))
    assert summary["node"]["nodeName"] == "worker-1"
    assert "kubelet_running_pods " in up.run(kubectl, "get", "--raw", "/api/v1/nodes/worker-1/proxy/metrics")
    nodes = up.run(kubectl, "top", "nodes")
    assert re.search(r"^worker-1 +\d+m +\d+% +\d+Mi +\d+%", nodes, re.MULTILINE), nodes
    for _ in range(60):  # a Pod has figures once its kubelet was read twice
        shown = up.attempt(kubectl, "top", "pods", "-n", namespace, "--containers")
        if shown.returncode == 0 and "busy" in shown.stdout:
            break
        assert shown.returncode == 0 or "metrics not available yet" in shown.stderr, shown.stderr
        time.sleep(1)
    found = re.search(r"^busy +main +(\d+)m +\d+Mi", shown.stdout, re.MULTILINE)
    assert found is not None, shown.stdout
    assert 0 < int(found[1]) <= 260
    missing = up.attempt(kubectl, "top", "pod", "nobody", "-n", namespace)
    assert (missing.returncode, missing.stderr) == (1, 'Error from server (NotFound): pods "nobody" not found\n')


@pytest.fixture
def machine_kubectl() -> str:
    return machines_kubectl()


def test_streams_through_the_api_server_lose_nothing(up: Up, machine_kubectl: str, namespace: str):
    kubectl = machine_kubectl
    up.run(kubectl, "apply", "-n", namespace, "-f", "-", stdin=POD)
    up.run(kubectl, "wait", "-n", namespace, "pod/http-go", "--for=condition=Ready", "--timeout=60s")
    environment = {**os.environ, "KUBECONFIG": str(up.kubeconfig)}
    data = os.urandom(16 * 1024 * 1024)
    for websockets in ("true", "false"):  # v5 by WebSocket, and SPDY
        echoed = subprocess.run(
            [kubectl, "exec", "-i", "-n", namespace, "http-go", "--", "cat"],
            input=data,
            env={**environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets},
            capture_output=True,
            timeout=120,
            check=True,
        )
        assert hashlib.sha256(echoed.stdout).digest() == hashlib.sha256(data).digest()
    for websockets in ("true", "false"):
        with subprocess.Popen(
            [kubectl, "port-forward", "-n", namespace, "pod/http-go", ":8080"],
            env={**environment, "KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets},
            stdout=subprocess.PIPE,
            text=True,
        ) as forwarding:
            try:
                assert forwarding.stdout is not None
                port = re.search(r"127.0.0.1:(\d+) -> 8080", forwarding.stdout.readline())
                assert port is not None
                for _ in range(3):
                    with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/", timeout=20) as answer:
                        assert "http-go" in answer.read().decode()
            finally:
                forwarding.terminate()
