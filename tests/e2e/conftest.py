"""One cluster for all end-to-end tests, brought up and taken down as a user does: `pybernetes up`, `pybernetes down`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.assembly.cluster import LocalCluster
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.sandbox import check_machine
from pybernetes.localcluster.spec import STATE_DIR

BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).parents[2] / "examples"
NAME = "e2e"


@dataclass(frozen=True)
class Up:
    """The running cluster, as a user has it: a kubeconfig and commands."""

    kubeconfig: Path
    nodes: LocalCluster

    def run(self, program: str | Path, *words: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Runs a command with the cluster's kubeconfig; its output. Fails the test with what it said otherwise."""
        ended = self.attempt(program, *words, stdin=stdin, timeout=timeout)
        assert ended.returncode == 0, f"{Path(program).name} {' '.join(words)}: {ended.stderr}{ended.stdout}"
        return ended.stdout

    def attempt(
        self, program: str | Path, *words: str, stdin: str | None = None, timeout: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command that may fail."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run(
            [str(program), *words],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Our own kubectl."""
        return self.run(BIN / "kubectl", *words, stdin=stdin)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts machines: longer limits, and the marker that says it needs root."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def up() -> Iterator[Up]:
    """The cluster, with the image of the examples pushed."""
    try:
        check_machine(Path("/var/lib"))
        if shutil.which("docker-registry") is None:
            raise LocalClusterError("docker-registry is missing: make setup")
    except LocalClusterError as error:
        pytest.skip(str(error))
    pybernetes = str(BIN / "pybernetes")
    subprocess.run([pybernetes, "down", "--name", NAME], capture_output=True, check=False)
    started = subprocess.run([pybernetes, "up", "--name", NAME], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        image = EXAMPLES / "01-first-pod" / "image"
        archive = STATE_DIR / NAME / "http-go.tar"
        build = [
            pybernetes,
            "image",
            "build",
            str(image),
            "-t",
            "gasbugs/http-go",
            "-o",
            str(archive),
            "--push",
            "--name",
            NAME,
        ]
        pushed = subprocess.run(build, capture_output=True, text=True, check=False)
        assert pushed.returncode == 0, pushed.stdout + pushed.stderr
        cluster = LocalCluster.open(NAME, SystemClock())
        assert cluster is not None
        yield Up(cluster.kubeconfig, cluster)
    finally:
        ended = subprocess.run([pybernetes, "down", "--name", NAME], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


@pytest.fixture
def namespace(up: Up, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, gone afterwards."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:40].strip("-")
    up.kubectl("create", "namespace", name)
    up.kubectl("wait", "serviceaccount", "default", "--for=create", "-n", name)
    yield name
    up.kubectl("delete", "namespace", name, "--timeout=120s")
