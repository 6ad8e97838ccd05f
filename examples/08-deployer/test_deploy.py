"""The deployer as its users run it: a process that calls kubectl. `pip install pybernetes pytest`, then `pytest`."""

import os
import subprocess
import sys
from pathlib import Path

from pybernetes.testing import SyncCluster

HERE = Path(__file__).parent


def deployed(cluster: SyncCluster, namespace: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """kubectl is the one of this environment: pybernetes brings it. Any other works as well."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig()), "PATH": path}
    command = [sys.executable, HERE / "deploy.py", namespace, *files]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_a_release_comes_up(cluster: SyncCluster, namespace: str) -> None:
    ended = deployed(cluster, namespace, HERE / "shop.yaml")
    assert (ended.returncode, ended.stdout) == (0, f"2 objects are up in {namespace}\n"), ended.stderr
    cluster.wait("pods", "condition=Ready", labels="app=shop", namespace=namespace)
    slices = cluster.raw("GET", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
    assert [len(slice["endpoints"]) for slice in slices] == [2]


def test_a_release_that_does_not_come_up_is_taken_back(cluster: SyncCluster, namespace: str, tmp_path: Path) -> None:
    assert deployed(cluster, namespace, HERE / "shop.yaml").returncode == 0
    broken = tmp_path / "shop.yaml"
    text = (HERE / "shop.yaml").read_text().replace("shop:1", "shop:2")
    broken.write_text(text.replace("    spec:\n", "    spec:\n      nodeSelector: {disk: none-has-it}\n", 1))
    ended = deployed(cluster, namespace, broken)
    assert ended.returncode == 1
    assert "deployment.apps/shop did not come up: it is what it was before" in ended.stderr
    cluster.wait("deployment/shop", "jsonpath={.spec.template.spec.containers[0].image}=shop:1", namespace=namespace)
    cluster.wait("deployment/shop", "condition=Available", namespace=namespace)
