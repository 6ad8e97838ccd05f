"""Extensions: one new file or one installed package adds one thing, and what is not wired is a fault at once."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pybernetes.aio.discover import DiscoveryError, discover
from pybernetes.apiserver.admit import Admission
from pybernetes.apiserver.resource import Resource
from pybernetes.controllers.runtime import Controller
from pybernetes.kubeadm.workflow import Phase
from pybernetes.kubectl.command import Command
from pybernetes.kubelet.volume import VolumeType
from pybernetes.network.backend import Backend as NetworkBackend
from pybernetes.proxy.backend import Backend as ProxyBackend
from pybernetes.scheduler.framework import Plugin
from pybernetes.store.protocol import StoreFactory

EXTENSION = Path(__file__).parents[2] / "packages" / "extension"

# Kind of addition, its package, modules beside the extensions, the constant, its type.
KINDS = [
    ("resources", "pybernetes.apiserver.resources", (), "RESOURCE", Resource),
    ("admission", "pybernetes.apiserver.admission", (), "ADMISSION", Admission),
    ("controllers", "pybernetes.controllers", ("runtime",), "CONTROLLER", Controller),
    ("scheduler_plugins", "pybernetes.scheduler.plugins", (), "PLUGIN", Plugin),
    ("volumes", "pybernetes.kubelet.volumes", (), "VOLUME", VolumeType),
    ("proxy_backends", "pybernetes.proxy.backends", (), "BACKEND", ProxyBackend),
    ("network_backends", "pybernetes.network.backends", (), "BACKEND", NetworkBackend),
    ("stores", "pybernetes.store", ("dump", "protocol", "snapshots"), "STORE", StoreFactory),
    ("kubectl_commands", "pybernetes.kubectl.commands", (), "COMMAND", Command),
    ("kubeadm_phases", "pybernetes.kubeadm.phases", (), "PHASE", Phase),
]


@pytest.mark.parametrize(("package", "skip", "constant", "kind"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
def test_every_kind_of_addition_has_a_real_example(
    package: str, skip: tuple[str, ...], constant: str, kind: type[object]
) -> None:
    assert discover(package, constant, kind, skip=skip), f"{package} has no {constant} yet"


@pytest.mark.parametrize("name", [k[0] for k in KINDS])
def test_every_kind_of_addition_is_open_to_other_packages(name: str) -> None:
    source = Path(import_module("pybernetes").__path__[0])
    group = f"pybernetes.{name}"
    named = [path.name for path in source.rglob("*.py") if f'"{group}' in path.read_text()]
    assert named, f"no part asks for entry points of {group}"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty package to put files into; its folder is tmp_path / its name."""
    name = f"made_for_{abs(hash(request.node.name))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_constants_are_found_by_path_and_helpers_are_not(tmp_path: Path, package: str) -> None:
    folder = tmp_path / package
    (folder / "one.py").write_text("THING = 1")
    (folder / "_helper.py").write_text("")
    (folder / "skipped.py").write_text("")
    (folder / "below").mkdir()
    (folder / "below" / "__init__.py").touch()
    (folder / "below" / "two.py").write_text("THING = 2")
    assert discover(package, "THING", int, skip=("skipped",)) == {"one": 1, "below/two": 2}


def test_a_file_without_its_constant_is_named(tmp_path: Path, package: str) -> None:
    (tmp_path / package / "empty.py").touch()
    with pytest.raises(DiscoveryError, match=rf"{package}\.empty exports no THING"):
        discover(package, "THING", int)


def test_a_constant_of_another_type_is_named(tmp_path: Path, package: str) -> None:
    (tmp_path / package / "wrong.py").write_text("THING = 'text'")
    with pytest.raises(DiscoveryError, match=rf"{package}\.wrong\.THING is a str, wanted int"):
        discover(package, "THING", int)


INSTALLED = """
from pybernetes.aio.discover import DiscoveryError, discover
from pybernetes.scheduler.framework import Plugin

found = discover("pybernetes.scheduler.plugins", "PLUGIN", Plugin, group="pybernetes.scheduler_plugins")
assert found["no_friday"].name == "NoFriday", found
try:
    discover("pybernetes.scheduler.plugins", "PLUGIN", Plugin, group="pybernetes.broken")
except DiscoveryError as error:
    print(error)
"""

CLUSTER = """
import asyncio

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.assembly.cluster import until
from pybernetes.testing import Cluster


def pod(name):
    spec = core_v1.PodSpec(containers=(core_v1.Container(name="main", image="web"),))
    return core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), spec=spec)


async def main():
    async with Cluster(nodes=2) as cluster:
        client = cluster.client()
        await until(client, core_v1.Node, lambda nodes: len(nodes) == 2, "nodes")
        await client.of(core_v1.Node).patch_raw("node-1", {"metadata": {"labels": {"no-friday": ""}}})
        for number in range(6):
            await client.of(core_v1.Pod).create(pod(f"web-{number}"))
        running = lambda pods: len(pods) == 6 and all(p.status.phase == "Running" for p in pods)
        pods = await until(client, core_v1.Pod, running, "running", namespace="default")
        assert {p.spec.nodeName for p in pods} == {"node-2"}, [p.spec.nodeName for p in pods]
        await client.of(core_v1.Node).patch_raw("node-2", {"metadata": {"labels": {"no-friday": ""}}})
        await client.of(core_v1.Pod).create(pod("late"))
        said = lambda events: any("node(s) have Friday off" in e.message for e in events)
        events = await until(client, core_v1.Event, said, "reason", namespace="default")
        print(next(e.message for e in events if "Friday" in e.message))


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the extension package installed, by pip as a user does it."""
    target = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "extension"
    # pip builds in the source folder; a copy keeps the project's own free of what that leaves.
    shutil.copytree(EXTENSION, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    return {**os.environ, "PYTHONPATH": str(target)}


def _python(program: str, environment: dict[str, str]) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_an_installed_package_adds_to_the_table(installed: dict[str, str]) -> None:
    assert _python(INSTALLED, installed) == "entry point pybernetes.broken:broken is a int, wanted Plugin\n"


def test_a_cluster_heeds_the_installed_plugin(installed: dict[str, str]) -> None:
    assert "0/2 nodes are available: 2 node(s) have Friday off." in _python(CLUSTER, installed)
