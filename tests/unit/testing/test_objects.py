"""Manifests are read as kubectl reads them, and what is none is told with its place."""

from pathlib import Path

import pytest

from pybernetes.testing.objects import documents

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
TEXT = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"


@pytest.mark.parametrize(
    "source",
    [
        TEXT,
        TEXT.encode(),
        f"---\n{TEXT}---\n",
        POD,
        [POD],
        (POD,),
        {"kind": "List", "apiVersion": "v1", "items": [POD]},
    ],
)
def test_a_manifest_is_text_or_objects(source):
    assert [obj for _, obj in documents(source)] == [POD]


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path):
    (tmp_path / "b.yaml").write_text(TEXT.replace("web", "second"))
    (tmp_path / "a.json").write_text('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "first"}}')
    (tmp_path / "notes.txt").write_text("no manifest")
    assert [obj["metadata"]["name"] for _, obj in documents(tmp_path)] == ["first", "second"]
    assert [where for where, _ in documents(tmp_path / "b.yaml")] == [str(tmp_path / "b.yaml")]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", "manifest: no object in it"),
        ("kind: [", "manifest: "),
        ("- a", "manifest: document 1 is no object but list"),
        ("shop.yaml", r"'shop.yaml' is read as YAML; for a file give Path\('shop.yaml'\)"),
        ({"kind": "Pod", "metadata": {"name": "web"}}, "manifest: apiVersion not set"),
        ({"apiVersion": "v1", "metadata": {"name": "web"}}, "manifest: kind not set"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-"}}, "Pod without metadata.name"),
        ({"apiVersion": "v1", "kind": "Pod"}, "Pod without metadata.name"),
        ([POD, "Pod"], "manifest 2: an object is wanted, found str"),
        (7, "a Path, not int"),
    ],
)
def test_what_is_no_manifest_is_told(source, text):
    with pytest.raises(ValueError, match=text):
        list(documents(source))


def test_a_folder_without_manifests_is_told(tmp_path: Path):
    with pytest.raises(ValueError, match=r"has no file that ends with \.yaml"):
        list(documents(tmp_path))
    with pytest.raises(FileNotFoundError):
        list(documents(tmp_path / "missing.yaml"))
