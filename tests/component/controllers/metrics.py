"""Metrics APIs of a test: what Pods use, what is told of objects and from outside, served where an APIService would be."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.component.controllers.world import World

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1
from pybernetes.wire.http import Request, Response

_PODS = re.compile(r"/apis/metrics\.k8s\.io/v1beta1/namespaces/([^/]+)/pods")
_CUSTOM = re.compile(r"/apis/custom\.metrics\.k8s\.io/([^/]+)/namespaces/([^/]+)/([^/]+)/(.+)")
_EXTERNAL = re.compile(r"/apis/external\.metrics\.k8s\.io/v1beta1/namespaces/([^/]+)/([^/]+)")


class MetricsApis:
    """Install with `world.wire.serve = MetricsApis(world)`. What is None is not served at all."""

    def __init__(self, w: World) -> None:
        self._w = w
        self.used: Callable[[core_v1.Pod, int], dict[str, dict[str, Any]] | None] | None = None
        """A Pod and how many run -> container -> resource -> quantity; None: nothing is known of the Pod."""
        self.versions: tuple[str, ...] = ()
        """Of the custom metrics API."""
        self.custom: dict[str, dict[str, Any]] = {}
        """`<resource>/<metric>` -> name -> quantity."""
        self.external: dict[str, list[Any]] | None = None
        """Metric -> values."""
        self.more: list[dict[str, Any]] = []
        """Items that are told beside those of Pods there are."""
        self.asked: list[str] = []

    def cpu(self, milli: Callable[[core_v1.Pod, int], int | None]) -> None:
        """Every Pod tells so many thousandths of a core in container `c`."""

        def used(pod: core_v1.Pod, count: int) -> dict[str, dict[str, Any]] | None:
            found = milli(pod, count)
            return None if found is None else {"c": {"cpu": f"{found}m"}}

        self.used = used

    def load(self, milli: int) -> None:
        """So many thousandths of a core altogether, whoever runs."""
        self.cpu(lambda pod, count: milli // count)

    async def __call__(self, request: Request) -> Response | None:
        parts = urlsplit(request.target)
        path, query = unquote(parts.path), {name: values[0] for name, values in parse_qs(parts.query).items()}
        if ".metrics.k8s.io" not in path and not path.startswith("/apis/metrics.k8s.io"):
            return None
        self.asked.append(unquote(request.target))
        if found := _PODS.fullmatch(path):
            return await self._pods(found[1], query)
        if path == "/apis/custom.metrics.k8s.io" and self.versions:
            named = [{"groupVersion": f"custom.metrics.k8s.io/{v}", "version": v} for v in self.versions]
            return _answer({"kind": "APIGroup", "versions": named, "preferredVersion": named[0]})
        if (found := _CUSTOM.fullmatch(path)) and found[1] in self.versions:
            return self._custom(found[2], found[3], found[4])
        if (found := _EXTERNAL.fullmatch(path)) and self.external is not None:
            items = [
                {"metricName": found[2], "timestamp": self._now(), "value": v} for v in self.external.get(found[2], [])
            ]
            return _answer({"items": items})
        return Response(404, body=b"404 page not found\n")

    async def _pods(self, namespace: str, query: dict[str, str]) -> Response:
        if self.used is None:
            return Response(404, body=b"404 page not found\n")
        pods = await self._w.all(core_v1.Pod, namespace, labels=query.get("labelSelector", ""))
        running = [pod for pod in pods if pod.status.phase == "Running" and not pod.metadata.deletionTimestamp]
        items = list(self.more)
        for pod in running:
            used = self.used(pod, len(running))
            if used is not None:
                containers = [{"name": name, "usage": usage} for name, usage in used.items()]
                meta = {"name": pod.metadata.name, "namespace": namespace}
                items.append({"metadata": meta, "timestamp": self._now(), "window": "15s", "containers": containers})
        return _answer({"kind": "PodMetricsList", "items": items})

    def _custom(self, namespace: str, resource: str, rest: str) -> Response:
        name, _, metric = rest.rpartition("/")
        name = namespace if resource == "metrics" else name  # of the namespace itself
        values = self.custom.get(f"{resource}/{metric}", {})
        wanted = values if name == "*" else {key: value for key, value in values.items() if key == name}
        items = [
            {"describedObject": {"name": key}, "timestamp": self._now(), "value": value}
            for key, value in wanted.items()
        ]
        return _answer({"kind": "MetricValueList", "items": items})

    def _now(self) -> str:
        return rfc3339(self._w.clock.now())


def _answer(body: dict[str, Any]) -> Response:
    return Response(200, body=json.dumps(body).encode())
