"""One node in this process: the real API server on memory, the real kubelet, a containerd of its own. See _containerd.py.

The kubelet has its node's identity and no more, so that the Node authorizer and NodeRestriction are tried with it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from bench._containerd import IMAGE, OwnContainerd
from pybernetes.aio.clock import SystemClock
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key, User
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.podrules import ManifestRules
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.kernel import mounts
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.cri.events import EventSource
from pybernetes.kubelet.cri.model import RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.cri.runtime import CriRuntime
from pybernetes.kubelet.kubelet import Kubelet
from pybernetes.kubelet.settings import Settings
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import Request, Response

NODE = "n1"
_ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
KUBELET = User(f"system:node:{NODE}", groups=("system:nodes", "system:authenticated"))


class NodeUnderTest:
    """start_kubelet() and stop_kubelet() as often as wanted; Pods stay."""

    def __init__(
        self, folder: Path, containerd: OwnContainerd, tokens: Mapping[str, User] | None = None, **configured: Any
    ) -> None:
        self.folder = folder
        self.configured = configured
        """Fields of the KubeletConfiguration that a test wants otherwise."""
        self.manifests = folder / "manifests"
        self.manifests.mkdir(parents=True, exist_ok=True)
        self.containerd = containerd
        self.clock = SystemClock()
        config = Config(disable_admission=("ServiceAccount",), static_tokens=tokens or {})
        self.api = ApiServer(config, MemoryStore(), self.clock)
        self.runtime = CriRuntime(containerd.endpoint, self.clock)
        self.client = Client(direct(self.api.handler, _ADMIN), clock=self.clock)
        self.pods = self.client.of(core_v1.Pod)
        self.kubelet: Kubelet | None = None
        self.cut = False
        """The kubelet does not reach the API server."""
        self._task: asyncio.Task[None] | None = None
        self._send = direct(self.api.handler, KUBELET)

    async def _cable(self, request: Request) -> Response:
        if self.cut:
            raise ConnectionError("the network is cut")
        return await self._send(request)

    async def start_kubelet(self) -> Kubelet:
        """A new kubelet, as after a restart: it remembers nothing."""
        settings = Settings(
            node_name=NODE,
            node_ips=("127.0.0.1",),
            root=self.folder / "kubelet",
            config=Configuration(
                **{
                    "cgroup_root": self.containerd.cgroup.path,
                    "cluster_domain": "cluster.local",
                    "pod_logs_dir": str(self.folder / "pods"),
                    "serialize_image_pulls": False,
                    "static_pod_path": str(self.manifests),
                    **self.configured,
                }
            ),
        )
        client = Client(self._cable, clock=self.clock, user_agent="kubelet")
        events = EventSource(self.containerd.endpoint)
        self.kubelet = Kubelet(settings, self.runtime, client, events=events)
        self.kubelet.read_manifests(ManifestRules())
        self._task = asyncio.create_task(self.kubelet.run(), name="kubelet")
        if not self.cut:
            await self.kubelet.node.registered.wait()
        return self.kubelet

    async def stop_kubelet(self) -> None:
        """Its end as by a signal: nothing is cleaned."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def create(self, name: str, *command: str, **spec: object) -> core_v1.Pod:
        """A Pod of one container on the host's network; `spec` is more of its PodSpec."""
        one = core_v1.Container(name="c", image=IMAGE, command=command or ("sleep", "1000"))
        fields: dict[str, object] = {
            "nodeName": NODE,
            "hostNetwork": True,
            "terminationGracePeriodSeconds": 1,
            "containers": (one,),
            **spec,
        }
        meta = meta_v1.ObjectMeta(name=name, namespace="default")
        return await self.pods.create(core_v1.Pod(metadata=meta, spec=core_v1.PodSpec(**fields)))  # type: ignore[arg-type] # fields by name

    async def get(self, name: str) -> core_v1.Pod | None:
        """The Pod as the API has it; None where it has gone."""
        try:
            return await self.pods.get(Key("default", name))
        except NotFound:
            return None

    async def emptied(self, timeout: float = 60.0) -> None:
        """Waits for the world outside until the runtime knows no Pod any more."""
        async with asyncio.timeout(timeout):
            while True:
                if not await self.runtime.sandboxes():
                    return
                await asyncio.sleep(0.05)

    async def until(self, name: str, holds: Callable[[core_v1.Pod | None], bool], timeout: float = 20.0) -> core_v1.Pod:
        """Waits for the world outside until something holds of the Pod, which it returns."""
        pod: core_v1.Pod | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    pod = await self.get(name)
                    if holds(pod):
                        return pod or core_v1.Pod()
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"not within {timeout} s: {pod.status if pod else 'gone'}") from None


def running(pod: core_v1.Pod | None) -> bool:
    """Ready, and seen so by the API."""
    return pod is not None and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def gone(pod: core_v1.Pod | None) -> bool:
    """No longer in the API."""
    return pod is None


@contextlib.asynccontextmanager
async def node(folder: Path, containerd: OwnContainerd, **configured: Any) -> AsyncIterator[NodeUnderTest]:
    """A node with a running kubelet; its Pods are ended after it. `configured` is of its KubeletConfiguration."""
    made = NodeUnderTest(folder, containerd, **configured)
    async with serving(made):
        await made.start_kubelet()
        try:
            yield made
        finally:
            await made.stop_kubelet()


@contextlib.asynccontextmanager
async def serving(made: NodeUnderTest) -> AsyncIterator[None]:
    """The node's API server runs; afterwards nothing is left of its Pods, whose kubelet must have ended."""
    server = asyncio.create_task(made.api.run(), name="apiserver")
    try:
        await made.api.ready.wait()
        yield
    finally:
        try:
            await _remove_all(made.runtime)
        finally:
            mounts.unmount_below(made.folder)  # volumes of Pods that were there to the end
            await made.runtime.close()
            server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server


def raw_pod(made: NodeUnderTest, name: str, command: tuple[str, ...]) -> tuple[m.SandboxSpec, m.ContainerSpec]:
    """A Pod of one container for calls of CRI without a kubelet; its logs lie under `raw` in the node's folder."""
    ref = m.PodRef("raw", name, f"{name}-uid")
    labels = {m.POD_NAME: name, m.POD_NAMESPACE: "raw"}
    logs = made.folder / "raw" / name
    (logs / "c").mkdir(parents=True, exist_ok=True)
    sandbox = m.SandboxSpec(
        pod=ref,
        attempt=0,
        hostname=name,
        log_directory=str(logs),
        cgroup_parent=f"/{made.containerd.cgroup.path}/raw/{name}",
        labels=labels,
        annotations={},
        host_network=True,
    )
    container = m.ContainerSpec(
        name="c",
        attempt=0,
        image=IMAGE,
        command=command,
        args=(),
        working_dir="",
        envs=(),
        mounts=(),
        labels=labels,
        annotations={},
        log_path="c/0.log",
        stdin=False,
        stdin_once=False,
        tty=False,
        resources=m.Resources(),
        security=m.Security(),
    )
    return sandbox, container


async def _remove_all(runtime: CriRuntime) -> None:
    """A start that was cut off in the middle refuses removal for a moment; a runtime that was just started is found late."""
    for _ in range(100):
        with contextlib.suppress(RuntimeRefused, RuntimeUnavailable):
            for sandbox in await runtime.sandboxes():
                await runtime.stop_sandbox(sandbox.id)
                await runtime.remove_sandbox(sandbox.id)
            if not await runtime.sandboxes():
                return
        await asyncio.sleep(0.1)
    raise TimeoutError("sandboxes cannot be removed")
