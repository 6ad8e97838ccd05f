"""Read-only views of images through containerd's own API, on the same socket: CRI before containerd 1.8 mounts no images.

A view is a snapshot on top of an image's layers. Its label makes it a root of containerd's garbage collection, so it and
its layers stay until release(). Next stop: images/volumes.py.
"""

import json
from typing import Any

import grpc
import grpc.aio
from cri_api.v1 import api_pb2 as pb

from pybernetes.kubelet.cri.fields import blocks, text
from pybernetes.kubelet.cri.model import HostMount, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.cri.own_api import ask
from pybernetes.wire.codecs.varint import block

_SERVICE = "/containerd.services.snapshots.v1.Snapshots/"
_ROOT = "containerd.io/gc.root"
_TIMEOUT = 30.0


class Snapshots:
    """Views by key. `cri_images` and `cri_pods` are CRI's stubs on the channel."""

    def __init__(self, channel: grpc.aio.Channel, cri_images: Any, cri_pods: Any) -> None:
        self._channel = channel
        self._images = cri_images
        self._pods = cri_pods
        self._snapshotter = ""

    async def view(self, image: str, key: str, now: str) -> HostMount:
        """Makes the view of an image that is here, or finds it: how it is mounted. Raises RuntimeRefused."""
        try:
            kind = await self._kind()
            label = block(4, text(1, _ROOT) + text(2, now))
            asked = text(1, kind) + text(2, key)
            try:
                answer = await self._call("View", asked + text(3, await self._chain(image)) + label)
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                    raise
                answer = await self._call("Mounts", asked)
        except grpc.aio.AioRpcError as error:
            raise _told(error) from None
        (mount,) = [value for number, value in blocks(answer) if number == 1]
        return _mount(mount)

    async def release(self, key: str) -> None:
        """Takes a view away. Gone already is fine. Raises RuntimeRefused, RuntimeUnavailable."""
        try:
            await self._call("Remove", text(1, await self._kind()) + text(2, key))
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise _told(error) from None

    async def _chain(self, image: str) -> str:
        """The name of an image's topmost layer."""
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=image), verbose=True)
        said = await self._images.ImageStatus(request, timeout=_TIMEOUT)
        chain = json.loads(said.info.get("info", "{}")).get("chainID", "")
        if not chain:
            raise RuntimeRefused("UNIMPLEMENTED", "the container runtime does not say what an image's layers are")
        return str(chain)

    async def _kind(self) -> str:
        """Which snapshotter CRI uses."""
        if not self._snapshotter:
            said = await self._pods.Status(pb.StatusRequest(verbose=True), timeout=_TIMEOUT)
            config = json.loads(said.info.get("config", "{}"))
            self._snapshotter = str((config.get("containerd") or {}).get("snapshotter") or "overlayfs")
        return self._snapshotter

    async def _call(self, method: str, request: bytes) -> bytes:
        return await ask(self._channel, _SERVICE + method, request)


def _mount(message: bytes) -> HostMount:
    """containerd.types.Mount: 1 type, 2 source, 4 options."""
    found = blocks(message)
    one = {number: value.decode() for number, value in found}
    return HostMount(one.get(1, ""), one.get(2, ""), tuple(value.decode() for number, value in found if number == 4))


def _told(error: grpc.aio.AioRpcError) -> Exception:
    code, details = error.code(), error.details() or ""
    if code == grpc.StatusCode.UNAVAILABLE:
        return RuntimeUnavailable(f"container runtime is not answering: {details}")
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return RuntimeRefused(code.name, "the container runtime mounts no images")
    return RuntimeRefused(code.name, details)
