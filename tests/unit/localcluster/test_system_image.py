"""The control plane's image out of the installed distribution: what goes in, and that it is the same each time."""

import importlib.util
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.localcluster import image_store, system_image
from pybernetes.localcluster.image import BUSYBOX, PLAIN_LAYER_TYPE

SITE = f"opt/pybernetes/lib/{system_image._VERSION}/site-packages"


@pytest.fixture(scope="module")
def plan() -> system_image.Plan:
    return system_image.plan()


@pytest.fixture
def small(tmp_path: Path) -> system_image.Plan:
    """A plan of two files."""
    (tmp_path / "one.py").write_text("ANSWER = 40 + 2\n")
    (tmp_path / "broken.py").write_text("print 'of another Python'\n")
    files = {f"{SITE}/{name}": tmp_path / name for name in ("one.py", "broken.py")}
    return system_image.Plan(
        {f"usr/local/bin/{system_image._VERSION}": Path(sys.executable).resolve()}, files, {"x": "y"}
    )


def test_the_interpreter_the_needed_packages_and_the_commands_go_in(plan: system_image.Plan) -> None:
    assert f"usr/local/bin/{system_image._VERSION}" in plan.base
    assert f"usr/local/lib/{system_image._VERSION}/asyncio/__init__.py" in plan.base
    for package in ("msgspec", "cryptography", "numpy", "pyroute2"):
        assert f"{SITE}/{package}/__init__.py" in plan.base
    assert f"{SITE}/pybernetes/cmd/kube_apiserver.py" in plan.own
    assert f"{SITE}/pybernetes/localcluster/native/pause" in plan.own
    assert {f"opt/pybernetes/bin/{name}" for name in system_image.COMMANDS} <= plan.scripts.keys()


def test_what_is_for_developing_testing_or_the_kubelet_alone_stays_out(plan: system_image.Plan) -> None:
    everything = [*plan.base, *plan.own]
    for unwanted in ("cri_api/", "pytest/", "mypy/", "/tests/", "/test/", "/ensurepip/", "__pycache__", ".git/"):
        assert not [path for path in everything if unwanted in path.removeprefix(SITE)], unwanted
    assert not [path for path in everything if path.endswith((".c", ".h", ".pyi", ".pyc"))]


def test_the_fingerprint_follows_the_files(small: system_image.Plan) -> None:
    before = small.fingerprint()
    assert small.fingerprint() == before
    next(iter(small.own.values())).write_text("ANSWER = 43\n")
    assert small.fingerprint() != before


@pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox")
def test_the_same_files_make_the_same_image_under_all_its_names(small: system_image.Plan, tmp_path: Path) -> None:
    one = system_image.build(tmp_path / "one.tar", small)
    assert system_image.build(tmp_path / "two.tar", small).digest == one.digest
    with tarfile.open(one.archive) as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    entries = json.loads(read["index.json"])["manifests"]
    assert tuple(entry["annotations"]["io.containerd.image.name"] for entry in entries) == system_image.NAMES
    assert {entry["digest"] for entry in entries} == {one.digest}
    layers = json.loads(read[f"blobs/sha256/{one.digest[7:]}"])["layers"]
    assert [layer["mediaType"] for layer in layers] == [PLAIN_LAYER_TYPE] * 3


@pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox")
def test_python_is_compiled_ahead_and_libraries_come_along(small: system_image.Plan, tmp_path: Path) -> None:
    built = system_image.build(tmp_path / "x.tar", small)
    with tarfile.open(built.archive) as archive:
        manifest = json.loads(archive.extractfile(f"blobs/sha256/{built.digest[7:]}").read())  # type: ignore[union-attr]
        base, own = (
            archive.extractfile(f"blobs/sha256/{layer['digest'][7:]}").read() for layer in manifest["layers"][1:]
        )  # type: ignore[union-attr]
    with tarfile.open(fileobj=io.BytesIO(base)) as layer:
        assert any(Path(name).name.startswith("libc.so") for name in layer.getnames())
    with tarfile.open(fileobj=io.BytesIO(own)) as layer:
        names = layer.getnames()
        compiled = importlib.util.cache_from_source(f"{SITE}/one.py")
        data = layer.extractfile(compiled).read()  # type: ignore[union-attr]
    assert importlib.util.cache_from_source(f"{SITE}/broken.py") not in names
    (tmp_path / "one.pyc").write_bytes(data)
    spec = importlib.util.spec_from_file_location("one", tmp_path / "one.pyc")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ANSWER == 42


@pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox")
def test_layers_that_the_importer_has_are_left_out_of_the_archive(small: system_image.Plan, tmp_path: Path) -> None:
    whole = system_image.build(tmp_path / "whole.tar", small)
    short = system_image.build(tmp_path / "short.tar", small, whole.layers[:2])
    assert short.digest == whole.digest
    with tarfile.open(short.archive) as archive:
        names = archive.getnames()
    assert [f"blobs/sha256/{layer.digest[7:]}" in names for layer in short.layers] == [False, False, True]


def test_own_files_do_not_change_the_key_of_what_is_below(small: system_image.Plan) -> None:
    before = small.base_key()
    next(iter(small.own.values())).write_text("ANSWER = 43\n")
    assert small.base_key() == before


# -- image_store ------------------------------------------------------------------------------------------------------


def disk(folder: Path) -> Path:
    """A containerd's disk as the store keeps it, small."""
    for name in (*image_store._DATABASES, "content/blob"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> image_store.ImageStore:
    made = image_store.ImageStore(SystemClock(), tmp_path / "cache")
    disk(tmp_path / "cache" / "key")
    monkeypatch.setattr(image_store.ImageStore, "_key", staticmethod(lambda plan: "key"))
    return made


def test_a_node_gets_links_and_databases_of_its_own(store: image_store.ImageStore, tmp_path: Path) -> None:
    store.give(tmp_path / "node" / "containerd", tmp_path / "near")
    given, kept = tmp_path / "node" / "containerd", tmp_path / "cache" / "key"
    assert (given / "content/blob").samefile(kept / "content/blob")
    for name in image_store._DATABASES:
        assert (given / name).read_text() == name
        assert not (given / name).samefile(kept / name)


def test_a_disk_that_is_there_stays(store: image_store.ImageStore, tmp_path: Path) -> None:
    there = disk(tmp_path / "node")
    (there / "content/blob").write_text("mine")
    store.give(there, tmp_path / "near")
    assert (there / "content/blob").read_text() == "mine"


def test_only_the_last_used_states_stay(store: image_store.ImageStore, tmp_path: Path) -> None:
    for number in range(image_store.KEPT + 3):
        made = disk(tmp_path / "cache" / f"old-{number}")
        made.with_suffix(".json").write_text("{}")
        os.utime(made, (number, number))
    store._forget_old(tmp_path / "cache" / "key")
    left = {entry.name for entry in (tmp_path / "cache").iterdir() if entry.is_dir()}
    assert left == {"key", *(f"old-{number}" for number in range(4, image_store.KEPT + 3))}
    assert not (tmp_path / "cache" / "old-0.json").exists()


async def test_images_that_are_there_are_not_made_again(
    store: image_store.ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_store.ImageStore, "_make", None)
    await store.ready()
    store.make()
