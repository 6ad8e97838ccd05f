"""kubectl top: columns, sums, and what is said while there are no figures."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pybernetes.aio.clock import SystemClock, rfc3339
from pybernetes.kubectl import main
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.server import HttpServer

API = "/apis/metrics.k8s.io/v1beta1"
GROUP = {"name": "metrics.k8s.io", "versions": [{"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"}]}
NODES = [
    {"metadata": {"name": "n1"}, "usage": {"cpu": "250m", "memory": "512Mi"}},
    {"metadata": {"name": "n2"}, "usage": {"cpu": "1500m", "memory": "100Mi"}},
]
CONTAINERS = [
    {"name": "app", "usage": {"cpu": "1234567n", "memory": "2048Ki"}},
    {"name": "side", "usage": {"cpu": "3m", "memory": "1Mi"}},
]
PODS = [
    {"metadata": {"name": "b", "namespace": "default"}, "containers": CONTAINERS},
    {"metadata": {"name": "a", "namespace": "default"}, "containers": CONTAINERS[:1]},
]


def node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}


def top(folder: Path, answers: dict[str, Any], *words: str) -> int:
    """Runs the command against a server that knows these lists."""
    (folder / "config").write_text("apiVersion: v1\nkind: Config\n")
    known = {"/apis": {"kind": "APIGroupList", "groups": [GROUP]}, **answers}

    async def handler(request: Request) -> Response:
        found = known.get(request.path)
        body = {"items": found} if isinstance(found, list) else found
        status = {"status": "Failure", "reason": "NotFound", "message": f"{request.path} not found"}
        return Response(404 if found is None else 200, Headers(), json.dumps(body or status).encode())

    async def run() -> int:
        server = HttpServer(handler)
        await server.start()
        flags = [f"--kubeconfig={folder}/config", f"--server=http://127.0.0.1:{server.port}"]
        try:
            return await asyncio.to_thread(main.run, ["top", *words, *flags])
        finally:
            await server.stop()

    return asyncio.run(run())


def test_nodes_are_shown_with_their_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    answers = {f"{API}/nodes": NODES, "/api/v1/nodes": [node("n1"), node("n2"), node("quiet")]}
    assert top(tmp_path, answers, "nodes", "--sort-by=cpu") == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME    CPU(cores)   CPU(%)      MEMORY(bytes)   MEMORY(%)",
        "n2      1500m        75%         100Mi           9%",
        "n1      250m         12%         512Mi           50%",
        "quiet   <unknown>    <unknown>   <unknown>       <unknown>",
    ]


def test_pods_are_shown_with_what_their_containers_use_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    answers = {f"{API}/namespaces/default/pods": PODS}
    assert top(tmp_path, answers, "pod", "--sum") == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME   CPU(cores)   MEMORY(bytes)",
        "a      2m           2Mi",
        "b      5m           3Mi",
        "       ________     ________",
        "       6m           5Mi",
    ]


def test_containers_are_shown_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert top(tmp_path, {f"{API}/pods": PODS}, "pods", "-A", "--containers", "--sort-by=cpu") == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAMESPACE   POD   NAME   CPU(cores)   MEMORY(bytes)",
        "default     b     side   3m           1Mi",
        "default     b     app    2m           2Mi",
        "default     a     app    2m           2Mi",
    ]


def test_what_is_missing_is_said_in_kubectls_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    now = SystemClock().now()
    young = {"metadata": {"name": "a", "namespace": "default", "creationTimestamp": rfc3339(now)}}
    old = {"metadata": {**young["metadata"], "creationTimestamp": rfc3339(now - 3700)}}
    pods, core = f"{API}/namespaces/default/pods", "/api/v1/namespaces/default/pods"
    for answers, words, code, text in (
        ({"/apis": {"groups": []}}, ["nodes"], 1, "error: Metrics API not available\n"),
        ({f"{API}/nodes": []}, ["node"], 1, "error: metrics not available yet\n"),
        ({pods: [], core: [young]}, ["pod"], 1, "error: metrics not available yet\n"),
        ({pods: [], core: []}, ["pod"], 0, "No resources found in default namespace.\n"),
        ({}, ["pod", "x", "-l", "a=b"], 1, "error: only one of NAME or selector can be provided\n"),
        ({}, ["pod", "--sort-by=x"], 1, "error: --sort-by accepts only cpu or memory\n"),
        ({}, ["pod", "x"], 1, f"Error from server (NotFound): {pods}/x not found\n"),
    ):
        assert (top(tmp_path, answers, *words), capsys.readouterr().err) == (code, text)
    assert top(tmp_path, {pods: [], core: [old]}, "pod") == 1
    assert capsys.readouterr().err.startswith("error: Metrics not available for pod default/a, age: 1h1m4")
