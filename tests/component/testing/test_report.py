"""What a cluster can tell of a test that failed."""

from pathlib import Path

from tests.component.testing.manifests import deployment

from pybernetes.aio.clock import SystemClock
from pybernetes.api.objects import Object
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.testing import Cluster, simulated
from pybernetes.testing.report import of_namespace


def unschedulable(name: str) -> Object:
    found = deployment(name, 2)
    found["metadata"]["namespace"] = "shop"
    found["spec"]["template"]["spec"]["nodeSelector"] = {"there": "is-none"}
    return found


SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


@simulated(seed=1)
async def test_a_report_has_pods_events_calls_and_faults_of_its_namespace():
    async with Cluster() as c:
        c.faults.add(verb="create", resource="pods", error="Forbidden", times=1)
        await c.apply([SHOP, unschedulable("web"), deployment("elsewhere", 1)])
        await c.advance(30)
        text = await of_namespace(c.client(), "shop", audit=c.audit, faults=c.faults, width=140)
    pods, events, calls, faults = text.split("\n\n")
    assert "READINESS GATES" in pods
    assert pods.count("Pending") == 2
    assert "FailedScheduling" in events
    assert "affinity/selector." in events, "the end of a long message is there"
    assert "403 Forbidden (fault)" in calls
    assert "replicaset-controller" in calls
    assert "(1 hits)" in faults
    assert "elsewhere" not in text
    assert all(len(line) <= 140 for line in text.splitlines())


@simulated(seed=1)
async def test_a_report_of_all_namespaces_names_them():
    async with Cluster() as c:
        await c.apply([SHOP, unschedulable("web"), deployment("elsewhere", 1)])
        await c.wait("deployment/elsewhere", "condition=Available")
        text = await of_namespace(c.client(), "")
    head, *rows = text.splitlines()[1:4]
    assert head.split()[:2] == ["NAMESPACE", "NAME"]
    assert {row.split()[0] for row in rows} == {"default", "shop"}
    assert "calls" not in text, "a cluster elsewhere has no audit"


@simulated
async def test_a_report_of_nothing_says_so_and_the_newest_rows_count():
    async with Cluster(nodes=0, controllers=(), scheduler=False) as c:
        assert (await of_namespace(c.client(), "default")).count("\nnone") == 2
        for number in range(30):
            about = {"kind": "ConfigMap", "namespace": "default", "name": "a"}
            stamp = f"2026-01-01T00:00:{(number * 7) % 60:02}Z"
            body = {
                "metadata": {"name": f"e{number}"},
                "involvedObject": about,
                "message": stamp,
                "lastTimestamp": stamp,
            }
            await c.raw("POST", "/api/v1/namespaces/default/events", body)
        text = await of_namespace(c.client(), "default")
    assert "(the last 25 of 30)" in text
    shown = [line.split()[-1] for line in text.splitlines() if "2026-" in line]
    assert shown == sorted(shown)


async def test_a_report_of_a_cluster_that_is_gone_says_why():
    async with Cluster(nodes=0, controllers=(), scheduler=False) as c:
        path: Path = c.kubeconfig()
        transport = kubeconfig.transport_of(kubeconfig.load(path))
        inside = c.client()
    text = await of_namespace(inside, "default")
    assert "cannot be asked for: the cluster is not running" in text
    assert "cannot be asked for" in await of_namespace(Client(transport, clock=SystemClock()), "default")
    await transport.aclose()
