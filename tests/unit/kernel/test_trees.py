"""Trees of others: nothing outside is reached, whatever was put into them."""

import contextlib
import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.kernel import mounts
from pybernetes.kernel.trees import make_below, open_below, remove_tree, visit


def test_a_tree_is_removed_and_what_its_links_lead_to_stays(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/link").symlink_to(outside)
    (tree / "a/b/file").symlink_to(outside / "kept")
    os.mkfifo(tree / "fifo")
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()
    remove_tree(tree)
    remove_tree(tmp_path / "none" / "such")


def test_a_link_or_file_in_a_trees_place_goes_alone(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    remove_tree(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "outside").is_dir()


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    place = os.open(tmp_path / "t", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=place)
        below = os.open("deep", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    remove_tree(tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "bind", "file"])
def test_nothing_is_deleted_through_a_mount(tmp_path: Path, kind: str) -> None:
    outside, target = tmp_path / "outside", tmp_path / "tree" / "a" / "mounted"
    outside.mkdir()
    (outside / "kept").write_text("x")
    target.parent.mkdir(parents=True)
    if kind == "file":
        target.touch()
        mounts.bind(outside / "kept", target)
    else:
        target.mkdir()
        mounts.mount("tmpfs", target, "tmpfs") if kind == "tmpfs" else mounts.bind(outside, target)
    try:
        with pytest.raises(OSError) as caught:
            remove_tree(tmp_path / "tree")
        assert caught.value.errno == errno.EBUSY
        assert (outside / "kept").read_text() == "x"
    finally:
        mounts.unmount_below(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert (outside / "kept").read_text() == "x"


def test_a_path_is_opened_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "v/a").mkdir(parents=True)
    (tmp_path / "v/out").symlink_to("/etc")
    place = open_below(tmp_path / "v", "a")
    assert os.path.samestat(os.fstat(place), (tmp_path / "v/a").stat())
    os.close(place)
    for path in ("out", "out/passwd"):
        with pytest.raises(OSError) as caught:
            open_below(tmp_path / "v", path)
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    with pytest.raises(OSError, match="no way up"):
        open_below(tmp_path / "v", "a/../..")


def test_directories_are_made_below_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v/out").symlink_to(tmp_path)
    make_below(tmp_path / "v", "x/y", 0o2775)
    assert (tmp_path / "v/x/y").stat().st_mode & 0o7777 == 0o2775
    with pytest.raises(OSError):
        make_below(tmp_path / "v", "out/z", 0o777)
    assert not (tmp_path / "z").exists()


def test_a_visit_changes_links_themselves_and_ends_with_the_top(tmp_path: Path) -> None:
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/d/link").symlink_to("/etc/passwd")
    seen = []
    visit(tmp_path / "t", lambda place, found: seen.append((found.st_ino, os.fstat(place).st_ino)))
    order = [(tmp_path / p).lstat().st_ino for p in ("t/d/link", "t/d", "t")]
    assert seen == [(ino, ino) for ino in order]


def test_swapping_links_while_a_tree_is_removed_reach_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(50):
        (outside / str(number)).write_text("x")
    tree, over = tmp_path / "tree", threading.Event()

    def swap() -> None:
        while not over.is_set():
            try:
                (tree / "d").mkdir(parents=True)
                (tree / "d").rename(tree / "e")
                (tree / "d").symlink_to(outside)
                (tree / "e").rmdir()
                (tree / "d").unlink()
            except OSError:
                continue

    racing = threading.Thread(target=swap)
    racing.start()
    try:
        for _ in range(300):
            try:
                remove_tree(tree)
            except OSError:
                continue
    finally:
        over.set()
        racing.join()
    assert len(list(outside.iterdir())) == 50


@pytest.mark.root
@given(st.lists(st.sampled_from(["dir", "link", "bind", "tmpfs", "filebind", "down", "up"]), max_size=14))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_lies_in_a_tree_nothing_outside_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    base = tmp_path_factory.mktemp("law")
    outside, tree = base / "outside", base / "tree"
    (outside / "sub").mkdir(parents=True)
    (outside / "sub" / "kept").write_text("x")
    tree.mkdir()
    where = tree
    for number, step in enumerate(steps):
        place = where / f"n{number}"
        if step == "up":
            where = where.parent if where != tree else tree
        elif step == "link":
            place.symlink_to(outside)
        elif step == "filebind":
            place.touch()
            mounts.bind(outside / "sub" / "kept", place)
        else:
            place.mkdir()
            if step == "bind":
                mounts.bind(outside, place)
            elif step == "tmpfs":
                mounts.mount("tmpfs", place, "tmpfs")
            if step in ("down", "tmpfs"):
                where = place
    with contextlib.suppress(OSError):
        remove_tree(tree)
    assert (outside / "sub" / "kept").read_text() == "x"
    mounts.unmount_below(tree)
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "sub" / "kept").read_text() == "x"
    remove_tree(base)
