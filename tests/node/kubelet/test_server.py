"""The kubelet's API on a real containerd: logs, exec over WebSocket, what is refused."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from bench._node import NodeUnderTest, running

from pybernetes.kubelet.server.app import KubeletApi
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, Response, read_body
from pybernetes.wire.server import HttpServer
from pybernetes.wire.websocket import connect

pytestmark = pytest.mark.root


@contextlib.asynccontextmanager
async def served(one: NodeUnderTest) -> AsyncIterator[HttpClient]:
    assert one.kubelet is not None
    server = HttpServer(KubeletApi(one.kubelet, None, one.clock))
    await server.start()
    client = HttpClient(f"http://127.0.0.1:{server.port}")
    try:
        yield client
    finally:
        await client.aclose()
        await server.stop()


async def text(client: HttpClient, target: str) -> tuple[int, str]:
    response = await client(Request("GET", target))
    return response.status, (await read_body(response)).decode()


async def test_logs_are_read_and_followed(one: NodeUnderTest) -> None:
    await one.create(
        "talker", "sh", "-c", "for i in 1 2 3; do echo line $i; done; sleep 1; echo end", restartPolicy="Never"
    )
    await one.until("talker", lambda p: p is not None and p.status.phase in ("Running", "Succeeded"))
    async with served(one) as client:
        assert await text(client, "/containerLogs/default/talker/c?tailLines=1&follow=true") == (200, "line 3\nend\n")
        assert await text(client, "/containerLogs/default/talker/c?limitBytes=6") == (200, "line 1")
        assert (await text(client, "/containerLogs/default/nobody/c"))[0] == 404


async def test_logs_of_what_never_ran_are_refused_with_the_reason(one: NodeUnderTest) -> None:
    await one.create("stuck", nodeSelector={}, hostNetwork=False)
    await one.until("stuck", lambda p: bool(p and p.status.containerStatuses))
    async with served(one) as client:
        found = await text(client, "/containerLogs/default/stuck/c")
        assert found == (400, 'container "c" in pod "stuck" is waiting to start: ContainerCreating')


async def test_the_previous_run_has_its_own_log(one: NodeUnderTest) -> None:
    await one.create("crash", "sh", "-c", "echo run; exit 1")
    await one.until(
        "crash", lambda p: bool(p and p.status.containerStatuses and p.status.containerStatuses[0].restartCount)
    )
    async with served(one) as client:
        assert await text(client, "/containerLogs/default/crash/c?previous=true") == (200, "run\n")


async def test_exec_over_a_websocket_gives_output_and_the_exit_code(one: NodeUnderTest) -> None:
    await one.create("target")
    await one.until("target", running)
    async with served(one) as client:
        query = "command=sh&command=-c&command=echo%20out%3B%20exit%203&output=1&error=1"
        socket = await connect(client, Request("GET", f"/exec/default/target/c?{query}"), ["v4.channel.k8s.io"])
        assert not isinstance(socket, Response)
        output, status = b"", b""
        while (message := await socket.receive()) is not None:
            channel, data = message[1][0], message[1][1:]
            output += data if channel == 1 else b""
            status += data if channel == 3 else b""
        assert output == b"out\n"
        assert b'"NonZeroExitCode"' in status
        assert b'"3"' in status
        await socket.close()


async def test_what_is_not_an_upgrade_is_refused(one: NodeUnderTest) -> None:
    await one.create("target")
    await one.until("target", running)
    async with served(one) as client:
        assert (await text(client, "/exec/default/target/c?command=id&output=1"))[0] == 400
        assert (await text(client, "/nothing"))[0] == 404
        status, pods = await text(client, "/pods")
        assert status == 200
        assert '"name":"target"' in pods
        refused = await client(Request("DELETE", "/pods", Headers()))
        assert refused.status == 405


async def test_what_pods_use_is_shown(one: NodeUnderTest) -> None:
    await one.create("busy", "sh", "-c", "while :; do :; done")
    pod = await one.until("busy", running)
    async with served(one) as client:
        first = json.loads((await text(client, "/stats/summary"))[1])
        await asyncio.sleep(2.2)
        second = json.loads((await text(client, "/stats/summary"))[1])
        assert second["node"]["nodeName"] == "n1"
        assert second["node"]["fs"]["capacityBytes"] > 0
        (was,), (used,) = first["pods"], second["pods"]
        assert used["podRef"] == {"name": "busy", "namespace": "default", "uid": pod.metadata.uid}
        assert used["cpu"]["usageCoreNanoSeconds"] > was["cpu"]["usageCoreNanoSeconds"]
        assert used["cpu"]["usageNanoCores"] > 0
        (container,) = used["containers"]
        assert 0 < container["memory"]["workingSetBytes"] <= used["memory"]["usageBytes"]
        status, metrics = await text(client, "/metrics/resource")
        assert status == 200
        assert 'container_cpu_usage_seconds_total{container="c",namespace="default",pod="busy"} ' in metrics
        assert "resource_scrape_error 0\n" in metrics
        assert (await text(client, "/stats/nothing"))[0] == 404
