"""Where the tests run: a whole cluster of two nodes, and for each test a namespace with what is done there all the time.

`Place` is the cluster (API server, scheduler, controllers, two kubelets with a containerd each, the pod network), `Space`
a namespace of it. Objects are plain JSON; pods.py writes their manifests.
"""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from tests.component import api as component
from tests.node.conformance import pods

from pybernetes.aio.clock import SystemClock
from pybernetes.assembly import managed
from pybernetes.assembly.cluster import LocalCluster
from pybernetes.assembly.progress import Progress
from pybernetes.client import kubeconfig
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.image import build_image
from pybernetes.localcluster.spec import STATE_DIR
from pybernetes.wire import channels, websocket
from pybernetes.wire.http import Headers, Request, Response, Transport, read_body

CLUSTER = "conformance-"
"""Then the process's number: several may be at work on one machine."""
IMAGES = Path(__file__).parents[2] / "images"
TAINT = "node-role.kubernetes.io/control-plane"
Json = dict[str, Any]
Holds = Callable[[Json | None], bool]


class Remote(component.Api):
    """Requests to the cluster's API server as its administrator."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        """The whole response; headers are named with underscores."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if body is not None and "content_type" not in headers:
            named.append(("content-type", self.patch if method == "PATCH" else "application/json"))
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return await self._transport(Request(method, target, Headers(named), raw))

    async def watch(self, target: str, **more: Any) -> component.Events:
        """A watch: `target` must ask for one."""
        response = await self.send("GET", target, **more)
        assert response.status == 200, await read_body(response)
        assert not isinstance(response.body, bytes)
        return component.Events(_lines(response.body))

    async def connect(self, target: str, protocols: list[str]) -> websocket.WebSocket:
        """A WebSocket; fails the test with what the server says otherwise."""
        found = await websocket.connect(self._transport, Request("GET", target), protocols)
        if isinstance(found, Response):
            raise AssertionError(f"{target}: {found.status} {(await read_body(found)).decode(errors='replace')}")
        return found


class Place:
    """The cluster."""

    def __init__(self, cluster: LocalCluster, *, own: bool) -> None:
        self.cluster = cluster
        self.nodes = cluster.record.nodes
        self._own = own
        self._connection = kubeconfig.transport_of(kubeconfig.load(cluster.kubeconfig))
        self.api = Remote(self._connection)
        self._number = 0
        self._left: list[str] = []

    @classmethod
    async def open(cls) -> "Place":
        """A new cluster, or the one of CONFORMANCE_CLUSTER; with the images of the tests. Raises LocalClusterError."""
        clock = SystemClock()
        name = os.environ.get("CONFORMANCE_CLUSTER", "")
        own = not name
        if own:
            for folder in STATE_DIR.glob(f"{CLUSTER}*"):
                if not Path("/proc", folder.name.removeprefix(CLUSTER)).exists():  # of a run that was killed
                    await managed.down(folder.name, STATE_DIR, clock)
            name = f"{CLUSTER}{os.getpid()}"
            settings = managed.Settings(name, STATE_DIR, nodes=2, simulated=0, api_port=_free_port())
            await managed.up(settings, Progress(clock), clock)
        cluster = LocalCluster.open(name, clock)
        if cluster is None:
            raise LocalClusterError(f"no cluster {name!r}")
        made = cls(cluster, own=own)
        await made._prepare()
        return made

    async def _prepare(self) -> None:
        """Images in the registry; Pods on both nodes."""
        for folder in sorted(path for path in IMAGES.iterdir() if path.is_dir()):
            archive = self.cluster.folder / f"{folder.name}.tar"
            built = await asyncio.to_thread(build_image, folder, f"conformance/{folder.name}:1", archive)
            await self.cluster.push(built)
            archive.unlink()
        for name in self.nodes:
            node = await self.api.ok("GET", f"/api/v1/nodes/{name}")
            kept = [taint for taint in node["spec"].get("taints", []) if taint["key"] != TAINT]
            await self.api.ok("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": kept}})

    async def space(self, test: str) -> "Space":
        """A new namespace for a test, with its ServiceAccount."""
        self._number += 1
        readable = re.sub("[^a-z0-9]+", "-", test.lower().removeprefix("test_"))[:40].strip("-")
        name = f"{readable}-{os.getpid() % 1000}-{self._number}"
        await self.api.made("/api/v1/namespaces", {"metadata": {"name": name}})
        made = Space(self, name)
        await made.until("default", lambda account: account is not None, plural="serviceaccounts")
        await made.until("kube-root-ca.crt", lambda found: found is not None, plural="configmaps")
        return made

    def leaves(self, name: str) -> None:
        """A namespace whose test is over."""
        self._left.append(name)

    async def close(self) -> None:
        """Ends the cluster, or leaves one that was there before. Fails where a namespace does not go."""
        try:
            async with asyncio.timeout(60):
                while names := [name for name in self._left if (await self._namespace(name)) is not None]:
                    await asyncio.sleep(0.2)
        except TimeoutError:
            told = [str((await self._namespace(name) or {}).get("status")) for name in names]
            raise AssertionError(f"namespaces that do not go: {dict(zip(names, told, strict=True))}") from None
        finally:
            await self._connection.aclose()
            if self._own:
                await managed.down(self.cluster.record.name, STATE_DIR, self.cluster.clock)
            self.cluster.switch.close()

    async def _namespace(self, name: str) -> Json | None:
        code, found = await self.api("GET", f"/api/v1/namespaces/{name}")
        return None if code == 404 else found


class Space:
    """A namespace of a test's own."""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.api = place.api
        self.name = name
        self._settled = 0

    def path(self, plural: str, name: str = "", group: str = "/api/v1") -> str:
        """The path of a collection here, or of one object."""
        return f"{group}/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "")

    async def create(self, plural: str, obj: Json) -> Json:
        """POST; the object as stored."""
        found: Json = await self.api.made(self.path(plural), obj)
        return found

    async def get(self, name: str, plural: str = "pods") -> Json:
        """GET."""
        found: Json = await self.api.ok("GET", self.path(plural, name))
        return found

    async def patch(self, name: str, change: Json, plural: str = "pods", *, status: bool = False) -> Json:
        """A merge patch."""
        path = self.path(plural, name) + ("/status" if status else "")
        found: Json = await self.api.ok("PATCH", path, change)
        return found

    async def delete(self, name: str, plural: str = "pods", grace: int | None = None) -> None:
        """DELETE."""
        await self.api.ok(
            "DELETE", self.path(plural, name) + (f"?gracePeriodSeconds={grace}" if grace is not None else "")
        )

    def address_of(self, node: str) -> str:
        """A node's address."""
        return self.place.cluster.nodes[node].spec.address

    async def settled(self) -> None:
        """Whatever was made before this is known on all nodes: each has seen a Pod that came after it end."""
        self._settled += 1
        for node in self.place.nodes:
            name = f"settled-{self._settled}-{node}"
            await self.create("pods", pods.pod(name, pods.container("true"), nodeName=node))
            await self.until(name, finished)

    # -- Pods ----------------------------------------------------------------------------------------------------------

    async def run(self, pod: Json) -> Json:
        """Creates a Pod and waits until it is ready."""
        await self.create("pods", pod)
        return await self.until(pod["metadata"]["name"], ready)

    async def output(self, pod: Json, container: str = "") -> str:
        """Creates a Pod, waits for its success, and answers what it (or that container) has printed."""
        await self.create("pods", pod)
        name = pod["metadata"]["name"]
        ended = await self.until(name, finished)
        said = await self.logs(name, container or pod["spec"]["containers"][0]["name"])
        assert ended["status"]["phase"] == "Succeeded", said
        return said

    async def until(self, name: str, holds: Holds, timeout: float = 100.0, *, plural: str = "pods") -> Json:
        """Follows an object until something holds of it (None: it is not there); the object."""
        path = f"{self.path(plural)}?fieldSelector=metadata.name%3D{name}"
        last: Json | None = None
        try:
            async with asyncio.timeout(timeout):
                listed = await self.api.ok("GET", path)
                last = listed["items"][0] if listed["items"] else None
                if holds(last):
                    return last or {}
                events = await self.api.watch(f"{path}&watch=1&resourceVersion={listed['metadata']['resourceVersion']}")
                try:
                    while True:
                        kind, found = await events.next()
                        assert kind != "ERROR", found
                        last = None if kind == "DELETED" else found
                        if holds(last):
                            return found
                finally:
                    await events.close()
        except TimeoutError:
            raise AssertionError(f"not within {timeout} s: {name}: {last and last.get('status')}") from None

    async def logs(self, name: str, container: str = "", **options: Any) -> str:
        """What a container printed."""
        query = urlencode({**({"container": container} if container else {}), **options})
        response = await self.api.send("GET", f"{self.path('pods', name)}/log?{query}")
        text = (await read_body(response)).decode()
        assert response.status == 200, text
        return text

    async def says(self, name: str, wanted: str, container: str = "", timeout: float = 100.0) -> str:
        """Follows a container's log, once it has started, until a text is in it (a line that is whole); the log so far."""
        await self.until(name, lambda pod: _has_run(pod, container), timeout)
        query = urlencode({**({"container": container} if container else {}), "follow": "true"})
        said = b""
        try:
            async with asyncio.timeout(timeout):
                response = await self.api.send("GET", f"{self.path('pods', name)}/log?{query}")
                assert response.status == 200, await read_body(response)
                if isinstance(response.body, bytes):
                    said = response.body
                else:
                    async with contextlib.aclosing(response.body) as body:  # type: ignore[type-var]
                        async for piece in body:
                            said += piece
                            if wanted.encode() in said:
                                break
        except TimeoutError:
            pass
        text = said.decode(errors="replace")
        assert wanted in text, f"{name} did not say {wanted!r} within {timeout} s: {text[-2000:]!r}"
        return text

    async def exec(self, name: str, *command: str, container: str = "") -> tuple[int, str]:
        """A command in a container: exit code and all that it printed."""
        query = [("command", word) for word in command] + [("stdout", "true"), ("stderr", "true")]
        query += [("container", container)] if container else []
        target = f"{self.path('pods', name)}/exec?{urlencode(query)}"
        streams = channels.Channels(await self.api.connect(target, [channels.V5]))
        printed, status = b"", b""
        while (message := await streams.receive()) is not None:
            channel, data = message
            if channel == channels.ERROR:
                status += data or b""
            else:
                printed += data or b""
        await streams.close()
        ended = orjson.loads(status)
        causes = ended.get("details", {}).get("causes", [])
        code = next(
            (int(c["message"]) for c in causes if c["reason"] == "ExitCode"), 0 if ended["status"] == "Success" else -1
        )
        return code, printed.decode(errors="replace") if code >= 0 else str(ended)

    async def events(self, name: str, reason: str) -> list[str]:
        """Messages of the events with this reason about a Pod, so far."""
        listed = await self.api.ok("GET", self.path("events"))
        return [
            event["message"]
            for event in listed["items"]
            if event["involvedObject"]["name"] == name and event["reason"] == reason
        ]

    async def event(self, name: str, reason: str, text: str = "", timeout: float = 60.0) -> str:
        """Waits for an event about a Pod; its message."""
        path = f"{self.path('events')}?fieldSelector=involvedObject.name%3D{name}"
        seen: list[str] = []
        try:
            async with asyncio.timeout(timeout):
                listed = await self.api.ok("GET", path)
                found = listed["items"]
                events = await self.api.watch(f"{path}&watch=1&resourceVersion={listed['metadata']['resourceVersion']}")
                try:
                    while True:
                        for event in found:
                            if event["reason"] == reason and text in event["message"]:
                                return str(event["message"])
                        seen += [f"{event['reason']}: {event['message']}" for event in found]
                        found = [(await events.next())[1]]
                finally:
                    await events.close()
        except TimeoutError:
            raise AssertionError(f"no event {reason} within {timeout} s about {name}, only {seen}") from None

    # -- the end -------------------------------------------------------------------------------------------------------

    async def story(self) -> str:
        """What a failure's report shows of the Pods here: their statuses and events."""
        lines = []
        for pod in (await self.api.ok("GET", self.path("pods")))["items"]:
            lines.append(f"{pod['metadata']['name']} on {pod['spec'].get('nodeName')}: {pod['status']}")
        for event in (await self.api.ok("GET", self.path("events")))["items"]:
            lines.append(f"  {event['involvedObject']['name']}: {event['type']} {event['reason']}: {event['message']}")
        return "\n".join(lines)

    async def leave(self) -> None:
        """Deletes the namespace, without waiting: the end of all tests does."""
        code, answer = await self.api("DELETE", f"/api/v1/namespaces/{self.name}")
        assert code in (200, 404), answer
        self.place.leaves(self.name)


def _free_port() -> int:
    """Any but the usual one: that is taken as soon as another cluster comes up meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gone(pod: Json | None) -> bool:
    """No longer in the API."""
    return pod is None


def condition(pod: Json | None, kind: str) -> str:
    """Status of a condition, or ""."""
    found = (pod or {}).get("status", {}).get("conditions", [])
    return next((c["status"] for c in found if c["type"] == kind), "")


def ready(pod: Json | None) -> bool:
    """Ready; fails at once for one that has ended."""
    assert pod is not None
    assert not finished(pod), f"ended instead of getting ready: {pod['status']}"
    return condition(pod, "Ready") == "True"


def running(pod: Json | None) -> bool:
    """In phase Running; fails at once for one that has ended."""
    assert pod is not None
    assert not finished(pod), f"ended instead of running: {pod['status']}"
    return bool(pod["status"].get("phase") == "Running")


def finished(pod: Json | None) -> bool:
    """Succeeded or Failed."""
    return pod is not None and pod["status"].get("phase") in ("Succeeded", "Failed")


def statuses(pod: Json | None, kind: str = "containerStatuses") -> dict[str, Json]:
    """Status of each container by its name."""
    return {status["name"]: status for status in (pod or {}).get("status", {}).get(kind, [])}


def _has_run(pod: Json | None, container: str) -> bool:
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    known = {name: status for kind in kinds for name, status in statuses(pod, kind).items()}
    chosen = known.get(container) if container else next(iter(known.values()), None)
    return chosen is not None and "waiting" not in chosen["state"]


def restarts(pod: Json | None, container: str = "c") -> int:
    """How often a container was started again."""
    return int(statuses(pod).get(container, {}).get("restartCount", 0))


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines of a stream that comes in pieces."""
    rest = b""
    try:
        async for piece in body:
            whole, newline, rest = (rest + piece).rpartition(b"\n")
            if newline:
                yield whole
    finally:
        await body.aclose()  # type: ignore[attr-defined]
