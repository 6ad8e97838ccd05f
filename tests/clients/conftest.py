"""One real cluster for all client tests: `pybernetes up --simulated-nodes 2`, a process of its own behind TLS."""

import base64
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any
from zlib import crc32

import pytest
import yaml

from tests.clients.web import Web
from tests.kubectls import machines_kubectl

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
FETCHED = Path(__file__).parents[2] / ".venv" / "clients"
"""Where `make setup` puts clients that it fetches."""
NAME = "clients"


@dataclass(frozen=True)
class Cluster:
    """The running cluster as its users have it: a kubeconfig, and a home of their own for caches."""

    kubeconfig: Path
    home: Path

    @property
    def config(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load(self.kubeconfig.read_text())
        return loaded

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self.config["clusters"][0]["cluster"]["server"])

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process is started with."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), "COLUMNS": "200"}

    def web(self) -> Web:
        """A connection that speaks HTTP and nothing of Kubernetes."""
        return Web(self.server, _context(self.config, self.home))

    def attempt(
        self, *words: str | Path, stdin: str | None = None, timeout: float = 60, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a client that may fail."""
        return subprocess.run(
            [str(word) for word in words],
            input=stdin,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(self, *words: str | Path, **environment: str) -> str:
        """What a client prints; fails the test when it fails."""
        ended = self.attempt(*words, **environment)
        assert ended.returncode == 0, f"{' '.join(map(str, words))}: {ended.stderr}{ended.stdout}"
        return ended.stdout

    @contextmanager
    def started(self, *words: str | Path, **environment: str) -> "Iterator[subprocess.Popen[str]]":
        """A client that goes on until the end of the block."""
        named = {**self.environment, **environment}
        with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True, env=named) as process:
            limit = Timer(60, process.kill)  # a test that waits for what it says must not wait forever
            limit.start()
            try:
                yield process
            finally:
                limit.cancel()
                process.terminate()


@dataclass(frozen=True)
class Kubectl:
    """A kubectl of some make, in the namespace of the test."""

    program: Path
    cluster: Cluster
    namespace: str

    def __call__(self, *words: str | Path, stdin: str | None = None, **environment: str) -> str:
        """What it prints; fails the test when it fails."""
        ended = self.attempt(*words, stdin=stdin, **environment)
        assert ended.returncode == 0, f"kubectl {' '.join(map(str, words))}: {ended.stderr}{ended.stdout}"
        return ended.stdout

    def fails(self, *words: str | Path, stdin: str | None = None) -> str:
        """What it complains of; fails the test when it does not fail."""
        ended = self.attempt(*words, stdin=stdin)
        assert ended.returncode != 0, f"kubectl {' '.join(map(str, words))} did not fail: {ended.stdout}"
        return ended.stderr

    def attempt(
        self, *words: str | Path, stdin: str | None = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs it."""
        return self.cluster.attempt(self.program, "-n", self.namespace, *words, stdin=stdin, **environment)


def _context(config: dict[str, Any], folder: Path) -> ssl.SSLContext:
    """TLS with the authority and the client certificate of a kubeconfig."""
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    user = config["users"][0]["user"]
    pair = folder / "client.pem"
    if not pair.exists():
        pair.write_bytes(b"\n".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("key", "certificate")))
    context = ssl.create_default_context(cadata=authority.decode())
    context.load_cert_chain(pair)
    return context


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster; it and its folder are gone afterwards, whatever happens."""
    folder = tmp_path_factory.mktemp("clients")
    pybernetes = str(BIN / "pybernetes")
    named = ["--name", NAME, "--state-dir", str(folder / "state")]
    try:
        started = subprocess.run(
            [pybernetes, "up", "--simulated-nodes", "2", *named], capture_output=True, text=True, check=False
        )
        assert started.returncode == 0, started.stdout + started.stderr
        home = folder / "home"
        home.mkdir()
        yield Cluster(folder / "state" / NAME / "admin.conf", home)
    finally:
        ended = subprocess.run([pybernetes, "down", *named], capture_output=True, text=True, check=False)
        shutil.rmtree(folder)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, ready for Pods; going afterwards."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-").removeprefix("test-")
    if len(name) > 45:
        name = f"{name[:36].strip('-')}-{crc32(name.encode()):08x}"
    with cluster.web() as web:
        web.call("POST", "/api/v1/namespaces", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
        web.wait(f"/api/v1/namespaces/{name}/serviceaccounts/default")
        web.wait(f"/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt")
        yield name
        web.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """The machine's own."""
    return Kubectl(Path(machines_kubectl()), cluster, namespace)


@pytest.fixture
def old_kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl 1.20, from Debian's kubernetes-client."""
    program = FETCHED / "kubernetes-client" / "usr" / "bin" / "kubectl"
    if not program.exists():
        pytest.skip("Debian's kubernetes-client is not there: `make setup` fetches it where it can")
    return Kubectl(program, cluster, namespace)
