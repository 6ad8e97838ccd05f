"""emptyDir: open to all, bounded in memory, left alone once it is in use."""

from typing import Any

import pytest
from tests.unit.kubelet.pods import container

from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.volume import VolumeError

pytestmark = pytest.mark.root


def empty(**fields: Any) -> dict[str, object]:
    return {"emptyDir": core_v1.EmptyDirVolumeSource(**fields)}


def size(path: object) -> str:
    (found,) = [m for m in mounts.table() if m.target == str(path)]
    assert found.kind == "tmpfs"
    return next(option for option in found.super_options if option.startswith("size="))


def limited(memory: str) -> core_v1.Container:
    return container(resources=core_v1.ResourceRequirements(limits={"memory": memory}))


async def test_it_is_open_to_everybody(one: Any) -> None:
    path = (await one.set_up(empty())).path
    assert path.stat().st_mode & 0o7777 == 0o777
    assert path.parent.name == "kubernetes.io~empty-dir"


async def test_the_mode_may_be_another(one: Any) -> None:
    assert (await one.set_up(empty(mode=0o1770))).path.stat().st_mode & 0o7777 == 0o1770


async def test_a_second_start_changes_nothing_that_containers_have_made_of_it(one: Any) -> None:
    path = (await one.set_up(empty())).path
    path.chmod(0o700)
    (path / "kept").write_text("x")
    one.volumes._known.clear()  # a kubelet that has just started
    assert (await one.set_up(empty())).path.stat().st_mode & 0o777 == 0o700
    assert (path / "kept").exists()


async def test_the_group_of_the_pod_owns_it(one: Any) -> None:
    context = core_v1.PodSecurityContext(fsGroup=1234)
    for medium in ("", "Memory"):
        found = (await one.set_up(empty(medium=medium), securityContext=context)).path.stat()
        assert (found.st_gid, found.st_mode & 0o7777) == (1234, 0o2777)
        await one.volumes.tear_down("uid-1")


@pytest.mark.parametrize(
    ("limit", "memory", "expected"),
    [
        ("", "", "size=1048576k"),
        ("64Mi", "", "size=65536k"),
        ("64Mi", "32Mi", "size=32768k"),
        ("8Gi", "", "size=1048576k"),
    ],
)
async def test_memory_is_bounded_by_the_least_of_limits(one: Any, limit: str, memory: str, expected: str) -> None:
    wanted = empty(medium="Memory", sizeLimit=limit or None)
    spec = {"containers": (limited(memory),)} if memory else {}
    assert size((await one.set_up(wanted, **spec)).path) == expected


async def test_memory_that_was_lost_with_the_machine_is_made_again(one: Any) -> None:
    path = (await one.set_up(empty(medium="Memory"))).path
    mounts.unmount(path)
    await one.set_up(empty(medium="Memory"))
    assert mounts.is_mount(path)


@pytest.mark.parametrize("medium", ["HugePages", "HugePages-2Mi", "Tape"])
async def test_another_medium_is_refused(one: Any, medium: str) -> None:
    with pytest.raises(VolumeError, match=f'MountVolume.SetUp failed for volume "v" : .*storage medium "{medium}"'):
        await one.set_up(empty(medium=medium))
