"""Volumes of images: upstream's common/node/image_volume.go."""

import pytest
from tests.node.conformance.pods import TOOLS, container, mount, pod


@pytest.mark.xfail(
    reason="containerd 1.6 mounts no images: they come with CRI of 1.31 and containerd 2.1", strict=False
)
@pytest.mark.conformance(
    "[sig-node] ImageVolume should succeed with pod and pull policy of Always [LinuxOnly] [MinimumKubeletVersion:1.35] "
    "[Conformance]"
)
async def test_the_files_of_an_image_are_a_volume(space):
    shown = {"name": "v", "image": {"reference": TOOLS, "pullPolicy": "Always"}}
    one = container("cat", "/volume/image-content/content", volumeMounts=[mount("/volume")])
    assert await space.output(pod("reader", one, volumes=[shown])) == "from an image\n"
