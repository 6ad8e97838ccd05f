"""One Pod's volumes below a folder of the test, with sources in memory."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest_asyncio
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import pod

from pybernetes.aio.clock import SystemClock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.volume import Mounted
from pybernetes.kubelet.volume_manager import Volumes


class OnePod:
    """set_up() of a Pod with volumes; `sources` is what the API has, `told` what the Pod was told of."""

    def __init__(self, root: Path) -> None:
        self.sources = FakeSources()
        self.told: list[tuple[str, str]] = []
        self.facts = Facts(("192.0.2.1",), {"memory": "1Gi"})
        self.volumes = Volumes(root, self.sources, SystemClock(), lambda: self.facts, self._tell)
        self.root = root

    def _tell(self, pod: core_v1.Pod, reason: str, message: str) -> None:
        self.told.append((reason, message))

    async def set_up(self, source: Mapping[str, object], **spec: object) -> Mounted:
        """One volume, named v."""
        return (await self.volumes.set_up(self.pod(source, **spec)))["v"]

    def pod(self, source: Mapping[str, object], **spec: object) -> core_v1.Pod:
        return pod(volumes=(core_v1.Volume(name="v", **source),), **spec)  # type: ignore[arg-type] # fields by name


@pytest_asyncio.fixture
async def one(tmp_path: Path) -> AsyncIterator[OnePod]:
    made = OnePod(tmp_path / "kubelet")
    yield made
    await made.volumes.forget("uid-1")
    assert not made.volumes.pod_folder("uid-1").exists()
