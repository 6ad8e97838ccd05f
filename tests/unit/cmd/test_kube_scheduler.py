"""The kube-scheduler command: wrong use is one line and an exit code; a whole life against a real API server."""

import asyncio
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import msgspec
import pytest

from pybernetes.api.types.coordination_v1 import Lease
from pybernetes.api.types.core_v1 import Event, Pod
from pybernetes.client.rest import Client
from pybernetes.cmd.kube_scheduler import main
from pybernetes.testing.cluster import Cluster


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--kubeconfig", "/nonexistent"], 1, "/nonexistent"),
        (["--nonsense"], 2, "--nonsense"),
        (["--leader-elect=perhaps"], 2, "neither true nor false"),
        (["--leader-elect-lease-duration=10s"], 1, "must be greater than --leader-elect-renew-deadline"),
        (["--leader-elect-retry-period=9s"], 1, "must be greater than 1.2 of --leader-elect-retry-period"),
        (["--leader-elect-retry-period=0s"], 1, "--leader-elect-retry-period above 0"),
        (["--leader-elect-renew-deadline=soon"], 2, "invalid duration"),
    ],
)
def test_wrong_use_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert text in said
    assert "Traceback" not in said


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def fetched(port: int, path: str) -> bytes:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def bound(client: Client, name: str) -> str:
    """The pod's Node, once it has one."""
    pods = client.of(Pod)
    listing = await pods.list("default")
    for pod in listing.items:
        if pod.metadata.name == name and pod.spec.nodeName:
            return pod.spec.nodeName
    async for event in pods.watch(listing.revision, "default", timeout=30):
        if event.object is not None and event.key.name == name and event.object.spec.nodeName:
            return event.object.spec.nodeName
    raise AssertionError(f"pod {name} got no node")


async def told_of(client: Client, lease: Lease) -> Event:
    """The first Event about the Lease, once it is there."""
    events = client.of(Event)
    listing = await events.list("kube-system")
    for event in listing.items:
        if event.involvedObject.uid == lease.metadata.uid:
            return event
    async for change in events.watch(listing.revision, "kube-system", timeout=30):
        if change.object is not None and change.object.involvedObject.uid == lease.metadata.uid:
            return change.object
    raise AssertionError("nothing is told of the lease")


async def test_it_leads_schedules_answers_for_its_health_and_ends_on_term() -> None:
    async with Cluster(nodes=1) as cluster:
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "pybernetes.cmd.kube_scheduler", f"--kubeconfig={cluster.kubeconfig()}"),
            *("--bind-address=127.0.0.1", f"--secure-port={port}", "--scheduler-name=mine"),
            *("--profiling=false", "--leader-elect-lease-duration=20s"),
            env={**os.environ, "PYTHONWARNINGS": ""},
        )
        try:
            client = cluster.client()
            spec = {"schedulerName": "mine", "containers": [{"name": "c", "image": "i"}]}
            made = {"metadata": {"name": "x", "namespace": "default"}, "spec": spec}
            await client.of(Pod).create(msgspec.convert(made, Pod))
            async with asyncio.timeout(30):
                assert await bound(client, "x") == "node-1"
            assert b"200 OK" in await fetched(port, "/healthz")
            assert b"[+]leaderElection ok" in await fetched(port, "/healthz?verbose")
            assert b" 403 " in await fetched(port, "/metrics")
            lease = await client.of(Lease).get("kube-scheduler", "kube-system")
            assert lease.spec.holderIdentity.startswith(socket.gethostname())
            assert lease.spec.leaseDurationSeconds == 20
            told = await told_of(client, lease)
            assert (told.type, told.reason, told.source.component) == ("Normal", "LeaderElection", "default-scheduler")
            assert told.message == f"{lease.spec.holderIdentity} became leader"
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
            lease = await client.of(Lease).get("kube-scheduler", "kube-system")
            assert not lease.spec.holderIdentity
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def test_a_taken_port_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "admin.conf"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main([f"--kubeconfig={config}", "--bind-address=127.0.0.1", f"--secure-port={port}"])
    assert ended.value.code == 1
    assert f"kube-scheduler: cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
