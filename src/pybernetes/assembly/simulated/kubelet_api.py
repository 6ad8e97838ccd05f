"""The kubelet's API of a simulated node, without a socket: logs, health, the list of Pods. What needs a process is refused.

The API server reaches it through dialer.py. Logs are read by the kubelet's own rules (server.lookup, server.logs).
"""

from collections.abc import Awaitable, Callable

import msgspec

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Object
from pybernetes.assembly.simulated.node import NodeAgent
from pybernetes.assembly.simulated.pod import SimulatedPod
from pybernetes.kubelet.cri.model import State
from pybernetes.kubelet.server import logs
from pybernetes.kubelet.server.lookup import named, run_to_read
from pybernetes.wire.dial import WireError
from pybernetes.wire.healthz import health, plain
from pybernetes.wire.http import Headers, Request, Response

_NEEDS_A_PROCESS = {
    "exec": "no command can run in it",
    "run": "no command can run in it",
    "attach": "no process can be attached to",
    "portForward": "nobody listens on its ports",
    "checkpoint": "it has no memory to save",
}


class _NotPlayed(ApiError):
    code, reason = 501, "NotImplemented"


class NodeAway(WireError):
    """The node has no power: nobody answers."""


class SimulatedKubeletApi:
    """The Handler of one node."""

    def __init__(self, agent: NodeAgent) -> None:
        self._agent = agent
        self._routes: dict[str, Callable[[Request, list[str]], Awaitable[Response]]] = {
            "containerLogs": self._logs,
            "healthz": self._healthz,
            "pods": self._pods,
        }

    async def __call__(self, request: Request) -> Response:
        """Answers one request. Raises NodeAway."""
        if not self._agent.alive:
            raise NodeAway(f"connect {self._agent.address}: no route to host (the simulated node has no power)")
        first, *rest = request.path.lstrip("/").split("/")
        route = self._routes.get(first)
        if route is None:
            return self._refused(first, rest)
        if request.method not in ("GET", "HEAD"):
            return plain("405: Method Not Allowed", 405)
        try:
            return await route(request, rest)
        except ApiError as refused:
            return plain(refused.message, refused.code)

    def _refused(self, what: str, rest: list[str]) -> Response:
        name = self._agent.name
        if what in _NEEDS_A_PROCESS and len(rest) >= 2:
            why = f"pod {rest[0]}/{rest[1]} runs on the simulated node {name}, where no process is: {_NEEDS_A_PROCESS[what]}"
        else:
            why = f"{name} is a simulated node: it has no /{what}"
        refused = _NotPlayed(why)
        return _json(refused.status(), refused.code)

    def _find(self, namespace: str, name: str, uid: str = "") -> SimulatedPod | None:
        """Of namesakes the one that the API knows."""
        return named(self._agent.table.pods.values(), namespace, name, uid)

    async def _logs(self, request: Request, rest: list[str]) -> Response:
        if len(rest) != 3 or not all(rest):
            raise NotFound("404: Page Not Found")
        options = logs.options_of(request.query(), self._agent.clock.now())
        pod, run = run_to_read(self._find, rest, previous=options.previous)

        def running() -> bool:
            return pod.there and any(c.id == run.id and c.state == State.RUNNING for c in pod.containers)

        body = self._agent.table.logs.read(run.id, options, running)
        return Response(200, Headers([("content-type", "text/plain")]), body)

    async def _healthz(self, request: Request, rest: list[str]) -> Response:
        return health("/healthz", {"ping": lambda: ""}, request)

    async def _pods(self, request: Request, rest: list[str]) -> Response:
        items = [msgspec.to_builtins(pod.given()) for pod in self._agent.table.pods.values() if pod.there]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}, 200)


def _json(body: Object, code: int) -> Response:
    return Response(code, Headers([("content-type", "application/json")]), msgspec.json.encode(body))
