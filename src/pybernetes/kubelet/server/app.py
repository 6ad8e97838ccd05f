"""Routes of the kubelet's API on port 10250. kubelet.py gives the view of the node; access.py has let the request in."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.api.errors import ApiError, BadRequest, MethodNotAllowed, NotFound
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import Container, Runtime, RuntimeRefused, RuntimeUnavailable, State
from pybernetes.kubelet.server import logs, stats, streams
from pybernetes.kubelet.server.access import Access
from pybernetes.kubelet.worker import PodWorker
from pybernetes.wire.http import Headers, Request, Response

log = logging.getLogger(__name__)

_METRICS = "text/plain; version=0.0.4; charset=utf-8"
Route: TypeAlias = Callable[[Request, list[str]], Awaitable[Response]]


class NodeView(Protocol):
    """What the API shows: the kubelet."""

    runtime: Runtime
    meter: stats.Meter

    def uses(self) -> Sequence[stats.PodUse]:
        """Running Pods."""

    def node_name(self) -> tuple[str, float]:
        """Name, and since when this kubelet runs."""

    def pods(self) -> Iterable[core_v1.Pod]:
        """Pods with their newest status."""

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """The live Pod of that name."""

    def config(self) -> Mapping[str, Any]:
        """The effective KubeletConfiguration."""

    def metrics(self) -> str:
        """Prometheus text."""


class KubeletApi:
    """The Handler of the server. `access` None lets everyone in: for a caller that has checked already."""

    def __init__(self, node: NodeView, access: Access | None, clock: Clock) -> None:
        self._node = node
        self._access = access
        self._clock = clock
        self._routes: dict[str, Route] = {
            "healthz": self._healthz,
            "pods": self._pods,
            "runningpods": self._running_pods,
            "configz": self._configz,
            "metrics": self._metrics,
            "stats": self._stats,
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
        }

    async def __call__(self, request: Request) -> Response:
        """Answers one request; refusals are plain text, as upstream's kubelet writes them."""
        try:
            if self._access is not None:
                await self._access.check(request)
            parts = request.path.strip("/").split("/")
            route = self._routes.get(parts[0])
            if route is None:
                raise NotFound("404 page not found")
            if request.method not in ("GET", "POST"):
                raise MethodNotAllowed(f"method {request.method} is not allowed")
            return await route(request, parts[1:])
        except ApiError as refused:
            return _text(refused.message, refused.code)
        except RuntimeUnavailable as away:
            return _text(str(away), 503)
        except RuntimeRefused as refused_by_runtime:
            return _text(refused_by_runtime.rpc, 500)
        except ConnectionError as error:
            log.warning("stream failed path=%s error=%s", request.raw_path, error)
            return _text(str(error), 502)

    async def _healthz(self, request: Request, rest: list[str]) -> Response:
        return _text("ok", 200)

    async def _pods(self, request: Request, rest: list[str]) -> Response:
        items = [msgspec.to_builtins(pod) for pod in self._node.pods()]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _running_pods(self, request: Request, rest: list[str]) -> Response:
        items = []
        for pod in self._node.pods():
            worker = self._node.find(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)
            running = {c.name for c in worker.observed.containers if c.state == State.RUNNING} if worker else set()
            if running:
                meta = pod.metadata
                containers = [{"name": c.name, "image": c.image} for c in pod.spec.containers if c.name in running]
                named = {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
                items.append({"metadata": named, "spec": {"containers": containers}, "status": {}})
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _configz(self, request: Request, rest: list[str]) -> Response:
        return _json({"kubeletconfig": self._node.config()})

    async def _metrics(self, request: Request, rest: list[str]) -> Response:
        if rest == ["resource"]:
            pods, sample = await self._sample()
            return _text(stats.resource_metrics(sample, pods), 200, _METRICS)
        if rest:
            raise NotFound("404 page not found")
        return _text(self._node.metrics(), 200, _METRICS)

    async def _stats(self, request: Request, rest: list[str]) -> Response:
        if rest != ["summary"]:
            raise NotFound("404 page not found")
        pods, sample = await self._sample()
        name, began = self._node.node_name()
        return _json(stats.summary(self._node.meter, sample, pods, name, rfc3339(began)))

    async def _sample(self) -> tuple[Sequence[stats.PodUse], stats.Sample]:
        pods = self._node.uses()
        return pods, await asyncio.to_thread(self._node.meter.sample, pods, self._clock.now())

    async def _logs(self, request: Request, rest: list[str]) -> Response:
        if len(rest) != 3:
            raise NotFound("404 page not found")
        namespace, name, container = rest
        worker = self._worker(namespace, name)
        options = logs.options_of(request.query(), self._clock.now())
        run = _run_to_read(worker, container, previous=options.previous)

        def running() -> bool:
            return any(c.id == run.id and c.state == State.RUNNING for c in worker.observed.containers)

        body = logs.read_log(Path(run.log_path), options, self._clock, running)
        return Response(200, Headers([("content-type", "text/plain")]), body)

    async def _exec(self, request: Request, rest: list[str]) -> Response:
        return await streams.exec_in(self._node.runtime, self._running_container(rest), request)

    async def _attach(self, request: Request, rest: list[str]) -> Response:
        return await streams.attach_to(self._node.runtime, self._running_container(rest), request)

    async def _port_forward(self, request: Request, rest: list[str]) -> Response:
        if len(rest) not in (2, 3):
            raise NotFound("404 page not found")
        worker = self._worker(rest[0], rest[1], rest[2] if len(rest) == 3 else "")
        sandbox = machine.current_sandbox(worker.observed)
        if sandbox is None:
            raise BadRequest(f"pod {rest[1]} has no running sandbox")
        return await streams.forward_ports(self._node.runtime, sandbox.id, request)

    def _worker(self, namespace: str, name: str, uid: str = "") -> PodWorker:
        worker = self._node.find(namespace, name, uid)
        if worker is None:
            raise NotFound(f'pod "{name}" not found')
        return worker

    def _running_container(self, rest: list[str]) -> str:
        """The id of a container: /<namespace>/<pod>[/<uid>]/<container>."""
        if len(rest) not in (3, 4):
            raise NotFound("404 page not found")
        namespace, name, container = rest[0], rest[1], rest[-1]
        worker = self._worker(namespace, name, rest[2] if len(rest) == 4 else "")
        runs = machine.by_name(worker.observed).get(container)
        if not runs:
            raise NotFound(f'container not found ("{container}")')
        return runs[0].id


def _run_to_read(worker: PodWorker, container: str, *, previous: bool) -> Container:
    """The run whose log is meant. Raises BadRequest with upstream's words where there is none."""
    runs = machine.by_name(worker.observed).get(container, [])
    pod = worker.ref.name
    status = worker.status()
    every = (*status.initContainerStatuses, *status.containerStatuses) if status else ()
    state = next((s.state for s in every if s.name == container), core_v1.ContainerState())
    if previous:
        # Of a crash-looping container the newest run has ended: it is the previous one as well.
        ended = [r for r in runs if r.state == State.EXITED and (r is not runs[0] or state.terminated is None)]
        if not ended:
            raise BadRequest(f'previous terminated container "{container}" in pod "{pod}" not found')
        return ended[0]
    if runs and runs[0].state == State.CREATED:
        runs = runs[1:]
    if not runs:
        reason = state.waiting.reason if state.waiting else "ContainerCreating"
        raise BadRequest(f'container "{container}" in pod "{pod}" is waiting to start: {reason}')
    return runs[0]


def _text(text: str, status: int, kind: str = "text/plain; charset=utf-8") -> Response:
    return Response(status, Headers([("content-type", kind)]), text.encode())


def _json(body: Any) -> Response:
    return Response(200, Headers([("content-type", "application/json")]), msgspec.json.encode(body))
