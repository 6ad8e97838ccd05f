"""The container runtime as kubeadm needs it: does it answer, has it the images; remove what a node leaves behind."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 5.0
STOP_SECONDS = 60.0
PULL_SECONDS = 300.0


class RuntimeFailedError(Exception):
    """The runtime does not answer; the text says why."""


def socket_path(endpoint: str) -> Path:
    """The path of `unix:///run/x.sock`, or of a bare path."""
    return Path(endpoint.removeprefix("unix://"))


def check(endpoint: str) -> None:
    """Raises RuntimeFailedError unless a container runtime answers CRI on the endpoint.

    Where gRPC is not installed (extra `node`), a socket that accepts is taken for an answer.
    """
    path = socket_path(endpoint)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_SECONDS)
        try:
            sock.connect(str(path))
        except OSError as error:
            why = error.strerror.lower() if error.strerror else str(error)
            raise RuntimeFailedError(f"dial unix {path}: connect: {why}") from error
    opened = _open(endpoint)
    if opened is None:
        return
    import grpc

    try:
        opened.service.Version(opened.messages.VersionRequest(), timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        text = f'validate CRI v1 runtime API for endpoint "{endpoint}": {_details(error)}'
        raise RuntimeFailedError(text) from error
    finally:
        opened.channel.close()


def ensure_image(endpoint: str, name: str) -> None:
    """Pulls an image unless it is there. Raises RuntimeFailedError. Without gRPC nothing can be said."""
    opened = _open(endpoint)
    if opened is None:
        return
    import grpc

    pb = opened.messages
    wanted = pb.ImageSpec(image=name)
    try:
        if not opened.images.ImageStatus(pb.ImageStatusRequest(image=wanted), timeout=TIMEOUT_SECONDS).HasField(
            "image"
        ):
            opened.images.PullImage(pb.PullImageRequest(image=wanted), timeout=PULL_SECONDS)
    except grpc.RpcError as error:
        raise RuntimeFailedError(_details(error)) from error
    finally:
        opened.channel.close()


def remove_pods(endpoint: str) -> int:
    """Stops and removes all Pods of the runtime; how many there were. Raises RuntimeFailedError."""
    check(endpoint)
    opened = _open(endpoint)
    if opened is None:
        raise RuntimeFailedError("gRPC is not installed (pip install 'pybernetes[node]')")
    import grpc

    pb = opened.messages
    try:
        pods = opened.service.ListPodSandbox(pb.ListPodSandboxRequest(), timeout=TIMEOUT_SECONDS).items
        # Those of the host's network last: the network's own agent is among them, and ends the networks of the others
        for pod in sorted(pods, key=lambda pod: _of_host(opened, pod.id)):
            opened.service.StopPodSandbox(pb.StopPodSandboxRequest(pod_sandbox_id=pod.id), timeout=STOP_SECONDS)
            opened.service.RemovePodSandbox(pb.RemovePodSandboxRequest(pod_sandbox_id=pod.id), timeout=STOP_SECONDS)
        return len(pods)
    except grpc.RpcError as error:
        raise RuntimeFailedError(_details(error)) from error
    finally:
        opened.channel.close()


def _of_host(opened: "_Opened", sandbox: str) -> bool:
    pb = opened.messages
    answer = opened.service.PodSandboxStatus(
        pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox), timeout=TIMEOUT_SECONDS
    )
    return bool(answer.status.linux.namespaces.options.network == pb.NamespaceMode.Value("NODE"))


@dataclass(frozen=True)
class _Opened:
    channel: Any
    service: Any
    images: Any
    messages: Any


def _open(endpoint: str) -> _Opened | None:
    try:
        import grpc
        from cri_api.v1 import api_pb2, api_pb2_grpc
    except ImportError:
        return None
    channel = grpc.insecure_channel(f"unix://{socket_path(endpoint)}")
    service = api_pb2_grpc.RuntimeServiceStub(channel)  # type: ignore[no-untyped-call] # generated code
    images = api_pb2_grpc.ImageServiceStub(channel)  # type: ignore[no-untyped-call]
    return _Opened(channel, service, images, api_pb2)


def _details(error: Any) -> str:
    details = getattr(error, "details", None)
    return str(details() if callable(details) else error)
