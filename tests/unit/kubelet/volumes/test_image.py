"""image: a view of an image for as long as the Pod has it, and not a moment less or more."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.pods import container

from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.cri.model import HostMount
from pybernetes.kubelet.images.references import ImageError
from pybernetes.kubelet.volume import VolumeError

pytestmark = pytest.mark.root

SOURCE = {"image": core_v1.ImageVolumeSource(reference="tools:1")}


class Views:
    """What a runtime would give: views of two folders."""

    def __init__(self, layers: list[Path], kind: str) -> None:
        self.layers, self.kind = layers, kind
        self.pulled: list[str] = []
        self.made: list[str] = []
        self.released: list[str] = []
        self.refuses: Exception | None = None

    async def pull(self, pod: core_v1.Pod, source: core_v1.ImageVolumeSource) -> str:
        if self.refuses is not None:
            raise self.refuses
        self.pulled.append(source.reference)
        return f"id of {source.reference}"

    async def view(self, image: str, key: str) -> HostMount:
        assert image == "id of tools:1"
        self.made.append(key)
        if self.kind == "bind":
            return HostMount("bind", str(self.layers[0]), ("ro", "rbind"))
        return HostMount(self.kind, "overlay", ("index=off", "lowerdir=" + ":".join(map(str, self.layers))))

    async def release(self, key: str) -> None:
        self.released.append(key)


@pytest.fixture
def views(one: Any, tmp_path: Path) -> Views:
    layers = [tmp_path / "upper:1", tmp_path / "lower"]
    for layer in layers:
        layer.mkdir()
        (layer / "name").write_text(layer.name)
    made = Views(layers, "bind")
    one.volumes.images = made
    return made


USING = container(volumeMounts=(core_v1.VolumeMount(name="v", mountPath="/v"),))


async def mounted(one: Any) -> Path:
    wanted = one.pod(SOURCE)
    await one.volumes.set_up(wanted)
    await one.volumes.pull(wanted, USING)
    return (await one.volumes.of(wanted, USING))["v"].path


async def test_the_volumes_root_is_the_images_for_everybody_to_look_into(one: Any, views: Views) -> None:
    views.layers[0].chmod(0o715)
    os.chown(views.layers[0], 7, 8)
    stat = (await mounted(one)).stat()
    assert (stat.st_mode & 0o777, stat.st_uid, stat.st_gid) == (0o715, 7, 8)


async def test_a_single_layer_is_shown_and_cannot_be_written(one: Any, views: Views) -> None:
    path = await mounted(one)
    assert (path / "name").read_text() == "upper:1"
    with pytest.raises(OSError, match="Read-only"):
        (path / "name").write_text("x")
    assert (views.layers[0] / "name").read_text() == "upper:1"


async def test_several_layers_are_shown_as_one(one: Any, views: Views) -> None:
    views.kind, views.layers = "overlay", [views.layers[1]] * 2
    views.layers[1] = views.layers[0].parent / "other"
    views.layers[1].mkdir()
    (views.layers[1] / "below").touch()
    assert sorted(p.name for p in (await mounted(one)).iterdir()) == ["below", "name"]


async def test_it_is_not_there_before_the_first_container(one: Any, views: Views) -> None:
    wanted = one.pod(SOURCE)
    await one.volumes.set_up(wanted)
    assert views.made == []
    await one.volumes.pull(wanted, container("other"))
    await one.volumes.of(wanted, container("other"))
    assert (views.pulled, views.made) == ([], [])
    for _ in range(2):
        await one.volumes.pull(wanted, USING)
        await one.volumes.of(wanted, USING)
    assert (views.pulled, views.made) == (["tools:1"] * 2, ["uid-1-v"])


async def test_the_view_goes_after_the_mount_also_for_a_kubelet_that_never_saw_it(one: Any, views: Views) -> None:
    path = await mounted(one)
    one.volumes._known.clear()
    await one.volumes.tear_down("uid-1")
    assert views.released == ["uid-1-v"]
    assert not mounts.is_mount(path)
    await one.volumes.tear_down("uid-1")
    assert views.released == ["uid-1-v"]


async def test_an_image_that_cannot_be_had_is_an_image_error(one: Any, views: Views) -> None:
    views.refuses = ImageError("ErrImagePull", "no such image")
    with pytest.raises(ImageError, match="no such image"):
        await mounted(one)


async def test_without_a_runtime_that_can_it_is_refused(one: Any, views: Views) -> None:
    one.volumes.images = None
    with pytest.raises(VolumeError, match="image volumes are not supported by the container runtime"):
        await mounted(one)
    one.volumes.images, views.kind = views, "zfs"
    with pytest.raises(VolumeError, match='images of the snapshotter "zfs" cannot be mounted'):
        await mounted(one)
