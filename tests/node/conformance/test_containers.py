"""Entrypoint and arguments: upstream's test/e2e/common/node/containers.go. The image prints its words, each in brackets."""

import pytest
from tests.node.conformance.place import Space
from tests.node.conformance.pods import DEFAULTS, pod


async def _prints(space: Space, **fields: object) -> str:
    return await space.output(pod("p", {"name": "c", "image": DEFAULTS, **fields}))


@pytest.mark.conformance(
    "[sig-node] Docker Containers should use the image defaults if command and args are blank "
    "[NodeConformance] [Conformance]"
)
async def test_an_image_runs_with_its_own_entrypoint_and_arguments(space):
    assert await _prints(space) == "[default][arguments]"


@pytest.mark.conformance(
    "[sig-node] Docker Containers should be able to override the image's default arguments (docker cmd) "
    "[NodeConformance] [Conformance]"
)
async def test_arguments_of_the_pod_replace_those_of_the_image(space):
    assert await _prints(space, args=["override", "arguments"]) == "[override][arguments]"


@pytest.mark.conformance(
    "[sig-node] Docker Containers should be able to override the image's default command (docker entrypoint) "
    "[NodeConformance] [Conformance]"
)
async def test_a_command_of_the_pod_replaces_entrypoint_and_arguments(space):
    assert await _prints(space, command=["echo", "entrypoint-2"]) == "entrypoint-2\n"


@pytest.mark.conformance(
    "[sig-node] Docker Containers should be able to override the image's default command and arguments "
    "[NodeConformance] [Conformance]"
)
async def test_command_and_arguments_of_the_pod_replace_both(space):
    printed = await _prints(space, command=["echo", "entrypoint-2"], args=["override", "arguments"])
    assert printed == "entrypoint-2 override arguments\n"
