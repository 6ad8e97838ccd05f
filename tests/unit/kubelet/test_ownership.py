"""fsGroup: files are given to the group, links and what they lead to are not."""

import os
import stat
from pathlib import Path

import pytest

from pybernetes.kubelet.ownership import Ownership, own_directory, take_over

pytestmark = pytest.mark.root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "v/d").mkdir(parents=True)
    for name, mode in (("file", 0o600), ("program", 0o711), ("d/inner", 0o404)):
        (tmp_path / "v" / name).write_text("x")
        (tmp_path / "v" / name).chmod(mode)
    (tmp_path / "outside").write_text("x")
    (tmp_path / "v/link").symlink_to(tmp_path / "outside")
    (tmp_path / "v/d").chmod(0o700)
    (tmp_path / "v").chmod(0o700)
    return tmp_path / "v"


def seen(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_gid, stat.S_IMODE(found.st_mode)


def test_a_writable_volume_is_the_groups_to_write(volume: Path) -> None:
    count = []
    take_over(volume, Ownership(55), lambda: count.append(1))
    assert seen(volume) == (55, 0o2770)
    assert seen(volume / "d") == (55, 0o2770)
    assert seen(volume / "file") == (55, 0o660)
    assert seen(volume / "program") == (55, 0o771)
    assert seen(volume / "d/inner") == (55, 0o664)
    assert seen(volume / "link")[0] == 55
    assert (volume.parent / "outside").stat().st_gid == os.getegid()
    assert len(count) == 6


def test_a_read_only_volume_is_the_groups_to_read(volume: Path) -> None:
    take_over(volume, Ownership(55, read_only=True))
    assert seen(volume / "file") == (55, 0o640)
    assert seen(volume / "d") == (55, 0o2750)


def test_without_a_group_nothing_changes(volume: Path) -> None:
    take_over(volume, Ownership())
    assert seen(volume / "file") == (os.getegid(), 0o600)


def test_a_root_that_fits_is_trusted_where_the_pod_says_so(volume: Path) -> None:
    take_over(volume, Ownership(55))
    (volume / "file").chmod(0o600)
    take_over(volume, Ownership(55, on_root_mismatch=True))
    assert seen(volume / "file") == (55, 0o600)
    take_over(volume, Ownership(55))
    assert seen(volume / "file") == (55, 0o660)


@pytest.mark.parametrize("mode", [0o2750, 0o770, 0o2760])
def test_a_root_that_lacks_something_is_not(volume: Path, mode: int) -> None:
    take_over(volume, Ownership(55))
    (volume / "file").chmod(0o600)
    volume.chmod(mode)
    take_over(volume, Ownership(55, on_root_mismatch=True))
    assert seen(volume / "file") == (55, 0o660)


def test_a_new_directory_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        (tmp_path / "a").mkdir()
        own_directory(tmp_path / "a", 0o777, None)
        (tmp_path / "b").mkdir()
        own_directory(tmp_path / "b", 0o777, 55)
    finally:
        os.umask(before)
    assert seen(tmp_path / "a")[1] == 0o777
    assert seen(tmp_path / "b") == (55, 0o2777)
