"""Manifests of the Pods that the tests run: a container of our own image, a Pod of containers, volumes."""

from typing import Any

TOOLS = "conformance/tools:1"
DEFAULTS = "conformance/defaults:1"
Json = dict[str, Any]


def container(*command: str, name: str = "c", **fields: Any) -> Json:
    """A container of the tools image; without a command it sleeps until it is told to end."""
    return {"name": name, "image": TOOLS, "command": list(command) or ["tool", "pause"], **fields}


def shell(script: str, name: str = "c", **fields: Any) -> Json:
    """A container that runs a script of busybox's shell."""
    return container("sh", "-c", script, name=name, **fields)


def pod(name: str, *containers: Json, **spec: Any) -> Json:
    """A Pod that runs once and ends within a second; `spec` is more of its PodSpec."""
    return {
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": list(containers) or [container()],
            **spec,
        },
    }


def mount(path: str, volume: str = "v", **fields: Any) -> Json:
    """A volumeMount."""
    return {"name": volume, "mountPath": path, **fields}
