"""Files change all at once, and only when they do."""

from pathlib import Path

import pytest

from pybernetes.kubelet.atomic_writer import write_atomically


def shown(folder: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(folder)): f.read_bytes()
        for f in folder.rglob("*")
        if f.is_file() and not str(f.relative_to(folder)).startswith("..")
    }


def test_content_appears_through_one_link(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "v", {"a": (b"1", 0o640), "d/e": (b"2", 0o600)}, 0.0)
    assert (tmp_path / "v" / "a").read_bytes() == b"1"
    assert (tmp_path / "v" / "d" / "e").read_bytes() == b"2"
    assert (tmp_path / "v" / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "v" / "a").readlink() == Path("..data/a")
    assert (tmp_path / "v" / "d").readlink() == Path("..data/d")


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"a": (b"1", 0o644)}, 0.0)
    before = (tmp_path / "..data").readlink()
    assert not write_atomically(tmp_path, {"a": (b"1", 0o644)}, 9.0)
    assert (tmp_path / "..data").readlink() == before


def test_a_change_swaps_everything_and_drops_what_is_gone(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"a": (b"1", 0o644), "old/x": (b"", 0o644)}, 0.0)
    assert write_atomically(tmp_path, {"a": (b"2", 0o644), "new": (b"3", 0o644)}, 1.0)
    assert (tmp_path / "a").read_bytes() == b"2"
    assert not (tmp_path / "old").is_symlink()
    assert len([f for f in tmp_path.iterdir() if f.name.startswith("..2")
                or f.name.startswith("..1")]) == 1  # fmt: skip


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..data", ""])
def test_paths_stay_inside(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        write_atomically(tmp_path, {path: (b"", 0o644)}, 0.0)
