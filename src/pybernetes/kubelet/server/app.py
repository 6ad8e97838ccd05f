"""Routes of the kubelet's API on port 10250. kubelet.py gives the view of the node; access.py has let the request in.

Refusals are plain text, as upstream's kubelet writes them. Next stops: lookup.py (which Pod is meant), logs.py, streams.py,
figures.py.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, InternalError, NotFound
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import Runtime, RuntimeRefused, RuntimeUnavailable, State
from pybernetes.kubelet.server import logs, streams
from pybernetes.kubelet.server.access import Access
from pybernetes.kubelet.server.checkpoint import checkpoint
from pybernetes.kubelet.server.figures import Figures
from pybernetes.kubelet.server.idle import ends_when_idle
from pybernetes.kubelet.server.lookup import run_to_read, running_container, worker_of
from pybernetes.kubelet.server.system_logs import system_log
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.worker import PodWorker
from pybernetes.wire.healthz import health, plain
from pybernetes.wire.http import Headers, Request, Response

log = logging.getLogger(__name__)

Handle: TypeAlias = Callable[[Request, list[str]], Awaitable[Response]]
_LATE = 120.0
"""Seconds without a look at the runtime after which the kubelet calls itself unwell."""
_WRITTEN, _GLANCE = 10.0, 0.02
"""Seconds at most until the log of an ended container is whole, and between two looks whether it is."""
_DISABLED = ("run", "exec", "attach", "portForward", "containerLogs", "runningpods", "debug", "logs")
"""What enableDebuggingHandlers switches off."""
_LONG = ("exec", "attach", "portforward", "debug")
_METHODS = ("OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT")


class NodeView(Protocol):
    """What the API shows: the kubelet."""

    settings: Settings
    runtime: Runtime
    figures: Figures

    def looked(self) -> float:
        """When the runtime last told all it has, in seconds of the clock's monotonic time."""

    def pods(self) -> Iterable[core_v1.Pod]:
        """Pods with their newest status."""

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """The live Pod of that name."""

    def config(self) -> Mapping[str, Any]:
        """The effective KubeletConfiguration."""


def health_of(node: NodeView, clock: Clock, request: Request) -> Response:
    """/healthz and the checks below it: on this port, and without asking who, on healthzPort."""

    def sync_loop() -> str:
        return "sync Loop took longer than expected" if clock.monotonic() - node.looked() > _LATE else ""

    return health("/healthz", {"ping": lambda: "", "log": lambda: "", "syncloop": sync_loop}, request)


class KubeletApi:
    """The Handler of the server. `access` None lets everyone in: for a caller that has checked already."""

    def __init__(self, node: NodeView, access: Access | None, clock: Clock) -> None:
        self._node = node
        self._access = access
        self._clock = clock
        get, post, both = ("GET",), ("POST",), ("GET", "POST")
        self._routes: dict[str, tuple[tuple[str, ...], Handle]] = {
            "healthz": (("GET", "HEAD"), self._healthz),
            "pods": (get, self._pods),
            "runningpods": (get, self._running_pods),
            "configz": (get, self._configz),
            "metrics": (get, self._metrics),
            "stats": (both, self._stats),
            "containerLogs": (get, self._logs),
            "logs": (get, self._system_logs),
            "debug": (both, self._debug),
            "checkpoint": (post, self._checkpoint),
            "run": (post, self._run),
            "exec": (both, self._exec),
            "attach": (both, self._attach),
            "portForward": (both, self._port_forward),
        }

    async def __call__(self, request: Request) -> Response:
        """Answers one request."""
        labels = self._labels(request)
        began = self._clock.monotonic()
        metrics.HTTP_REQUESTS.add(*labels)
        metrics.HTTP_INFLIGHT.add(*labels)
        try:
            return await self._answer(request)
        finally:
            metrics.HTTP_INFLIGHT.add(*labels, by=-1)
            metrics.HTTP_SECONDS.observe(self._clock.monotonic() - began, *labels)

    def _labels(self, request: Request) -> tuple[str, str, str, str]:
        parts = request.path.strip("/").split("/")
        path = parts[0] if parts[0] in self._routes else "other"
        if path == "metrics" and len(parts) > 1:
            path = f"metrics/{parts[1]}" if parts[1] in ("cadvisor", "probes", "resource") else "other"
        method = request.method if request.method in _METHODS else "other"
        return method, path, "readwrite", str(path in _LONG).lower()

    async def _answer(self, request: Request) -> Response:
        try:
            if self._access is not None:
                await self._access.check(request)
            parts = request.path.lstrip("/").split("/")
            if parts[0] in _DISABLED and not self._node.settings.config.enable_debugging_handlers:
                return plain("Debug endpoints are disabled.\n", 405)
            methods, handle = self._routes.get(parts[0], ((), None))
            if handle is None:
                raise NotFound("404 page not found\n")
            if request.method not in methods:
                refused = plain("405: Method Not Allowed", 405)
                refused.headers.set("allow", ", ".join(methods))
                return refused
            return await handle(request, parts[1:])
        except ApiError as refused_by_us:
            return plain(refused_by_us.message, refused_by_us.code)
        except RuntimeUnavailable as away:
            return plain(str(away), 503)
        except RuntimeRefused as refused_by_runtime:
            return plain(refused_by_runtime.rpc, 404 if refused_by_runtime.code == "NOT_FOUND" else 500)
        except ConnectionError as error:
            log.warning("stream failed path=%s error=%s", request.raw_path, error)
            return plain(str(error), 502)

    # -- what there is ---------------------------------------------------------------------------------------------

    async def _healthz(self, request: Request, rest: list[str]) -> Response:
        return health_of(self._node, self._clock, request)

    async def _pods(self, request: Request, rest: list[str]) -> Response:
        return _pod_list([msgspec.to_builtins(pod) for pod in self._node.pods()])

    async def _running_pods(self, request: Request, rest: list[str]) -> Response:
        items = []
        for pod in self._node.pods():
            worker = self._node.find(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)
            running = worker.observed.running if worker else ()
            if running:
                meta = pod.metadata
                containers = [{"name": c.name, "image": c.image or c.image_ref, "resources": {}} for c in running]
                named = {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
                items.append({"metadata": named, "spec": {"containers": containers}, "status": {}})
        return _pod_list(items)

    async def _configz(self, request: Request, rest: list[str]) -> Response:
        return _json({"kubeletconfig": self._node.config()})

    async def _metrics(self, request: Request, rest: list[str]) -> Response:
        return await self._node.figures.metrics("/".join(rest).rstrip("/"))

    async def _stats(self, request: Request, rest: list[str]) -> Response:
        if rest != ["summary"]:
            raise NotFound("404 page not found\n")
        only = request.query().get("only_cpu_and_memory", [""])[0].lower() in ("1", "t", "true")
        return _json(await self._node.figures.summary(only_cpu_and_memory=only))

    # -- logs ------------------------------------------------------------------------------------------------------

    async def _logs(self, request: Request, rest: list[str]) -> Response:
        if len(rest) != 3 or not all(rest):
            raise NotFound("404: Page Not Found")
        options = logs.options_of(request.query(), self._clock.now())
        worker, run = run_to_read(self._node.find, rest, previous=options.previous)

        def running() -> bool:
            seen = worker.observed
            alive = any(c.id == run.id and c.state == State.RUNNING for c in seen.containers)
            return worker.pod is not None and (alive or run.id in seen.late)

        # An end that was announced may be known before the runtime has written the last of the log.
        patience = self._clock.monotonic() + _WRITTEN
        while run.id in worker.observed.late and not options.follow and self._clock.monotonic() < patience:
            await self._clock.sleep(_GLANCE)
        body = logs.read_log(Path(run.log_path), options, self._clock, running)
        return Response(200, Headers([("content-type", "text/plain")]), body)

    async def _system_logs(self, request: Request, rest: list[str]) -> Response:
        if not self._node.settings.config.enable_system_log_handler:
            return plain("logs endpoint is disabled.\n", 405)
        return await system_log("/".join(rest))

    async def _debug(self, request: Request, rest: list[str]) -> Response:
        """Profiles are Go's: there are none here, whatever the configuration says."""
        if rest[:1] == ["pprof"]:
            return plain("profiling endpoint is disabled.\n", 405)
        return plain("flags endpoint is disabled.\n", 405)

    # -- streams ---------------------------------------------------------------------------------------------------

    async def _run(self, request: Request, rest: list[str]) -> Response:
        """A command whose output is the answer."""
        run = running_container(self._node.find, _three_or_four(rest))
        command = request.query().get("cmd", [""])[0].split(" ")
        result = await self._node.runtime.exec(run.id, command, 0)
        output = result.stdout + result.stderr
        if result.exit_code:
            text = output.decode(errors="replace")
            return plain(f"command '{' '.join(command)}' exited with {result.exit_code}: {text}", 500)
        return Response(200, Headers([("content-type", "application/json")]), output)

    async def _checkpoint(self, request: Request, rest: list[str]) -> Response:
        node, now = self._node, self._clock.now()
        made = await checkpoint(node.find, node.runtime, node.settings.root, rest, request.query(), now)
        return _json(made)

    async def _exec(self, request: Request, rest: list[str]) -> Response:
        options = streams.stream_options(request.query())
        run = running_container(self._node.find, _three_or_four(rest))
        return self._bounded(await streams.exec_in(self._node.runtime, run.id, request, options))

    async def _attach(self, request: Request, rest: list[str]) -> Response:
        options = streams.stream_options(request.query())
        run = running_container(self._node.find, _three_or_four(rest))
        return self._bounded(await streams.attach_to(self._node.runtime, run.id, request, options))

    async def _port_forward(self, request: Request, rest: list[str]) -> Response:
        if len(rest) not in (2, 3):
            raise NotFound("404: Page Not Found")
        worker = worker_of(self._node.find, rest[0], rest[1])
        if len(rest) == 3 and self._node.find(*rest) is None:
            raise NotFound("pod not found")
        sandbox = machine.current_sandbox(worker.observed)
        if sandbox is None:
            raise InternalError(f'pod not found ("{rest[1]}_{rest[0]}")')
        return self._bounded(await streams.forward_ports(self._node.runtime, sandbox.id, request))

    def _bounded(self, response: Response) -> Response:
        return ends_when_idle(response, self._node.settings.config.streaming_connection_idle_timeout, self._clock)


def _three_or_four(rest: list[str]) -> list[str]:
    """/<namespace>/<pod>[/<uid>]/<container>. Raises NotFound."""
    if len(rest) not in (3, 4):
        raise NotFound("404: Page Not Found")
    return rest


def _pod_list(items: list[Any]) -> Response:
    return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})


def _json(body: Any) -> Response:
    return Response(200, Headers([("content-type", "application/json")]), msgspec.json.encode(body))
