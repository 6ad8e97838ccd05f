"""Manifests that tests of clusters inside tests share."""

from typing import Any


def deployment(name: str, replicas: int) -> dict[str, Any]:
    """A Deployment of one container."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web"}]}},
        },
    }
