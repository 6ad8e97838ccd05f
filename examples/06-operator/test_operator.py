"""The operator against a real API: definitions, validation, status, owner references and garbage collection work.

`pip install pybernetes pytest kopf kubernetes-asyncio`, then `pytest`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybernetes.api.errors import Invalid
from pybernetes.testing import SyncCluster

HERE = Path(__file__).parent


@pytest.fixture
def operator(cluster: SyncCluster, namespace: str) -> Iterator[None]:
    cluster.apply(HERE / "greetings.yaml")
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", namespace, HERE / "operator.py"]
    with subprocess.Popen(command, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig())}) as running:
        yield
        running.terminate()


def greeting(**spec: str) -> dict[str, object]:
    return {"apiVersion": "example.com/v1", "kind": "Greeting", "metadata": {"name": "hello"}, "spec": spec}


def test_a_greeting_becomes_a_config_map(cluster: SyncCluster, namespace: str, operator: None) -> None:
    cluster.apply(greeting(name="world"), namespace=namespace)
    cluster.wait("configmap/hello", "jsonpath={.data.text}=Hello, world!", namespace=namespace)
    cluster.wait("greeting/hello", "jsonpath={.status.said}=Hello, world!", namespace=namespace)

    cluster.apply(greeting(name="moon"), namespace=namespace)
    cluster.wait("configmap/hello", "jsonpath={.data.text}=Hello, moon!", namespace=namespace)

    cluster.raw("DELETE", f"/apis/example.com/v1/namespaces/{namespace}/greetings/hello")
    cluster.wait("configmap/hello", "delete", namespace=namespace)


def test_what_the_schema_forbids_never_reaches_the_operator(cluster: SyncCluster, namespace: str) -> None:
    cluster.apply(HERE / "greetings.yaml")
    with pytest.raises(Invalid, match=r"spec\.name"):
        cluster.apply(greeting(name=""), namespace=namespace)
