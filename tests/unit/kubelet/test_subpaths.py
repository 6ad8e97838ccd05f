"""A subPath shows what is in the volume, and nothing else, whatever is done to the volume meanwhile."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.kernel import mounts
from pybernetes.kubelet.subpaths import SubPath, bind, make_missing, target

pytestmark = pytest.mark.root


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "volume").mkdir()
    yield tmp_path
    mounts.unmount_below(tmp_path)


def wanted(folder: Path, below: str) -> SubPath:
    return SubPath(folder / "volume", below, target(folder / "pod", "v", "c", 0))


def test_a_directory_is_bound_where_upstream_has_it(folder: Path) -> None:
    (folder / "volume/a/b").mkdir(parents=True)
    (folder / "volume/a/b/file").write_text("x")
    found = bind(wanted(folder, "a/b"))
    assert found == folder / "pod/volume-subpaths/v/c/0"
    assert (found / "file").read_text() == "x"
    assert mounts.is_mount(found)


def test_a_file_is_bound_as_a_file(folder: Path) -> None:
    (folder / "volume/f").write_text("x")
    assert bind(wanted(folder, "f")).read_text() == "x"


def test_the_same_is_not_bound_twice_and_another_takes_its_place(folder: Path) -> None:
    (folder / "volume/one").write_text("1")
    (folder / "volume/two").mkdir()
    (folder / "volume/cur").symlink_to("one")
    place = bind(wanted(folder, "cur"))
    bind(wanted(folder, "cur"))
    assert len([m for m in mounts.table() if m.target == str(place)]) == 1
    (folder / "volume/cur").unlink()
    (folder / "volume/cur").symlink_to("two")
    assert bind(wanted(folder, "cur")).is_dir()
    assert len([m for m in mounts.table() if m.target == str(place)]) == 1


def test_a_link_inside_the_volume_is_followed_also_an_absolute_one(folder: Path) -> None:
    (folder / "volume/real").mkdir()
    (folder / "volume/link").symlink_to(folder / "volume/real")
    assert os.path.samestat(bind(wanted(folder, "link")).stat(), (folder / "volume/real").stat())


@pytest.mark.parametrize("below", ["out", "out/passwd", "deep/out"])
def test_a_link_that_leads_out_is_refused(folder: Path, below: str) -> None:
    (folder / "volume/deep").mkdir()
    (folder / "volume/out").symlink_to("/etc")
    (folder / "volume/deep/out").symlink_to("../../../../../../../../etc")
    with pytest.raises(ValueError):
        bind(wanted(folder, below))


def test_nothing_is_made_outside(folder: Path) -> None:
    (folder / "volume/out").symlink_to(folder)
    with pytest.raises(ValueError):
        make_missing(wanted(folder, "out/new"))
    assert not (folder / "new").exists()


def test_a_container_that_swaps_links_gets_nothing_of_the_node(folder: Path) -> None:
    """The race of CVE-2017-1002101 and its successors: the swap comes between the check and the mount."""
    secret = folder / "secret"
    secret.mkdir()
    (secret / "marker").touch()
    volume, over = folder / "volume", threading.Event()
    (volume / "a").mkdir()

    def swap() -> None:
        (volume / "evil").symlink_to(secret)
        (volume / "good").mkdir()
        while not over.is_set():
            for name in ("good", "evil"):
                os.rename(volume / "a", volume / "rest")
                os.rename(volume / name, volume / "a")
                os.rename(volume / "rest", volume / name)

    racing = threading.Thread(target=swap)
    racing.start()
    bound = 0
    try:
        for tries in range(100_000):
            if tries >= 400 and bound:
                break
            with contextlib.suppress(OSError, ValueError):
                place = bind(wanted(folder, "a"))
                bound += 1
                assert not (place / "marker").exists()
                mounts.unmount(place, detach=True)
    finally:
        over.set()
        racing.join()
    assert bound
