"""Manifests of the Pods that the tests run: a container of our own image, a Pod of containers, volumes."""

from typing import Any

import pytest

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


def volume(source: str, obj: str, name: str = "v", mode: int | None = None, **fields: Any) -> Json:
    """A volume of a ConfigMap or Secret: `source` is `configMap`, `secret`, or either after `projected `."""
    kind = source.removeprefix("projected ")
    given = {"defaultMode": mode} if mode is not None else {}
    if source != kind:
        return {"name": name, "projected": {"sources": [{kind: {"name": obj, **fields}}], **given}}
    return {"name": name, kind: {"secretName" if kind == "secret" else "name": obj, **fields, **given}}


def entry(name: str, *values: str, **more: Any) -> Any:
    """A pytest.param that holds the entry of upstream's suite with that name."""
    return pytest.param(*values, marks=[pytest.mark.conformance(name), *more.pop("marks", ())], **more)
