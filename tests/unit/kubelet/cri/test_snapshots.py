"""Views of images over containerd's own API."""

from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from pybernetes.kubelet.cri.fields import blocks, text
from pybernetes.kubelet.cri.model import HostMount, RuntimeRefused
from pybernetes.kubelet.cri.snapshots import Snapshots
from pybernetes.wire.codecs.varint import block

MOUNT = block(1, text(1, "bind") + text(2, "/layers/1/fs") + text(4, "ro") + text(4, "rbind"))


class Containerd:
    """Remembers snapshots; the stubs of CRI that are asked for names."""

    def __init__(self) -> None:
        self.snapshots: dict[str, tuple[str, bytes]] = {}
        self.fails: grpc.StatusCode | None = None
        self.info = {"info": '{"chainID": "sha256:chain"}'}

    def unary_unary(self, path: str, **_: Any) -> Any:
        async def call(request: bytes, timeout: float, metadata: Any) -> bytes:
            assert metadata == (("containerd-namespace", "k8s.io"),)
            if self.fails is not None:
                raise self._error(self.fails)
            found = {number: value.decode(errors="replace") for number, value in blocks(request)}
            assert found[1] == "native"
            name, key = path.rpartition("/")[2], found[2]
            if name == "View":
                if key in self.snapshots:
                    raise self._error(grpc.StatusCode.ALREADY_EXISTS)
                self.snapshots[key] = (found[3], dict(blocks(request))[4])
            elif key not in self.snapshots:
                raise self._error(grpc.StatusCode.NOT_FOUND)
            elif name == "Remove":
                del self.snapshots[key]
                return b""
            return MOUNT

        return call

    def _error(self, code: grpc.StatusCode) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "so it is")

    async def ImageStatus(self, request: Any, timeout: float) -> Any:  # noqa: N802 # CRI's name
        assert request.verbose
        return SimpleNamespace(info=self.info)

    async def Status(self, request: Any, timeout: float) -> Any:  # noqa: N802 # CRI's name
        return SimpleNamespace(info={"config": '{"containerd": {"snapshotter": "native"}}'})


async def test_a_view_is_made_once_of_the_images_top_layer_and_kept_from_collection() -> None:
    containerd = Containerd()
    views = Snapshots(containerd, containerd, containerd)  # type: ignore[arg-type] # as far as it is used
    made = [await views.view("sha256:image", "key", "2026-01-01T00:00:00Z") for _ in range(2)]
    assert made == [HostMount("bind", "/layers/1/fs", ("ro", "rbind"))] * 2
    chain, label = containerd.snapshots["key"]
    assert chain == "sha256:chain"
    assert dict(blocks(label)) == {1: b"containerd.io/gc.root", 2: b"2026-01-01T00:00:00Z"}
    await views.release("key")
    await views.release("key")
    assert containerd.snapshots == {}


async def test_a_runtime_without_snapshots_says_so() -> None:
    containerd = Containerd()
    views = Snapshots(containerd, containerd, containerd)  # type: ignore[arg-type] # as far as it is used
    containerd.fails = grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(RuntimeRefused, match="the container runtime mounts no images"):
        await views.view("sha256:image", "key", "now")
    containerd.info = {}
    with pytest.raises(RuntimeRefused, match="does not say what an image's layers are"):
        await views.view("sha256:image", "key", "now")
