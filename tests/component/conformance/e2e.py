"""A whole cluster on virtual time, and the words in which upstream's end-to-end tests of workloads are written."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.component.api import STRATEGIC, Api
from tests.component.conformance import typed

from pybernetes.testing import Cluster
from pybernetes.wire.http import read_body

APPS = "/apis/apps/v1/namespaces/default"
CORE = "/api/v1/namespaces/default"
PODS = f"{CORE}/pods"
HASH = "controller-revision-hash"
PULL_ERROR = "simulated.pybernetes.io/pull-error"
"""Annotation of a template whose image is not to be had: a simulated node knows every image."""


class Workloads(Api):
    """Requests to a running cluster as typed clients make them, in protobuf, but for those with a content type of their own,
    patches and watches. Waits are of virtual time."""

    patch = STRATEGIC

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.running.plane.api, cluster=cluster)
        self.cluster = cluster

    async def __call__(self, method: str, target: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        if body is not None and method != "PATCH" and "content_type" not in more:
            body = typed.encoded(method, target, body)
            more["content_type"] = typed.PROTOBUF
        response = await self.send(method, target, body, accept=typed.ACCEPT, **more)
        return response.status, typed.decoded(await read_body(response))

    async def sleep(self, seconds: float) -> None:
        """Lets the cluster's time pass."""
        await self.cluster.clock.sleep(seconds)

    async def poll(self, holds: Callable[[], Awaitable[Any]], seconds: float = 300, every: float = 1) -> Any:
        """What `holds` answers once that is anything."""
        end = self.cluster.clock.monotonic() + seconds
        while not (found := await holds()):
            assert self.cluster.clock.monotonic() < end, f"not within {seconds} s"
            await self.sleep(every)
        return found

    async def items(self, path: str) -> list[Any]:
        """Of a list."""
        return list((await self.ok("GET", path))["items"])

    async def there(self, one: str) -> bool:
        """Whether there is such an object."""
        code, _ = await self("GET", one)
        assert code in (200, 404)
        return code == 200

    async def since(self, path: str) -> str:
        """The revision of a list, from where its changes are watched."""
        return str((await self.ok("GET", path))["metadata"]["resourceVersion"])

    async def seen(
        self, path: str, since: str, holds: Callable[[str, Any], bool], *, query: str = "", seconds: float = 300
    ) -> Any:
        """The object of the first event since then of which `holds` is true."""
        events = await self.watch(f"{path}?watch=1&resourceVersion={since}{query}")
        try:
            async with asyncio.timeout(seconds):
                while True:
                    kind, obj = await events.next()
                    assert kind != "ERROR", obj
                    if holds(kind, obj):
                        return obj
        finally:
            await events.close()

    async def updated(self, one: str, change: Callable[[Any], None], *, below: str = "") -> Any:
        """A PUT of what is there with a change, again where it meets a conflict."""
        while True:
            obj = await self.ok("GET", one)
            change(obj)
            code, answer = await self("PUT", one + below, obj)
            if code != 409:
                assert code == 200, answer
                return answer

    async def active(self, labels: str) -> list[Any]:
        """Pods of these labels (`name=x`) that are not being deleted."""
        found = await self.items(f"{PODS}?labelSelector={labels.replace('=', '%3D')}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def running(self, labels: str, count: int) -> list[Any]:
        """That many Pods, and all of them run and are ready."""

        async def all_run() -> Any:
            found = await self.active(labels)
            return found if len(found) == count and all(map(is_ready, found)) else None

        return list(await self.poll(all_run))

    async def validate_status(self, path: str, name: str, since: str, selector: str) -> None:
        """What every "should validate ... Status endpoints" does while the controller is at work."""
        one, query = f"{path}/{name}", f"&labelSelector={selector}"
        assert (await self.ok("GET", f"{one}/status"))["status"]
        condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

        def add(obj: Any) -> None:
            obj["status"].setdefault("conditions", []).append(condition)

        await self.updated(one, add, below="/status")

        def told(kind: str, obj: Any) -> bool:
            return obj["metadata"]["name"] == name and any(
                condition.items() <= found.items() for found in obj["status"].get("conditions", ())
            )

        await self.seen(path, since, told, query=query)
        patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
        await self.ok("PATCH", f"{one}/status", patch, content_type="application/merge-patch+json")
        await self.seen(path, since, lambda kind, obj: "StatusPatched" in conditions(obj), query=query)

    async def validate_scale(self, one: str) -> None:
        """What every "should have a working scale subresource" does with one that has one replica, and runs it."""
        scale = await self.ok("GET", f"{one}/scale")
        assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
        del scale["metadata"]["resourceVersion"]
        scale["spec"]["replicas"] = 2
        assert (await self.ok("PUT", f"{one}/scale", scale))["spec"]["replicas"] == 2
        assert (await self.ok("GET", one))["spec"]["replicas"] == 2
        patch = {"metadata": {"creationTimestamp": None}, "spec": {"replicas": 4}, "status": {"replicas": 0}}
        await self.ok("PATCH", f"{one}/scale", patch)
        assert (await self.ok("GET", one))["spec"]["replicas"] == 4


@asynccontextmanager
async def workloads(nodes: int = 2, **options: Any) -> AsyncIterator[Workloads]:
    """A cluster with every controller, the scheduler and simulated nodes."""
    async with Cluster(nodes=nodes, seed=1, **options) as cluster:
        yield Workloads(cluster)


def is_ready(pod: Any) -> bool:
    """Runs, and says so."""
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    return bool(pod["status"]["phase"] == "Running" and ready)


def conditions(obj: Any) -> list[str]:
    """The types of its conditions."""
    return [found["type"] for found in obj["status"].get("conditions", ())]


def controller_of(obj: Any) -> Any:
    """The uid of its controller, if it has one."""
    refs = obj["metadata"].get("ownerReferences", ())
    return next((ref["uid"] for ref in refs if ref.get("controller")), None)


def template(labels: dict[str, str], name: str = "httpd", image: str = "httpd:2.4.38", **spec: Any) -> dict[str, Any]:
    """Of Pods with one container."""
    containers = [{"name": name, "image": image}]
    return {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers, **spec},
    }


def image_of(obj: Any) -> str:
    """That of the first container, of a Pod or of a template."""
    spec = obj["spec"].get("template", obj)["spec"]
    return str(spec["containers"][0]["image"])


def set_image(image: str, name: str = "") -> Callable[[Any], None]:
    """A change of the first container of a template; the new image is to be had."""

    def change(obj: Any) -> None:
        obj["spec"]["template"]["metadata"].pop("annotations", None)
        container = obj["spec"]["template"]["spec"]["containers"][0]
        container["image"] = image
        container["name"] = name or container["name"]

    return change


def set_missing_image(image: str) -> Callable[[Any], None]:
    """The same with an image that nobody has."""

    def change(obj: Any) -> None:
        set_image(image)(obj)
        obj["spec"]["template"]["metadata"]["annotations"] = {PULL_ERROR: "not found"}

    return change
