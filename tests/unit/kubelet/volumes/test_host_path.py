"""hostPath: each type is checked or made; what is there is never touched."""

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from pybernetes.api.types import core_v1
from pybernetes.kubelet.volume import VolumeError


def host(path: Path | str, kind: str | None = None) -> dict[str, object]:
    return {"hostPath": core_v1.HostPathVolumeSource(path=str(path), type=kind)}


async def test_without_a_type_nothing_is_checked(one: Any, tmp_path: Path) -> None:
    assert (await one.set_up(host(tmp_path / "nothing"))).path == tmp_path / "nothing"
    assert not (tmp_path / "nothing").exists()


async def test_what_is_missing_is_made(one: Any, tmp_path: Path) -> None:
    folder = (await one.set_up(host(tmp_path / "a" / "d", "DirectoryOrCreate"))).path
    file = (await one.set_up(host(tmp_path / "f", "FileOrCreate"))).path
    assert folder.stat().st_mode & 0o777 == 0o755
    assert file.stat().st_mode & 0o777 == 0o644
    await one.volumes.tear_down("uid-1")
    await one.volumes.forget("uid-1")
    assert folder.is_dir()
    assert file.is_file()


async def test_what_cannot_be_made_is_told_as_upstream_does(one: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing, below = tmp_path / "none" / "f", tmp_path / "file" / "d"
    prefix = 'MountVolume.SetUp failed for volume "v" : '
    with pytest.raises(VolumeError, match=re.escape(f"{prefix}open {missing}: no such file or directory") + "$"):
        await one.set_up(host(missing, "FileOrCreate"))
    with pytest.raises(VolumeError, match=re.escape(f"{prefix}mkdir {below}: not a directory") + "$"):
        await one.set_up(host(below, "DirectoryOrCreate"))


async def test_each_type_takes_its_own_kind_only(one: Any, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.close()
    kinds = {"Directory": "d", "File": "f", "Socket": "s", "CharDevice": "/dev/null"}
    names = {"Directory": "directory", "File": "file", "Socket": "socket file", "CharDevice": "character device"}
    for kind in kinds:
        for other, place in kinds.items():
            path = tmp_path / place
            if kind == other:
                assert (await one.set_up(host(path, kind))).path == path
                continue
            said = (
                f'MountVolume.SetUp failed for volume "v" : hostPath type check failed: {path} is not a {names[kind]}'
            )
            with pytest.raises(VolumeError, match=re.escape(said)):
                await one.set_up(host(path, kind))


@pytest.mark.parametrize("kind", ["Directory", "File", "Socket", "CharDevice", "BlockDevice"])
async def test_what_is_not_there_fails(one: Any, tmp_path: Path, kind: str) -> None:
    with pytest.raises(VolumeError, match="hostPath type check failed"):
        await one.set_up(host(tmp_path / "nothing", kind))


async def test_a_file_is_no_directory_to_create(one: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(VolumeError, match="is not a directory"):
        await one.set_up(host(tmp_path / "f", "DirectoryOrCreate"))
    assert (tmp_path / "f").read_text() == "x"


async def test_no_path_goes_back(one: Any) -> None:
    with pytest.raises(VolumeError, match=r"invalid HostPath `/a/\.\./b`: must not contain '\.\.'"):
        await one.set_up(host("/a/../b"))


@pytest.mark.root
async def test_a_groups_volumes_leave_the_nodes_files_alone(one: Any, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    before = os.stat(tmp_path / "d")
    await one.set_up(host(tmp_path / "d"), securityContext=core_v1.PodSecurityContext(fsGroup=1234))
    assert os.stat(tmp_path / "d").st_gid == before.st_gid
