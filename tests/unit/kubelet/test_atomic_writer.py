"""Files change all at once, and only when they do."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.kubelet import atomic_writer
from pybernetes.kubelet.atomic_writer import File, write_atomically


def file(data: bytes, mode: int = 0o644) -> File:
    return File(data, mode)


def shown(folder: Path) -> dict[str, bytes]:
    """What a container sees through the links."""
    found = {}
    for top in folder.iterdir():
        if not top.name.startswith(".."):
            assert top.is_symlink()
            for path in [top] if top.is_file() else [f for f in top.rglob("*") if f.is_file()]:
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_content_appears_through_one_link(tmp_path: Path) -> None:
    assert write_atomically(tmp_path, {"a": file(b"1", 0o640), "d/e/f": file(b"2", 0o600)}, 0.0)
    assert shown(tmp_path) == {"a": b"1", "d/e/f": b"2"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert (tmp_path / "d").readlink() == Path("..data/d")
    assert (tmp_path / "d/e").stat().st_mode & 0o7777 == 0o755
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("..")) == [
        "..1970_01_01_00_00_00.000000000",
        "..data",
    ]


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"a": file(b"1")}, 0.0)
    before = (tmp_path / "..data").readlink()
    assert not write_atomically(tmp_path, {"./a": file(b"1")}, 9.0)
    assert (tmp_path / "..data").readlink() == before


def test_a_change_swaps_everything_and_drops_what_is_gone(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"a": file(b"1"), "old/x": file(b""), "d/x": file(b"1"), "d/y": file(b"")}, 0.0)
    assert write_atomically(tmp_path, {"a": file(b"2"), "new": file(b"3"), "d/x": file(b"1")}, 1.0)
    assert shown(tmp_path) == {"a": b"2", "new": b"3", "d/x": b"1"}
    assert not (tmp_path / "old").is_symlink()
    assert len([f for f in tmp_path.iterdir() if f.name.startswith("..") and f.name != "..data"]) == 1


def test_a_version_that_a_killed_kubelet_left_goes(tmp_path: Path) -> None:
    write_atomically(tmp_path, {"a": file(b"1")}, 0.0)
    (tmp_path / "..2020_01_01_00_00_00.1").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..2020_01_01_00_00_00.1")
    write_atomically(tmp_path, {"a": file(b"1")}, 1.0)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["..1970_01_01_00_00_00.000000000", "..data", "a"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path, {"a": file(b"1")}, 0.0)

    def full(folder: Path, path: str, one: File) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(atomic_writer, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(tmp_path, {"a": file(b"2")}, 1.0)
    assert shown(tmp_path) == {"a": b"1"}
    assert write_atomically(tmp_path, {"a": file(b"2")}, 1.0)
    assert shown(tmp_path) == {"a": b"2"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/passwd", "invalid path: must be relative path: /etc/passwd"),
        ("../x", "invalid path: must not contain '..': ../x"),
        ("a/../../x", "invalid path: must not contain '..': a/../../x"),
        ("..data", "invalid path: must not start with '..': ..data"),
        ("", 'invalid path: must not be empty: ""'),
        ("a" * 256, "invalid path: filenames must be less than or equal to 255 characters"),
        ("a/" * 2049, "invalid path: must be less than or equal to 4096 characters"),
    ],
)
def test_paths_stay_inside(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        write_atomically(tmp_path, {path: file(b"")}, 0.0)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_readers_see_one_version_or_the_other_as_a_whole(tmp_path: Path) -> None:
    versions = [{name: file(text * 50) for name in ("a", "b/c")} for text in (b"x", b"y")]
    write_atomically(tmp_path, versions[0], 0.0)
    seen, over = set(), threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                data = (tmp_path / "..data").resolve(strict=True)
                seen.add((data / "a").read_bytes() == (data / "b/c").read_bytes())
            except FileNotFoundError:
                continue  # the version was taken away after it was found

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        write_atomically(tmp_path, versions[number % 2], float(number))
    over.set()
    reader.join()
    assert seen <= {True}


def test_what_others_have_made_there_stays_and_the_rest_is_shown(tmp_path: Path) -> None:
    """A subPath of a key that is not there yet is made as a directory."""
    write_atomically(tmp_path, {"a": file(b"1")}, 0.0)
    (tmp_path / "early").mkdir()
    (tmp_path / "full" / "of").mkdir(parents=True)
    (tmp_path / "elsewhere").symlink_to("/etc")
    write_atomically(tmp_path, {"b": file(b"2"), "early": file(b"3"), "full": file(b"4")}, 1.0)
    assert (tmp_path / "b").read_bytes() == b"2"
    assert (tmp_path / "early").read_bytes() == b"3"
    assert (tmp_path / "full" / "of").is_dir()
    assert (tmp_path / "elsewhere").readlink() == Path("/etc")
    assert not (tmp_path / "a").is_symlink()
    write_atomically(tmp_path, {}, 2.0)
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("..")) == ["elsewhere", "full"]


NAMES = st.sampled_from(["a", "b", "d", "d/e", "d/f", "g/h/i", "g"])


def compatible(paths: dict[str, bytes]) -> bool:
    """No path is a directory of another."""
    return not any(a != b and b.startswith(f"{a}/") for a in paths for b in paths)


@given(st.lists(st.dictionaries(NAMES, st.binary(max_size=3)).filter(compatible), min_size=1, max_size=6))
@settings(max_examples=60)
def test_the_last_content_is_shown_whatever_was_before(
    tmp_path_factory: pytest.TempPathFactory, contents: list[dict[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("v")
    for number, content in enumerate(contents):
        write_atomically(folder, {path: file(data) for path, data in content.items()}, float(number))
        assert shown(folder) == content
