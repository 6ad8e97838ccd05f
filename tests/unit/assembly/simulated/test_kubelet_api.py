"""Logs of simulated Pods through the API server; what needs a process is refused clearly."""

import asyncio

import orjson
from tests.unit.assembly.simulated.worlds import World, simulated

from pybernetes.wire.http import Headers, Request, Response, read_body

UPGRADE = Headers(
    [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-protocol", "v5.channel.k8s.io")]
)


async def send(w: World, method: str, target: str, headers: Headers | None = None) -> Response:
    return await w.send(Request(method, target, headers or Headers()))


@simulated
async def test_a_log_is_read_as_on_a_kubelet(w: World) -> None:
    await w.pod(rules={"log": "one\ntwo"})
    await w.clock.sleep(10)
    w.nodes.agents["one"].table.logs.write((await w.simulated()).containers[0].id, "three", "stderr")
    assert await w.log() == "one\ntwo\nthree\n"
    assert await w.log("?tailLines=2") == "two\nthree\n"
    assert await w.log("?tailLines=0") == ""
    assert await w.log("?sinceSeconds=5") == "three\n"
    assert await w.log("?sinceTime=2026-01-01T00:00:05Z") == "three\n"
    assert await w.log("?limitBytes=5") == "one\nt"
    assert await w.log("?stream=Stderr") == "three\n"
    assert await w.log("?timestamps=true&tailLines=1") == "2026-01-01T00:00:11.000000000Z three\n"
    assert await w.log("?container=main&tailLines=1") == "three\n"


@simulated
async def test_the_log_of_the_run_before_is_there_until_the_one_after_next(w: World) -> None:
    await w.pod()
    for number in range(3):
        await w.clock.sleep(700)
        pod = await w.simulated()
        w.nodes.agents["one"].table.logs.write(pod.containers[0].id, f"run {number}")
        pod.end("main", 1)
    await w.clock.sleep(1)
    assert (await w.log("?previous=true"), await w.log()) == ("run 2\n", "")


@simulated
async def test_a_log_that_is_not_there_is_told_in_the_kubelets_words(w: World) -> None:
    await w.pod("starting", rules={"start-seconds": "60"})
    await w.pod("fresh")
    await w.clock.sleep(1)
    assert await w.log(name="starting") == (
        '400 container "main" in pod "starting" is waiting to start: ContainerCreating'
    )
    assert await w.log("?previous=true", "fresh") == (
        '400 previous terminated container "main" in pod "fresh" not found'
    )
    assert await w.log("?container=other", "fresh") == "400 container other is not valid for pod fresh"


@simulated
async def test_a_log_is_followed_until_its_container_ends(w: World) -> None:
    await w.pod(rules={"log": "begin"}, restartPolicy="Never")
    await w.clock.sleep(1)
    response = await send(w, "GET", "/api/v1/namespaces/default/pods/p/log?follow=true")
    read: list[tuple[float, bytes]] = []

    async def follow() -> None:
        assert not isinstance(response.body, bytes)
        async for piece in response.body:
            read.append((w.clock.monotonic(), piece))

    following = asyncio.create_task(follow())
    pod, logs = await w.simulated(), w.nodes.agents["one"].table.logs
    for text in ("more", "and more"):
        await w.clock.sleep(5)
        logs.write(pod.containers[0].id, text)
    await w.clock.sleep(5)
    assert not following.done()
    pod.end("main", 0)
    await following
    assert read == [(2.0, b"begin\n"), (7.0, b"more\n"), (12.0, b"and more\n")]
    assert w.clock.monotonic() == 17.0


@simulated
async def test_a_log_that_is_followed_ends_with_its_pod(w: World) -> None:
    await w.pod(rules={"log": "begin"})
    await w.clock.sleep(1)
    response = await send(w, "GET", "/api/v1/namespaces/default/pods/p/log?follow=true")
    reading = asyncio.create_task(read_body(response))
    await w.clock.sleep(5)
    assert not reading.done()
    await w.delete(grace=0)
    assert await reading == b"begin\n"


@simulated
async def test_what_needs_a_process_says_what_is_simulated(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    for what, why in (
        ("exec?command=ls&stdout=true", "no command can run in it"),
        ("attach?stdout=true", "no process can be attached to"),
        ("portforward?ports=80", "nobody listens on its ports"),
    ):
        response = await send(w, "POST", f"/api/v1/namespaces/default/pods/p/{what}", UPGRADE)
        status = orjson.loads(await read_body(response))
        assert (response.status, status["reason"], status["message"]) == (
            501,
            "NotImplemented",
            f"pod default/p runs on the simulated node one, where no process is: {why}",
        )


@simulated
async def test_nobody_listens_on_simulated_addresses(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    ip = (await w.get()).status.podIP
    status, text = await w.raw("/api/v1/namespaces/default/pods/p:80/proxy/")
    assert (status, orjson.loads(text)["message"]) == (503, f"one is a simulated node: nobody listens on {ip}")
    status, text = await w.raw("/api/v1/nodes/one:9100/proxy/")
    assert (status, orjson.loads(text)["message"]) == (503, "one is a simulated node: nobody listens on 198.18.0.1")


@simulated
async def test_ports_that_serve_the_host_name_answer_while_their_container_runs(w: World) -> None:
    containers = [{"name": "c", "image": "i", "ports": [{"containerPort": 9376}]}]
    await w.pod(rules={"serve-hostname": "true", "start-seconds": "5"}, containers=containers)
    await w.clock.sleep(1)
    status, _ = await w.raw("/api/v1/namespaces/default/pods/p:9376/proxy/")
    assert status == 503
    await w.clock.sleep(10)
    assert await w.raw("/api/v1/namespaces/default/pods/p:9376/proxy/a/b?c=d") == (200, "p")
    assert await w.raw("/api/v1/namespaces/default/pods/p/proxy/") == (200, "p")
    for elsewhere in ("p:80", "https:p:9376"):
        assert (await w.raw(f"/api/v1/namespaces/default/pods/{elsewhere}/proxy/"))[0] == 503


@simulated
async def test_a_nodes_kubelet_tells_its_pods_and_that_it_is_well(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    assert await w.raw("/api/v1/nodes/one/proxy/healthz") == (200, "ok")
    _, text = await w.raw("/api/v1/nodes/one/proxy/pods")
    assert [(p["metadata"]["name"], p["status"]["phase"]) for p in orjson.loads(text)["items"]] == [("p", "Running")]
    status, text = await w.raw("/api/v1/nodes/one/proxy/stats/summary")
    assert (status, orjson.loads(text)["message"]) == (501, "one is a simulated node: it has no /stats")


@simulated
async def test_a_node_without_power_does_not_answer(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    await w.nodes.agents["one"].fail()
    assert await w.log() == (
        '503 the kubelet of node "one" does not answer: connect 198.18.0.1: no route to host (the simulated node has no power)'
    )


@simulated
async def test_real_nodes_are_dialled_as_ever(w: World) -> None:
    await w.client.raw("POST", "/api/v1/nodes", {"metadata": {"name": "real"}})
    await w.pod(nodeName="real")
    assert await w.log() == (
        "503 this API server cannot speak to kubelets: it was started without --kubelet-client-certificate"
    )
