"""Every example is true: descriptors are accepted by the API server, programs run, the extension extends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.examples import pages

from pybernetes.testing import Cluster
from pybernetes.wire.codecs import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.name[:2].isdigit())
DESCRIPTORS = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".yaml", ".yml", ".json"))
PATHS = {
    "Pod": "/api/v1/namespaces/default/pods",
    "Service": "/api/v1/namespaces/default/services",
    "ReplicationController": "/api/v1/namespaces/default/replicationcontrollers",
    "Deployment": "/apis/apps/v1/namespaces/default/deployments",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_example_has_something_that_is_tried(folder: Path) -> None:
    tried = [*DESCRIPTORS, *EXAMPLES.glob("*/main.py"), *EXAMPLES.glob("*/test_*.py")]
    assert any(folder in path.parents for path in tried), f"{folder.name} has nothing that a test tries"


async def test_every_descriptor_is_accepted_as_it_is() -> None:
    assert DESCRIPTORS
    async with Cluster(nodes=0) as cluster:
        client = cluster.client()
        for path in DESCRIPTORS:
            for document in yaml.load_all(path.read_bytes()):
                # Strict: a misspelt field of an example is a fault of the example.
                query = {"dryRun": "All", "fieldValidation": "Strict"}
                answer = await client.raw("POST", PATHS[document["kind"]], document, query=query)
                assert answer["metadata"]["name"] == document["metadata"]["name"], path


@pytest.mark.parametrize("program", sorted(EXAMPLES.glob("*/main.py")), ids=lambda path: path.parent.name)
def test_every_program_runs(program: Path) -> None:
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "pods of the shop: ['from-python']" in ended.stdout


EXTENDED = """
import asyncio, sys
from pathlib import Path

from pybernetes.api.types import core_v1
from pybernetes.assembly.cluster import until
from pybernetes.testing import Cluster
from pybernetes.wire.codecs import yaml


async def main():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client()
        await until(client, core_v1.Node, lambda nodes: len(nodes) == 2, "nodes")
        for name in ("node-1", "node-2"):
            await client.of(core_v1.Node).patch_raw(name, {"metadata": {"labels": {"example.com/pods-per-app": "2"}}})
        for document in yaml.load_all(Path(sys.argv[1]).read_bytes()):
            await client.raw("POST", "/apis/apps/v1/namespaces/default/deployments", document)
        four = lambda pods: sum(p.status.phase == "Running" for p in pods) == 4
        await until(client, core_v1.Pod, four, "four Pods", namespace="default")
        said = lambda events: any("had enough pods" in e.message for e in events)
        events = await until(client, core_v1.Event, said, "reason", namespace="default")
        print(next(e.message for e in events if "had enough pods" in e.message))


asyncio.run(main())
"""


def test_the_extension_does_what_its_readme_says(tmp_path: Path) -> None:
    folder = EXAMPLES / "04-extension"
    copy = tmp_path / "source"
    shutil.copytree(folder, copy)  # a build leaves files beside its source
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--target", str(tmp_path / "installed"), str(copy)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    ended = subprocess.run(
        [sys.executable, "-c", EXTENDED, folder / "pods.yaml"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    message = ended.stdout.strip()
    assert message == "0/2 nodes are available: 2 node(s) had enough pods of the app."
    assert message in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("shown", "printed", "fit"),
    [
        (["1 passed in 0.5s"], ["1 passed in 12.34s"], True),
        (["pod web-6cb9988b86-4pxhh  Pending"], ["pod web-7dc8f4b9d6-x2xkq   Pending"], True),
        (["...", "a", "..."], ["", "b", "a", "c"], True),
        (["a", "..."], ["b", "a"], False),
        (["a"], ["a", "b"], False),
        (["pod web-0 Pending"], ["pod web-0 Running"], False),
        (["..."], [], True),
        ([], ["a"], False),
    ],
)
def test_what_a_page_shows_is_compared(shown: list[str], printed: list[str], fit: bool) -> None:
    assert pages.fits(shown, printed) is fit
