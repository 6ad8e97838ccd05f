"""Gathers what a Pod's sandbox and containers are made from: files, environment, image, RuntimeClass.

specs/ then makes the runtime's request of it, without reading anything itself. executor.py sends the requests.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.environment import ConfigError, Environment
from pybernetes.kubelet.images.puller import Puller
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.sources import Sources
from pybernetes.kubelet.specs.container import Making, container_spec
from pybernetes.kubelet.specs.dns import Dns, dns
from pybernetes.kubelet.specs.hosts import hosts_file
from pybernetes.kubelet.specs.mounts import volume_mounts
from pybernetes.kubelet.specs.names import log_folder
from pybernetes.kubelet.specs.sandbox import check_handler, sandbox_spec
from pybernetes.kubelet.specs.security import check_not_root
from pybernetes.kubelet.volume_manager import Volumes

_MOST_IMAGES = 1000


@dataclass(frozen=True)
class Stores:
    """Where things are."""

    sources: Sources
    puller: Puller
    volumes: Volumes
    cgroups: PodCgroups
    node: Callable[[], Facts]
    handlers: Callable[[], Iterable[m.Handler]]
    """What the runtime's handlers can."""


class Maker:
    """Makes the requests of one node's Pods."""

    def __init__(self, stores: Stores, settings: Settings) -> None:
        self._stores = stores
        self._settings = settings
        self._images: dict[str, m.Image] = {}

    async def sandbox(self, pod: core_v1.Pod, attempt: int) -> tuple[m.SandboxSpec, Dns]:
        """For RunPodSandbox, and the DNS of it with its warnings. Raises ConfigError, OSError, ApiError."""
        name = self._handler(pod)
        known = {handler.name: handler for handler in self._stores.handlers()}
        check_handler(pod, known.get(name, m.Handler(name)))
        found = await self._dns(pod)
        return self._sandbox(pod, attempt, found, name), found

    async def same_sandbox(self, pod: core_v1.Pod, attempt: int) -> m.SandboxSpec:
        """Of a sandbox that runs, for the making of its containers. Raises ConfigError, OSError."""
        return self._sandbox(pod, attempt, await self._dns(pod), "")

    async def container(
        self, pod: core_v1.Pod, container: core_v1.Container, action: act.CreateContainer, place: "Place"
    ) -> m.ContainerSpec:
        """For CreateContainer. Raises ConfigError, VolumeError, ApiError, OSError."""
        inspected = await self._inspect(place.image)
        check_not_root(pod, container, inspected)
        ips = self._settings.node_ips if pod.spec.hostNetwork else place.sandbox.ips
        volumes = await self._stores.volumes.of(pod, container)
        paths = {name: volume.path for name, volume in volumes.items()}
        environment = Environment(pod, ips, self._stores.node(), self._stores.sources, paths)
        env = await environment.of(container)
        if any("status.podIP" in repr(v) for v in pod.spec.volumes if v.downwardAPI or v.projected):
            await self._stores.volumes.refresh(pod, ips)
        hosts, message = await asyncio.to_thread(self._files, pod, container.name, action.attempt, ips)
        folder = self._stores.volumes.pod_folder(pod.metadata.uid)
        mounts = await asyncio.to_thread(volume_mounts, container, volumes, env, folder)
        return container_spec(
            Making(
                pod=pod,
                container=container,
                attempt=action.attempt,
                delay=action.delay,
                image=place.image,
                inspected=inspected,
                environment=env,
                mounts=mounts,
                hosts=hosts,
                message_file=message,
                settings=self._settings,
                target=target_of(pod, container.name, place.runs),
            )
        )

    # -- what they are made from ---------------------------------------------------------------------------------------

    def _sandbox(self, pod: core_v1.Pod, attempt: int, found: Dns, handler: str) -> m.SandboxSpec:
        cgroup = self._stores.cgroups.parent(pod)
        return sandbox_spec(pod, attempt, self._settings, cgroup=cgroup, dns=found, handler=handler)

    async def _dns(self, pod: core_v1.Pod) -> Dns:
        file = self._settings.config.resolv_conf
        try:
            text = await asyncio.to_thread(Path(file).read_text) if file else ""
        except FileNotFoundError:
            raise ConfigError(f"open {file}: no such file or directory") from None
        return dns(pod, self._settings, text)

    def _handler(self, pod: core_v1.Pod) -> str:
        name = pod.spec.runtimeClassName
        if not name:
            return ""
        try:
            return self._stores.sources.runtime_class(name).handler
        except ApiError as error:
            raise ConfigError(error.message) from None

    async def _inspect(self, image: str) -> m.Image | None:
        """By id, so it never changes."""
        if image not in self._images:
            found = await self._stores.puller.inspect(image)
            if found is None:
                return None
            if len(self._images) >= _MOST_IMAGES:
                self._images.clear()
            self._images[image] = found
        return self._images[image]

    def _files(self, pod: core_v1.Pod, name: str, attempt: int, ips: tuple[str, ...]) -> tuple[Path, Path]:
        """Writes /etc/hosts and an empty termination message; makes the log's folder."""
        (log_folder(self._settings, pod) / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        folder = self._stores.volumes.pod_folder(pod.metadata.uid)
        hosts = folder / "etc-hosts"
        hosts.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        own = _read(Path("/etc/hosts")) if pod.spec.hostNetwork else ""
        hosts.write_text(hosts_file(pod, ips, self._settings.config.cluster_domain, own))
        hosts.chmod(0o644)
        message = message_file(folder, name, attempt)
        message.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        message.write_bytes(b"")
        message.chmod(0o666)
        return hosts, message


@dataclass(frozen=True)
class Place:
    """Where a container comes to be: the id of its image, its sandbox, and what else runs in the Pod."""

    image: str
    sandbox: m.Sandbox
    runs: Iterable[m.Container]


def target_of(pod: core_v1.Pod, name: str, runs: Iterable[m.Container]) -> str:
    """The id of the container whose processes an ephemeral one sees; empty for all others. Raises ConfigError."""
    wanted = next((c.targetContainerName for c in pod.spec.ephemeralContainers if c.name == name), "")
    if not wanted:
        return ""
    found = next((run.id for run in runs if run.name == wanted), "")
    if not found:
        raise ConfigError(f"unable to find target container {wanted}")
    return found


def message_file(folder: Path, container: str, attempt: int) -> Path:
    """Where a run's termination message is on the node."""
    return folder / "containers" / container / str(attempt)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
