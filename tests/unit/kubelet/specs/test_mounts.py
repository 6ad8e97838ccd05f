"""Paths inside volumes."""

import re
from pathlib import Path

import pytest

from pybernetes.kubelet.environment import ConfigError
from pybernetes.kubelet.specs.mounts import subpath


def test_a_missing_sub_path_becomes_a_directory_like_its_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    made = subpath(tmp_path, "a/b.conf", "v", "c")
    assert made.is_dir()
    assert [f.stat().st_mode & 0o777 for f in (made, made.parent)] == [0o775, 0o775]


def test_a_sub_path_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "b.conf").write_text("")
    assert subpath(tmp_path, "b.conf", "v", "c").is_file()


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("/etc", "error SubPath `/etc` must not be an absolute path"),
        ("a/../../x", "unable to provision SubPath `a/../../x`: must not contain '..'"),
        ("out/x", 'failed to prepare subPath for volumeMount "v" of container "c"'),
        ("file/x", 'failed to create subPath directory for volumeMount "v" of container "c"'),
    ],
)
def test_a_sub_path_stays_in_its_volume(tmp_path: Path, below: str, message: str) -> None:
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=re.escape(message)):
        subpath(tmp_path, below, "v", "c")


def test_a_sub_path_of_a_volume_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stat .*/gone: no such file or directory"):
        subpath(tmp_path / "gone", "a", "v", "c")
