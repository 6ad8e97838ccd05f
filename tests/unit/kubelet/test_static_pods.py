"""How a node's static Pods follow their sources: one Pod a name, the old one gone before the new one comes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace
from tests.unit.kubelet.pods import pod
from tests.unit.kubelet.test_manifests import READER, encoded, manifest

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.assembly.podrules import ManifestRules
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import PodRef, Sandbox
from pybernetes.kubelet.static_pods import StaticPods, reader_of
from pybernetes.rules.staticpods import CONFIG_SEEN

NAME = ("default", "web")


class Table:
    """The table of Pods, and a runtime with nothing in it but what a test puts there."""

    def __init__(self) -> None:
        self.gone: list[Callable[[str], None]] = []
        self.told: list[str] = []
        self.left: list[Sandbox] = []

    def changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        uid = (new or old or pod()).metadata.uid
        verb = "removed" if new is None else "started" if old is None else "ends"
        self.told.append(f"{verb} {uid}")

    def orphan(self, ref: PodRef) -> None:
        self.told.append(f"orphan {ref.uid}")

    async def sandboxes(self, uid: str = "") -> list[Sandbox]:
        return self.left

    def leaves(self, static: StaticPods, uid: str) -> None:
        """The worker comes to its end."""
        static.ended(uid)
        for listener in self.gone:
            listener(uid)


def static_of(table: Table, **config: Any) -> StaticPods:
    return StaticPods(cast(Any, table), cast(Any, table), Configuration(**config), READER, SystemClock())


def named(uid: str) -> core_v1.Pod:
    return replace(pod(), metadata=replace(pod().metadata, uid=uid))


def test_when_a_manifest_was_seen_is_told_to_a_part_of_a_second():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        await clock.sleep(1.25)
        found = reader_of("n1", ManifestRules(), clock).file(Path("/m/web.yaml"), encoded(manifest()))
        assert found.metadata.annotations[CONFIG_SEEN].endswith(":01.25Z")

    run_simulated(main())


def test_a_new_manifest_waits_until_nothing_is_left_of_the_old_pod():
    table = Table()
    static = static_of(table)
    static.take("file", [named("old")])
    static.take("file", [named("new")])
    assert table.told == ["started old", "ends old"]
    assert static.get(NAME) is None
    assert static.ending(NAME) is not None
    table.leaves(static, "old")
    assert table.told == ["started old", "ends old", "removed old", "started new"]


def test_the_newest_of_many_changes_counts():
    table = Table()
    static = static_of(table)
    for uid in ("old", "second", "third"):
        static.take("file", [named(uid)])
    table.leaves(static, "old")
    assert table.told[-1] == "started third"


def test_a_manifest_that_returns_while_its_pod_ends_is_started_anew():
    table = Table()
    static = static_of(table)
    static.take("file", [named("one")])
    static.take("file", [])
    static.take("file", [named("one")])
    assert table.told == ["started one", "ends one"]
    table.leaves(static, "one")
    assert table.told[-1] == "started one"


def test_the_first_of_two_manifests_of_one_name_counts():
    table = Table()
    static = static_of(table)
    static.take("file", [named("one"), named("two")])
    static.take("http", [named("three")])
    assert table.told == ["started one"]


def test_one_source_says_nothing_of_the_other():
    table = Table()
    static = static_of(table)
    static.take("file", [named("one")])
    static.take("http", [])
    assert table.told == ["started one"]


async def test_what_an_older_manifest_left_ends_first(tmp_path: Path):
    table = Table()
    table.left = [Sandbox("s0", PodRef("default", "web-node-1", "before"), 0, True, 0.0, ())]
    (tmp_path / "web.yaml").write_bytes(encoded(manifest()))
    static = static_of(table, static_pod_path=str(tmp_path))
    task = asyncio.create_task(static.run())
    await static.complete.wait()
    assert table.told == ["orphan before"]
    table.leaves(static, "before")
    assert table.told[1].startswith("started ")
    task.cancel()
    await asyncio.wait([task])


async def test_a_folder_is_read_as_soon_as_it_changes(tmp_path: Path):
    table = Table()
    static = static_of(table, static_pod_path=str(tmp_path), file_check_frequency=3600.0)
    told = asyncio.Event()
    static.changed.append(lambda name: told.set())
    task = asyncio.create_task(static.run())
    await static.complete.wait()
    (tmp_path / ".web.new").write_bytes(encoded(manifest()))
    (tmp_path / ".web.new").rename(tmp_path / "web.yaml")
    await asyncio.wait_for(told.wait(), 10)
    assert table.told[0].startswith("started ")
    told.clear()
    (tmp_path / "web.yaml").unlink()
    await asyncio.wait_for(told.wait(), 10)
    assert table.told[1].startswith("ends ")
    task.cancel()
    await asyncio.wait([task])


async def test_a_folder_may_come_later_and_go(tmp_path: Path):
    table = Table()
    folder = tmp_path / "manifests"
    static = static_of(table, static_pod_path=str(folder), file_check_frequency=0.01)
    told = asyncio.Event()
    static.changed.append(lambda name: told.set())
    task = asyncio.create_task(static.run())
    await static.complete.wait()
    folder.mkdir()
    (folder / "web.yaml").write_bytes(encoded(manifest()))
    await asyncio.wait_for(told.wait(), 10)
    told.clear()
    folder.rename(tmp_path / "elsewhere")
    await asyncio.wait_for(told.wait(), 10)
    assert [line.split()[0] for line in table.told] == ["started", "ends"]
    task.cancel()
    await asyncio.wait([task])
