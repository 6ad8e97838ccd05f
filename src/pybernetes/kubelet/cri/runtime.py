"""CRI over gRPC on a unix socket: the Runtime of containerd and others. events.py has containerd's event stream."""

import asyncio
import logging
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import msgspec
from cri_api.v1 import api_pb2 as pb
from cri_api.v1 import api_pb2_grpc as pbg
from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.cri.messages import container_config, linux_resources, sandbox_config
from pybernetes.kubelet.cri.snapshots import Snapshots
from pybernetes.kubelet.cri.tasks import Tasks, kept_task

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_TIMEOUT = 120.0
"""Seconds of an ordinary call: `--runtime-request-timeout` of upstream."""
PULL_TIMEOUT = 1800.0
_NANO = 1_000_000_000
_MESSAGE_LIMIT = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
    # A runtime that was killed is back within a second; gRPC would wait up to two minutes before it looks again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def channel(endpoint: str) -> grpc.aio.Channel:
    """A channel to `unix:///run/containerd/containerd.sock`, or to a bare path."""
    return grpc.aio.insecure_channel("unix:" + socket_path(endpoint), options=_OPTIONS)


def socket_path(endpoint: str) -> str:
    """The path in an endpoint. Raises ValueError where it is no unix socket."""
    scheme, found, rest = endpoint.partition("://")
    if not found:
        return endpoint
    if scheme != "unix":
        raise ValueError(f"container runtime endpoint {endpoint!r} is not a unix socket")
    return rest


async def _ask(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        code, details = error.code(), error.details() or ""
        if code == grpc.StatusCode.UNAVAILABLE:
            raise m.RuntimeUnavailable(f"container runtime is not answering: {details}") from None
        raise m.RuntimeRefused(code.name, details) from None


async def _gone_is_fine(call: Awaitable[Any]) -> None:
    try:
        await _ask(call)
    except m.RuntimeRefused as refused:
        if refused.code != "NOT_FOUND" and "not found" not in refused.message:
            raise


class _Counted:
    """A stub whose calls are counted, and how long they take."""

    def __init__(self, stub: object) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._stub, name)
        operation = "_".join(re.findall("[A-Z][a-z]*", name)).lower().replace("pod_sandbox", "podsandbox")
        now = asyncio.get_running_loop().time

        async def call(request: object, timeout: float | None) -> Any:
            began = now()
            metrics.RUNTIME_OPERATIONS.add(operation)
            try:
                return await method(request, timeout=timeout)
            except grpc.aio.AioRpcError:
                metrics.RUNTIME_ERRORS.add(operation)
                raise
            finally:
                metrics.RUNTIME_SECONDS.observe(now() - began, operation)

        setattr(self, name, call)
        return call


class CriRuntime:
    """A CRI v1 runtime on a unix socket; reconnects by itself. `close()` when done."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._channel = channel(endpoint)
        self._pods = _Counted(pbg.RuntimeServiceStub(self._channel))  # type: ignore[no-untyped-call]  # generated
        self._images = _Counted(pbg.ImageServiceStub(self._channel))  # type: ignore[no-untyped-call]  # generated
        self._views = Snapshots(self._channel, self._images, self._pods)
        self._tasks = Tasks(self._channel)
        self._detailed: dict[tuple[str, m.State], m.Container] = {}
        self._addresses: dict[tuple[str, bool], tuple[str, ...]] = {}

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close(None)

    def pid(self) -> int | None:
        """The process that serves the socket. Blocking."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.settimeout(1.0)
                probe.connect(socket_path(self.endpoint))
                pid = int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
            except OSError:
                return None
        return pid or None

    async def view(self, image: str, key: str, now: str) -> m.HostMount:
        return await self._views.view(image, key, now)

    async def release(self, key: str) -> None:
        await self._views.release(key)

    async def version(self) -> m.Version:
        said = await _ask(self._pods.Version(pb.VersionRequest(), timeout=5))
        return m.Version(said.runtime_name, said.runtime_version.removeprefix("v"), said.runtime_api_version)

    async def status(self) -> m.RuntimeStatus:
        said = await _ask(self._pods.Status(pb.StatusRequest(), timeout=CALL_TIMEOUT))
        found = {c.type: c for c in said.status.conditions}
        runtime, network = found.get("RuntimeReady"), found.get("NetworkReady")
        return m.RuntimeStatus(
            ready=bool(runtime and runtime.status),
            ready_message=runtime.message if runtime else "",
            network_ready=bool(network and network.status),
            network_reason=network.reason if network else "",
            network_message=network.message if network else "",
            handlers=tuple(
                m.Handler(h.name, h.features.recursive_read_only_mounts, h.features.user_namespaces)
                for h in said.runtime_handlers
            ),
            groups_policy=said.features.supplemental_groups_policy,
        )

    async def sandboxes(self, uid: str = "") -> Sequence[m.Sandbox]:
        """Sandboxes of one Pod (or all that carry a Pod's labels), newest first."""
        wanted = pb.PodSandboxFilter(label_selector={m.POD_UID: uid} if uid else {})
        said = await _ask(self._pods.ListPodSandbox(pb.ListPodSandboxRequest(filter=wanted), timeout=CALL_TIMEOUT))
        found = [
            m.Sandbox(
                id=item.id,
                pod=_pod_of(item.labels, item.metadata.uid),
                attempt=item.metadata.attempt,
                ready=item.state == pb.SANDBOX_READY,
                created=item.created_at / _NANO,
                ips=await self._sandbox_ips(item.id, item.state == pb.SANDBOX_READY) if uid else (),
            )
            for item in said.items
        ]
        return sorted(found, key=lambda s: -s.created)

    async def _sandbox_ips(self, sandbox: str, ready: bool) -> tuple[str, ...]:
        key = (sandbox, ready)
        if key not in self._addresses:
            try:
                said = await _ask(
                    self._pods.PodSandboxStatus(
                        pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox), timeout=CALL_TIMEOUT
                    )
                )
            except m.RuntimeRefused:
                return ()
            network = said.status.network
            ips = (network.ip, *(extra.ip for extra in network.additional_ips)) if network.ip else ()
            self._addresses[key] = ips
        return self._addresses[key]

    async def containers(self, uid: str = "") -> Sequence[m.Container]:
        """Containers of one Pod with all details (each state of one is asked for once), or all of them without."""
        wanted = pb.ContainerFilter(label_selector={m.POD_UID: uid} if uid else {})
        said = await _ask(self._pods.ListContainers(pb.ListContainersRequest(filter=wanted), timeout=CALL_TIMEOUT))
        found = []
        for item in said.containers:
            brief = _brief(item)
            detailed = await self._details(brief) if uid else brief
            if detailed is not None:
                found.append(detailed)
        return sorted(found, key=lambda c: (c.name, -c.attempt, -c.created))

    async def sandbox(self, known: m.Sandbox) -> m.Sandbox | None:
        """A sandbox that was just made, with its addresses."""
        return replace(known, ips=await self._sandbox_ips(known.id, known.ready))

    async def container(self, known: m.Container) -> m.Container | None:
        """A container as it is now; None where it is gone."""
        self._detailed.pop((known.id, m.State.UNKNOWN), None)
        return await self._details(replace(known, state=m.State.UNKNOWN))

    async def _details(self, brief: m.Container) -> m.Container | None:
        known = self._detailed.get((brief.id, brief.state))
        if known is not None:
            return known
        request = pb.ContainerStatusRequest(container_id=brief.id)
        try:
            s = (await _ask(self._pods.ContainerStatus(request, timeout=CALL_TIMEOUT))).status
        except m.RuntimeRefused as refused:
            if refused.code == "NOT_FOUND":
                return None
            raise
        if s.reason == "StartError" and "context canceled" in s.message:  # who called for it was killed: it never ran
            await self.remove_container(brief.id)
            return None
        detailed = m.Container(
            id=brief.id,
            sandbox=brief.sandbox,
            pod=brief.pod,
            name=brief.name,
            attempt=brief.attempt,
            state=m.State(s.state),
            created=s.created_at / _NANO,
            started=s.started_at / _NANO,
            finished=s.finished_at / _NANO,
            exit_code=s.exit_code,
            reason=s.reason,
            message=s.message,
            image=s.image.image,
            image_ref=s.image_ref,
            log_path=s.log_path,
            restart_delay=brief.restart_delay,
            annotations=dict(s.annotations),
            user=_user(s.user),
            stop_signal=pb.Signal.Name(s.stop_signal) if s.stop_signal else "",
        )
        failed = detailed.exit_code != 0 and detailed.reason != m.OOM_KILLED
        if not failed or detailed.finished < self._clock.now() - m.OOM_HEARD:  # until then it may yet hear why
            self._detailed[(brief.id, detailed.state)] = detailed
        return detailed

    async def run_sandbox(self, spec: m.SandboxSpec) -> str:
        request = pb.RunPodSandboxRequest(config=sandbox_config(spec), runtime_handler=spec.runtime_handler)
        return str((await _ask(self._pods.RunPodSandbox(request, timeout=2 * CALL_TIMEOUT))).pod_sandbox_id)

    async def stop_sandbox(self, sandbox: str) -> None:
        await _gone_is_fine(
            self._pods.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=sandbox), timeout=CALL_TIMEOUT)
        )

    async def remove_sandbox(self, sandbox: str) -> None:
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
        await self._remove(lambda: self._pods.RemovePodSandbox(request, timeout=CALL_TIMEOUT))
        for ready in (True, False):
            self._addresses.pop((sandbox, ready), None)
        # Its containers have gone with it.
        self._detailed = {key: seen for key, seen in self._detailed.items() if seen.sandbox != sandbox}

    async def create_container(self, sandbox: str, spec: m.ContainerSpec, pod: m.SandboxSpec) -> str:
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox, config=container_config(spec, pod), sandbox_config=sandbox_config(pod)
        )
        return str((await _ask(self._pods.CreateContainer(request, timeout=CALL_TIMEOUT))).container_id)

    async def start_container(self, container: str) -> None:
        await _ask(self._pods.StartContainer(pb.StartContainerRequest(container_id=container), timeout=CALL_TIMEOUT))

    async def update_container(self, container: str, resources: m.Resources) -> None:
        limits = linux_resources(resources)
        if not resources.cpu_quota:
            limits.cpu_quota = -1  # nothing said would leave the old one
        request = pb.UpdateContainerResourcesRequest(container_id=container, linux=limits)
        await _ask(self._pods.UpdateContainerResources(request, timeout=CALL_TIMEOUT))

    async def stop_container(self, container: str, grace: float) -> None:
        request = pb.StopContainerRequest(container_id=container, timeout=round(grace))
        await _gone_is_fine(self._pods.StopContainer(request, timeout=grace + CALL_TIMEOUT))

    async def remove_container(self, container: str) -> None:
        request = pb.RemoveContainerRequest(container_id=container)
        await self._remove(lambda: self._pods.RemoveContainer(request, timeout=CALL_TIMEOUT))
        for state in m.State:
            self._detailed.pop((container, state), None)

    async def _remove(self, call: Callable[[], Awaitable[Any]]) -> None:
        """As often as another task is in its way: a sandbox may have several containers with one."""
        ended = set[str]()
        while True:
            try:
                return await _gone_is_fine(call())
            except m.RuntimeRefused as refused:
                task = kept_task(refused)
                if not task or task in ended:
                    raise
                ended.add(task)
                await self._tasks.end(task)

    async def exec(self, container: str, command: Sequence[str], timeout: float) -> m.ExecResult:
        """Runs a command to its end. `timeout` in seconds, 0 for none; raises RuntimeRefused DEADLINE_EXCEEDED."""
        request = pb.ExecSyncRequest(container_id=container, cmd=command, timeout=round(timeout))
        said = await _ask(self._pods.ExecSync(request, timeout=timeout + 5 if timeout else None))
        return m.ExecResult(said.exit_code, said.stdout, said.stderr)

    async def image(self, name: str) -> m.Image | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=name))
        said = await _ask(self._images.ImageStatus(request, timeout=CALL_TIMEOUT))
        return _image(said.image) if said.HasField("image") else None

    async def images(self) -> Sequence[m.Image]:
        said = await _ask(self._images.ListImages(pb.ListImagesRequest(), timeout=CALL_TIMEOUT))
        return [_image(item) for item in said.images]

    async def pull(self, name: str, credentials: m.Credentials | None) -> str:
        auth = None
        if credentials is not None:
            auth = pb.AuthConfig(
                username=credentials.username,
                password=credentials.password,
                server_address=credentials.server,
                identity_token=credentials.identity_token,
                registry_token=credentials.registry_token,
            )
        request = pb.PullImageRequest(image=pb.ImageSpec(image=name), auth=auth)
        return str((await _ask(self._images.PullImage(request, timeout=PULL_TIMEOUT))).image_ref)

    async def exec_url(self, container: str, command: Sequence[str], streams: m.StreamOptions) -> str:
        request = pb.ExecRequest(
            container_id=container,
            cmd=command,
            tty=streams.tty,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
        return str((await _ask(self._pods.Exec(request, timeout=CALL_TIMEOUT))).url)

    async def attach_url(self, container: str, streams: m.StreamOptions) -> str:
        request = pb.AttachRequest(
            container_id=container,
            tty=streams.tty,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
        return str((await _ask(self._pods.Attach(request, timeout=CALL_TIMEOUT))).url)

    async def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str:
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox, port=ports)
        return str((await _ask(self._pods.PortForward(request, timeout=CALL_TIMEOUT))).url)

    async def checkpoint(self, container: str, location: str, timeout: int) -> None:
        request = pb.CheckpointContainerRequest(container_id=container, location=location, timeout=timeout)
        await _ask(self._pods.CheckpointContainer(request, timeout=timeout if timeout > 0 else CALL_TIMEOUT))

    async def reopen_log(self, container: str) -> None:
        await _ask(
            self._pods.ReopenContainerLog(pb.ReopenContainerLogRequest(container_id=container), timeout=CALL_TIMEOUT)
        )

    async def image_folder(self) -> str:
        said = await _ask(self._images.ImageFsInfo(pb.ImageFsInfoRequest(), timeout=CALL_TIMEOUT))
        return next((str(found.fs_id.mountpoint) for found in said.image_filesystems), "")

    async def layers(self, uid: str) -> Mapping[str, m.Layer]:
        wanted = pb.ContainerStatsFilter(label_selector={m.POD_UID: uid} if uid else {})
        request = pb.ListContainerStatsRequest(filter=wanted)
        said = await _ask(self._pods.ListContainerStats(request, timeout=CALL_TIMEOUT))
        found = ((one.attributes.id, one.writable_layer) for one in said.stats)
        return {id: m.Layer(layer.used_bytes.value, layer.inodes_used.value) for id, layer in found}

    async def used_images(self) -> frozenset[str]:
        said = await _ask(self._pods.ListContainers(pb.ListContainersRequest(), timeout=CALL_TIMEOUT))
        names = {name for item in said.containers for name in (item.image.image, item.image_ref, item.image_id)}
        status = await _ask(self._pods.Status(pb.StatusRequest(verbose=True), timeout=CALL_TIMEOUT))
        names.add(_config_of(status).sandboxImage)
        return frozenset(names - {""})

    async def network_folder(self) -> str:
        return _config_of(
            await _ask(self._pods.Status(pb.StatusRequest(verbose=True), timeout=CALL_TIMEOUT))
        ).cni.confDir

    async def remove_image(self, id: str) -> None:
        request = pb.RemoveImageRequest(image=pb.ImageSpec(image=id))
        await _gone_is_fine(self._images.RemoveImage(request, timeout=CALL_TIMEOUT))


class _NetworkConfig(msgspec.Struct):
    confDir: str = ""  # noqa: N815  # containerd's name


class _RuntimeConfig(msgspec.Struct):
    sandboxImage: str = ""  # noqa: N815  # containerd's name
    cni: _NetworkConfig = msgspec.field(default_factory=_NetworkConfig)


def _config_of(status: Any) -> _RuntimeConfig:
    """Containerd's own description of its configuration; empty of another runtime."""
    try:
        return msgspec.json.decode(status.info.get("config", ""), type=_RuntimeConfig)
    except msgspec.DecodeError:
        return _RuntimeConfig()


def socket_exists(endpoint: str) -> bool:
    """Whether the socket's file is there; somebody may still not listen."""
    return Path(socket_path(endpoint)).exists()


def _pod_of(labels: Mapping[str, str], uid: str = "") -> m.PodRef:
    return m.PodRef(labels.get(m.POD_NAMESPACE, ""), labels.get(m.POD_NAME, ""), labels.get(m.POD_UID, uid))


def _brief(item: Any) -> m.Container:
    return m.Container(
        id=item.id,
        sandbox=item.pod_sandbox_id,
        pod=_pod_of(item.labels),
        name=item.labels.get(m.CONTAINER_NAME, item.metadata.name),
        attempt=item.metadata.attempt,
        state=m.State(item.state),
        created=item.created_at / _NANO,
        restart_delay=float(item.annotations.get(m.RESTART_DELAY, 0)),
    )


def _image(item: Any) -> m.Image:
    return m.Image(
        id=item.id,
        tags=tuple(item.repo_tags),
        digests=tuple(item.repo_digests),
        size=item.size,
        user=item.username,
        uid=item.uid.value if item.HasField("uid") else None,
        pinned=item.pinned,
    )


def _user(said: Any) -> m.User | None:
    """Runtimes before CRI's field `user` leave it out."""
    if not said.HasField("linux"):
        return None
    return m.User(said.linux.uid, said.linux.gid, tuple(said.linux.supplemental_groups))
