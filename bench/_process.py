"""A node whose kubelet is a process of its own, to be killed: everything else is _node.py's.

The API server of this process listens on the loopback; the kubelet has its node's token and no more.
"""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import yaml

from bench._containerd import OwnContainerd
from bench._node import KUBELET, NODE, NodeUnderTest, serving
from pybernetes.client import kubeconfig
from pybernetes.wire.server import HttpServer

_PATIENCE = 30.0
TOKEN = "kubelet-of-a-node-under-test"


class ProcessNode(NodeUnderTest):
    """As NodeUnderTest; `kubelet` is None, since it is elsewhere. kill_kubelet() is kill -9."""

    def __init__(self, folder: Path, containerd: OwnContainerd, endpoint: str = "") -> None:
        super().__init__(folder, containerd, tokens={TOKEN: KUBELET})
        self.endpoint = endpoint or containerd.endpoint
        self.process: subprocess.Popen[bytes] | None = None
        self.more: dict[str, object] = {}
        """More of the KubeletConfiguration, in the file's words."""
        self.standalone = False
        """Without --kubeconfig."""
        self.command_prefix: tuple[str, ...] = ()
        """What runs the kubelet (`faketime`...); empty: it runs itself."""
        self._server: HttpServer | None = None
        self._port = _free_port()
        self.port = _free_port()
        self._healthz = _free_port()

    async def open_api(self) -> None:
        """The API server listens, on the same port each time."""
        self._server = HttpServer(self.api.handler)
        await self._server.start("127.0.0.1", self._port)

    async def cut_api(self) -> None:
        """Nobody reaches the API server but this process."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def start_kubelet(self) -> None:  # type: ignore[override] # there is no Kubelet to return
        """Starts the process and waits until its /healthz answers."""
        self.process = await asyncio.to_thread(self._spawn)
        async with asyncio.timeout(_PATIENCE):
            while not await self._healthy():
                assert self.process.poll() is None, f"the kubelet has ended: {self.log()[-1000:]}"
                await asyncio.sleep(0.02)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self._write()
        flags = ["--config", f"{self.folder}/config.yaml"]
        if not self.standalone:
            flags += ["--kubeconfig", f"{self.folder}/kubelet.conf"]
        flags += ["--root-dir", f"{self.folder}/kubelet", "--hostname-override", NODE, "--node-ip", "127.0.0.1"]
        script = "import sys; from pybernetes.cmd.kubelet import main; main(sys.argv[1:])"
        with (self.folder / "kubelet.log").open("ab") as log:
            command = [*self.command_prefix, sys.executable, "-c", script, *flags]
            return subprocess.Popen(command, stdout=log, stderr=log)

    def log(self) -> str:
        """What the kubelets of this node have said."""
        return (self.folder / "kubelet.log").read_text(errors="replace")

    async def stop_kubelet(self) -> None:
        """TERM."""
        await self._end(signal.SIGTERM)

    async def kill_kubelet(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            await asyncio.to_thread(self.process.wait, 30)
            self.process = None

    def _write(self) -> None:
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": self.port,
            "healthzPort": self._healthz,
            "cgroupRoot": self.containerd.cgroup.path,
            "containerRuntimeEndpoint": self.endpoint,
            "podLogsDir": f"{self.folder}/pods",
            "staticPodPath": str(self.manifests),
            **self.more,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))
        cluster = kubeconfig.Cluster(server=f"http://127.0.0.1:{self._port}")
        kubeconfig.write(
            self.folder / "kubelet.conf", kubeconfig.new("test", cluster, "kubelet", kubeconfig.User(token=TOKEN))
        )

    async def _healthy(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._healthz)
        except OSError:
            return False
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def process_node(
    folder: Path, containerd: OwnContainerd, endpoint: str = "", **more: object
) -> AsyncIterator[ProcessNode]:
    """A node with a running kubelet process; its Pods are ended after it. `more`: of the KubeletConfiguration."""
    made = ProcessNode(folder, containerd, endpoint)
    made.more = more
    async with serving(made):
        await made.open_api()
        try:
            await made.start_kubelet()
            yield made
        finally:
            await made.kill_kubelet()
            await made.cut_api()
