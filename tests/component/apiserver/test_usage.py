"""metrics.k8s.io: what nodes and Pods use, read from kubelets while somebody asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.component.api import Api, serving

from pybernetes.aio.clock import SystemClock
from pybernetes.api.errors import ServiceUnavailable
from pybernetes.api.objects import User
from pybernetes.api.selectors import of_labels
from pybernetes.apiserver import local_apiservices
from pybernetes.apiserver.usage import scraper
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.controllers._hpa_metrics import CustomVersion, Metrics
from pybernetes.wire.http import Headers, Request, Response

API = "/apis/metrics.k8s.io/v1beta1"
PODS = "/api/v1/namespaces/default/pods"


class Kubelets:
    """One kubelet for all nodes: every reading is ten seconds and five core-seconds after the one before."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away: set[str] = set()
        self.containers = [("p", "c")]

    def transport(self, node: Any) -> Any:
        name = node["metadata"]["name"]
        if name in self.away:
            raise ServiceUnavailable("no address")

        async def send(request: Request) -> Response:
            self.asked.append(f"{name} {request.target}")
            turn = len([one for one in self.asked if one.startswith(name)])
            at, cpu = 1_700_000_000_000 + 10_000 * turn, 5.0 * turn
            lines = [
                "# TYPE node_cpu_usage_seconds_total counter",
                f"node_cpu_usage_seconds_total {2 * cpu} {at}",
                f"node_memory_working_set_bytes {1 << 30} {at}",
            ]
            for pod, container in self.containers:
                labels = f'{{container="{container}",namespace="default",pod="{pod}"}}'
                lines += [
                    f"container_cpu_usage_seconds_total{labels} {cpu} {at}",
                    f"container_memory_working_set_bytes{labels} 6.5536e+06 {at}",
                    f"container_start_time_seconds{labels} 1.69e+09",
                ]
            return Response(200, Headers(), "\n".join(lines).encode())

        return send


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Api, Kubelets]]:
    monkeypatch.setattr(scraper, "SECOND", 0.0)
    kubelets = Kubelets()
    async with serving(kubelets=kubelets) as api:
        await api.made("/api/v1/nodes", {"metadata": {"name": "n1", "labels": {"zone": "a"}}})
        await api.made("/api/v1/nodes", {"metadata": {"name": "n2"}})
        for name in ("p", "still"):
            spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
            await api.made(PODS, {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
        await api.ok("PATCH", f"{PODS}/p/status", {"status": {"phase": "Running"}})
        yield api, kubelets


async def test_nodes_tell_what_they_use(cluster: tuple[Api, Kubelets]) -> None:
    api, kubelets = cluster
    kubelets.away.add("n2")
    answer = await api.ok("GET", f"{API}/nodes")
    assert (answer["kind"], answer["apiVersion"]) == ("NodeMetricsList", "metrics.k8s.io/v1beta1")
    (one,) = answer["items"]
    assert one["metadata"]["name"] == "n1"
    assert one["metadata"]["labels"]["zone"] == "a"
    assert one["usage"] == {"cpu": "1", "memory": "1Gi"}
    assert one["window"] == "10s"
    assert one["timestamp"] == "2023-11-14T22:13:40Z"
    assert await api.ok("GET", f"{API}/nodes/n1")
    code, error = await api("GET", f"{API}/nodes/n2")
    assert (code, error["message"]) == (404, 'nodemetrics.metrics.k8s.io "n2" not found')
    code, error = await api("GET", f"{API}/nodes/none")
    assert (code, error["message"]) == (404, 'nodes "none" not found')


async def test_running_pods_tell_what_each_container_uses(cluster: tuple[Api, Kubelets]) -> None:
    api, _ = cluster
    one = await api.ok("GET", f"{API}/namespaces/default/pods/p")
    assert one["kind"] == "PodMetrics"
    assert one["containers"] == [{"name": "c", "usage": {"cpu": "500m", "memory": "6400Ki"}}]
    for target in ("pods", "namespaces/default/pods?labelSelector=app%3Dp"):
        answer = await api.ok("GET", f"{API}/{target}")
        assert [item["metadata"]["name"] for item in answer["items"]] == ["p"]
    assert (await api.ok("GET", f"{API}/namespaces/default/pods?labelSelector=app%3Dx"))["items"] == []
    assert (await api.ok("GET", f"{API}/namespaces/kube-system/pods"))["items"] == []
    code, error = await api("GET", f"{API}/namespaces/default/pods/still")
    assert (code, error["message"]) == (404, 'podmetrics.metrics.k8s.io "default/still" not found')


async def test_a_pod_with_a_container_not_read_twice_is_left_out(cluster: tuple[Api, Kubelets]) -> None:
    api, kubelets = cluster
    await api.ok("GET", f"{API}/namespaces/default/pods/p")
    kubelets.containers.append(("p", "new"))
    await api.server._usage._round()
    assert (await api("GET", f"{API}/namespaces/default/pods/p"))[0] == 404
    await api.server._usage._round()
    one = await api.ok("GET", f"{API}/namespaces/default/pods/p")
    assert [container["name"] for container in one["containers"]] == ["c", "new"]


async def test_nobody_asks_so_no_kubelet_is_read(cluster: tuple[Api, Kubelets]) -> None:
    api, kubelets = cluster
    await api.ok("GET", "/api/v1/nodes")
    assert kubelets.asked == []
    await asyncio.gather(*(api.ok("GET", f"{API}/nodes") for _ in range(5)))
    assert sorted(kubelets.asked) == [f"n{i} /metrics/resource" for i in (1, 1, 2, 2)]


async def test_a_table_shows_sums(cluster: tuple[Api, Kubelets]) -> None:
    api, kubelets = cluster
    kubelets.containers.append(("p", "other"))
    assert await api.table(f"{API}/pods") == [{"Name": "p", "cpu": "1", "memory": "12800Ki", "Window": "10s"}]


async def test_it_is_discovered_and_described(cluster: tuple[Api, Kubelets]) -> None:
    api, _ = cluster
    groups = await api.ok("GET", "/apis")
    assert "metrics.k8s.io" in [group["name"] for group in groups["groups"]]
    rows = (await api.ok("GET", API))["resources"]
    assert [(row["name"], row["kind"], row["verbs"]) for row in rows] == [
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    ]
    document = await api.ok("GET", "/openapi/v3/apis/metrics.k8s.io/v1beta1")
    assert f"{API}/namespaces/{{namespace}}/pods/{{name}}" in document["paths"]
    assert (await api("POST", f"{API}/nodes", {"metadata": {"name": "x"}}))[0] == 405
    assert b"io.k8s.metrics.v1beta1.PodMetrics" in orjson.dumps(await api.ok("GET", "/openapi/v2"))


async def test_whoever_may_view_may_read_them(cluster: tuple[Api, Kubelets]) -> None:
    api, _ = cluster
    reader = User("ann", groups=("system:authenticated",))
    assert "cannot list" in await api.refused("GET", f"{API}/namespaces/default/pods", user=reader)
    binding = {
        "metadata": {"name": "ann"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    }
    await api.made("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding)
    assert (await api.ok("GET", f"{API}/namespaces/default/pods", user=reader))["items"]


async def test_autoscalers_read_them_with_their_own_right(cluster: tuple[Api, Kubelets]) -> None:
    api, _ = cluster
    manager = User("system:kube-controller-manager", groups=("system:authenticated",))
    client = Client(direct(api.handler, manager), clock=SystemClock())
    found = await Metrics(client, CustomVersion()).of_resource("cpu", "c", "default", of_labels({"app": "p"}))
    assert {name: (one.value, one.window) for name, one in found.items()} == {"p": (500, 10.0)}


async def test_somebody_else_may_bring_an_api_service_for_it(cluster: tuple[Api, Kubelets]) -> None:
    api, _ = cluster
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"namespace": "kube-system", "name": "metrics-server"},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    await api.made(path, {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec})
    await local_apiservices.ensure(api.server.storage, api.server.catalog)
    assert (await api.ok("GET", f"{path}/v1beta1.metrics.k8s.io"))["spec"]["service"]["name"] == "metrics-server"
