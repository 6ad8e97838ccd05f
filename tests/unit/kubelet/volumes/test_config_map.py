"""configMap and secret: keys as files, on disk and in memory; what is optional; what changes."""

from typing import Any

import pytest

from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.volume import VolumeError

pytestmark = pytest.mark.root

MAP = core_v1.ConfigMap(data={"a": "1", "b": "2"}, binaryData={"raw": "3q2+7w=="})


def config(**fields: Any) -> dict[str, object]:
    return {"configMap": core_v1.ConfigMapVolumeSource(**{"name": "m", **fields})}


def hidden(**fields: Any) -> dict[str, object]:
    return {"secret": core_v1.SecretVolumeSource(**{"secretName": "s", **fields})}


def item(key: str, path: str, mode: int | None = None) -> core_v1.KeyToPath:
    return core_v1.KeyToPath(key=key, path=path, mode=mode)


async def test_each_key_is_a_file_on_disk(one: Any) -> None:
    one.sources.config_maps["m"] = MAP
    found = await one.set_up(config(defaultMode=0o400))
    assert found.read_only
    assert {p.name: p.read_bytes() for p in found.path.iterdir() if not p.name.startswith("..")} == {
        "a": b"1",
        "b": b"2",
        "raw": b"\xde\xad\xbe\xef",
    }
    assert (found.path / "a").stat().st_mode & 0o7777 == 0o400
    assert found.path.stat().st_mode & 0o7777 == 0o777
    assert not mounts.is_mount(found.path)


async def test_items_choose_keys_paths_and_modes(one: Any) -> None:
    one.sources.config_maps["m"] = MAP
    path = (await one.set_up(config(items=(item("a", "x/y/a", 0o600), item("b", "b"))))).path
    assert sorted(p.name for p in path.iterdir() if not p.name.startswith("..")) == ["b", "x"]
    assert (path / "x/y/a").stat().st_mode & 0o7777 == 0o600
    assert (path / "b").stat().st_mode & 0o7777 == 0o644
    assert (path / "x").readlink().parts == ("..data", "x")


async def test_what_is_missing_is_named_in_upstreams_words(one: Any) -> None:
    prefix = 'MountVolume.SetUp failed for volume "v" : '
    with pytest.raises(VolumeError, match=f'^{prefix}configmap "m" not found$'):
        await one.set_up(config())
    with pytest.raises(VolumeError, match=f'^{prefix}secret "s" not found$'):
        await one.set_up(hidden())
    one.sources.config_maps["m"], one.sources.secrets["s"] = MAP, core_v1.Secret(data={})
    with pytest.raises(VolumeError, match=f"^{prefix}configmap references non-existent config key: z$"):
        await one.set_up(config(items=(item("z", "z"),)))
    with pytest.raises(VolumeError, match=f"^{prefix}references non-existent secret key: z$"):
        await one.set_up(hidden(items=(item("z", "z"),)))


async def test_what_is_optional_may_come_change_and_go(one: Any) -> None:
    wanted = one.pod(config(optional=True, items=(item("a", "a"), item("z", "z"))))
    path = (await one.volumes.set_up(wanted))["v"].path
    assert [p.name for p in path.iterdir() if not p.name.startswith("..")] == []
    one.sources.config_maps["m"] = MAP
    await one.volumes.refresh(wanted, ())
    assert (path / "a").read_text() == "1"
    one.sources.config_maps["m"] = core_v1.ConfigMap(data={"z": "9"})
    await one.volumes.refresh(wanted, ())
    assert [p.name for p in path.iterdir() if not p.name.startswith("..")] == ["z"]
    del one.sources.config_maps["m"]
    await one.volumes.refresh(wanted, ())
    assert [p.name for p in path.iterdir() if not p.name.startswith("..")] == []


async def test_a_source_that_has_gone_leaves_what_was_there(one: Any) -> None:
    one.sources.config_maps["m"] = MAP
    wanted = one.pod(config())
    path = (await one.volumes.set_up(wanted))["v"].path
    del one.sources.config_maps["m"]
    with pytest.raises(VolumeError, match='configmap "m" not found'):
        await one.volumes.refresh(wanted, ())
    assert (path / "a").read_text() == "1"


async def test_secrets_are_never_on_a_disk(one: Any) -> None:
    one.sources.secrets["s"] = core_v1.Secret(data={"key": "eA=="})
    wanted = one.pod(hidden())
    path = (await one.volumes.set_up(wanted))["v"].path
    await one.volumes.refresh(wanted, ())
    assert (path / "key").read_text() == "x"
    assert [m.kind for m in mounts.table() if m.target == str(path)] == ["tmpfs"]
    await one.volumes.tear_down("uid-1")
    await one.volumes.refresh(wanted, ())  # a change that comes too late
    assert not path.exists()


async def test_the_group_reads_and_owners_are_those_named(one: Any) -> None:
    one.sources.secrets["s"] = core_v1.Secret(data={"a": "eA==", "b": "eA=="})
    items = (item("a", "d/a", 0o400), core_v1.KeyToPath(key="b", path="b", user=7))
    wanted = hidden(items=items, defaultMode=0o500, defaultUser=8)
    path = (await one.set_up(wanted, securityContext=core_v1.PodSecurityContext(fsGroup=99))).path
    a, b, folder = (path / "d/a").stat(), (path / "b").stat(), (path / "d").stat()
    assert (a.st_uid, a.st_gid, a.st_mode & 0o7777) == (8, 99, 0o440)
    assert (b.st_uid, b.st_gid, b.st_mode & 0o7777) == (7, 99, 0o540)
    assert (folder.st_gid, folder.st_mode & 0o7777) == (99, 0o2755)
    assert (path.stat().st_gid, path.stat().st_mode & 0o7777) == (99, 0o2777)
