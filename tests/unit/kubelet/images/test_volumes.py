"""Images that are volumes."""

from tests.unit.kubelet.pods import pod

from pybernetes.api.types import core_v1
from pybernetes.kubelet.images.volumes import mounted_images


def test_images_of_volumes_are_known_by_their_full_names() -> None:
    references = ("tools", "10.0.0.1:5000/team/data:2", "no name")
    volumes = tuple(core_v1.Volume(name="v", image=core_v1.ImageVolumeSource(reference=r)) for r in references)
    found = list(mounted_images([pod(volumes=(*volumes, core_v1.Volume(name="e")))]))
    assert found == ["docker.io/library/tools:latest", "10.0.0.1:5000/team/data:2"]
