"""Images from a folder, without a daemon."""

import json
import tarfile
from pathlib import Path

import pytest

from pybernetes.localcluster.image import BuildError, Layer, build_image, check_reference, full_reference


def _config(archive: Path) -> dict[str, object]:
    with tarfile.open(archive) as tar:

        def read(name: str):
            return json.loads(tar.extractfile(name).read())  # type: ignore[union-attr]

        manifest = read("blobs/sha256/" + read("index.json")["manifests"][0]["digest"][7:])
        return read("blobs/sha256/" + manifest["config"]["digest"][7:])["config"]  # type: ignore[no-any-return]


def _folder(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "src"
    folder.mkdir(exist_ok=True)
    (folder / "Containerfile").write_text(text)
    (folder / "run.sh").write_text("#!/bin/sh\necho hi\n")
    (folder / "run.sh").chmod(0o755)
    return folder


def test_the_same_folder_gives_the_same_digest(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "FROM scratch\nCOPY run.sh /\n")
    first = build_image(folder, "a/b", tmp_path / "1.tar")
    (folder / "run.sh").touch()
    second = build_image(folder, "a/b", tmp_path / "2.tar")
    assert first.digest == second.digest
    assert first.archive.read_bytes() == second.archive.read_bytes()


def test_instructions_become_the_config(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        'FROM scratch\n# a comment\nENV A=1 B="two words"\nENV A 3\nWORKDIR /srv\nCOPY --chmod=0700 run.sh .\n'
        'LABEL x=y\nEXPOSE 8080 53/udp\nUSER 1000\nENTRYPOINT ["/srv/run.sh"]\nCMD ["a", \\\n  "b"]\n',
    )
    config = _config(build_image(folder, "x", tmp_path / "x.tar").archive)
    assert config["Env"][1:] == ["B=two words", "A=3"]  # type: ignore[index]
    assert config["Entrypoint"] == ["/srv/run.sh"]
    assert config["Cmd"] == ["a", "b"]
    assert config["WorkingDir"] == "/srv"
    assert config["ExposedPorts"] == {"8080/tcp": {}, "53/udp": {}}
    assert config["User"] == "1000"
    assert config["Labels"] == {"x": "y"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM scratch\nRUN make\n", "Containerfile:2: RUN needs a running container"),
        ("FROM python:3.11\n", ":1: FROM python:3.11 cannot be fetched"),
        ("COPY run.sh /\n", ":1: FROM comes first, and once"),
        ("FROM scratch\nCOPY nothing /\n", ":2: nothing does not exist"),
        ("FROM scratch\nCOPY ../x /\n", ":2: ../x lies outside"),
        ("FROM scratch\nADD x /\n", ":2: ADD is unknown"),
        ("FROM scratch\nCMD [a]\n", ":2: not a JSON list"),
        ("# nothing\n", "no FROM"),
    ],
)
def test_what_cannot_be_built_names_the_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BuildError) as caught:
        build_image(_folder(tmp_path, text), "x", tmp_path / "x.tar")
    assert why in str(caught.value)
    assert not (tmp_path / "x.tar").exists()


def test_a_folder_without_a_containerfile_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="holds no Containerfile"):
        build_image(tmp_path, "x", tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("http-go", "docker.io/library/http-go:latest"),
        ("gasbugs/http-go", "docker.io/gasbugs/http-go:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("a/b@sha256:00", "docker.io/a/b@sha256:00"),
    ],
)
def test_references_are_completed_as_docker_does(short: str, full: str) -> None:
    assert full_reference(short) == full


def test_a_layer_makes_parents_once() -> None:
    layer = Layer()
    layer.file("a/b/c", b"1")
    layer.file("/a/b/d", b"2")
    assert layer.has_folder("a/b")
    assert not layer.has_folder("a/b/c")


@pytest.mark.parametrize("reference", ["X:Y:Z", "Foo/bar", "a//b", "", "name:", "na me", "ok:tag/part", "a:b c"])
def test_what_is_no_image_name_is_refused(reference: str, tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM scratch\n")
    with pytest.raises(BuildError, match="invalid reference format"):
        build_image(tmp_path, reference, tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()


@pytest.mark.parametrize(
    "reference", ["gasbugs/http-go", "a", "localhost:5000/a_b/c--d:v1.0_x", "r.io/a.b/c:L", "a__b"]
)
def test_image_names_of_every_form_are_taken(reference: str) -> None:
    check_reference(reference)
