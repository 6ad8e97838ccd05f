"""@kubernetes/client-node, in node: its tests are in node/clients.test.js."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import FETCHED, HERE, Cluster


@pytest.fixture(scope="session")
def packages() -> Path:
    """A folder with the packages of node/package-lock.json, installed once and kept beside the environment."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not on this machine")
    source = HERE / "node"
    lock = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = FETCHED / f"node-{lock}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        words = [
            "npm",
            "ci",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--fetch-timeout=20000",
            "--fetch-retries=1",
        ]
        try:
            installed = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not get the packages in time")
        if installed.returncode:
            pytest.skip(f"npm cannot get the packages: {installed.stderr.strip()[-200:]}")
        (folder / "done").touch()
    return folder


def test_the_javascript_client(cluster: Cluster, namespace: str, packages: Path):
    shutil.copy(HERE / "node" / "clients.test.js", packages)
    script = packages / "clients.test.js"
    ended = cluster.attempt(
        "node", "--test", "--test-reporter=tap", "--test-timeout=20000", script, NAMESPACE=namespace, timeout=60
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr
    assert "# pass 5" in ended.stdout
