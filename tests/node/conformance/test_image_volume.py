"""Volumes of images: upstream's common/node/image_volume.go, and what else they promise."""

import pytest
from tests.node.conformance.place import statuses
from tests.node.conformance.pods import TOOLS, container, mount, pod, shell

DATA = "conformance/data:1"
"""Of one layer only, without a program."""


def _image(reference: str, policy: str = "Always") -> list[dict]:
    return [{"name": "v", "image": {"reference": reference, "pullPolicy": policy}}]


@pytest.mark.conformance(
    "[sig-node] ImageVolume should succeed with pod and pull policy of Always [LinuxOnly] [MinimumKubeletVersion:1.35] "
    "[Conformance]"
)
async def test_the_files_of_an_image_are_a_volume(space):
    one = container("cat", "/volume/image-content/content", volumeMounts=[mount("/volume")])
    assert await space.output(pod("reader", one, volumes=_image(TOOLS))) == "from an image\n"


async def test_an_image_needs_no_program_to_be_a_volume_and_is_read_only(space):
    script = "cat /v/folder/file /part/file; touch /v/x 2>&1; touch /part/x 2>&1; true"
    one = shell(script, volumeMounts=[mount("/v"), mount("/part", subPath="folder")])
    printed = await space.output(pod("reader", one, volumes=_image(DATA)))
    assert printed.count("from a scratch image\n") == 2
    assert printed.count("Read-only file system") == 2


@pytest.mark.conformance("[sig-node] ImageVolume should fail if image volume is not existing [LinuxOnly]")
async def test_a_container_waits_for_an_image_that_its_volume_lacks(space):
    await space.create("pods", pod("never", container(volumeMounts=[mount("/v")]), volumes=_image("absent:1", "Never")))
    found = await space.until("never", lambda p: "ErrImageNeverPull" in str(statuses(p)))
    waiting = statuses(found)["c"]["state"]["waiting"]
    assert waiting["reason"] == "ErrImageNeverPull"
    assert 'Container image "absent:1" is not present with pull policy of Never' in waiting["message"]
    assert found["status"]["phase"] == "Pending"
