"""A containerd of its own for the kubelet's node tests, shared by a module; a node in this process for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from bench._containerd import OwnContainerd, missing
from bench._node import NodeUnderTest, node


@pytest.fixture(scope="package")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnContainerd]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    made = OwnContainerd(tmp_path_factory.mktemp("containerd"), f"pybernetes-test-{os.getpid()}")
    made.start()
    yield made
    made.close()


@pytest_asyncio.fixture
async def one(containerd: OwnContainerd, tmp_path: Path) -> AsyncIterator[NodeUnderTest]:
    async with node(tmp_path, containerd) as made:
        yield made
        await asyncio.sleep(0)
