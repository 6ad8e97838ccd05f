"""Who listens on addresses of simulated nodes: containers whose rule `serve-hostname` says so, on the ports that they declare.

Next stop: dialer.py, by which an API server's proxies get here.
"""

from collections.abc import Iterable

from pybernetes.assembly.simulated.node import NodeAgent
from pybernetes.assembly.simulated.pod import SimulatedPod
from pybernetes.kubelet.specs.hosts import hostname
from pybernetes.wire.http import Headers, Request, Response, Transport


def listener(agent: NodeAgent, address: str, port: int) -> Transport | None:
    """What answers there over HTTP; None where nobody does."""
    if not agent.alive:
        return None
    return next((_Hostname(pod) for pod in _at(agent, address) if _serves(pod, port)), None)


def _at(agent: NodeAgent, address: str) -> Iterable[SimulatedPod]:
    """The Pods that have an address: those on the host's network have its own."""
    for pod in agent.table.pods.values():
        on_host = pod.api.spec.hostNetwork
        if agent.address == address if on_host else any(address in sandbox.ips for sandbox in pod.sandboxes):
            yield pod


def _serves(pod: SimulatedPod, port: int) -> bool:
    return any(
        pod.plan.of(container.name).serve_hostname
        and pod.running(container.name) is not None
        and any(declared.containerPort == port and declared.protocol in ("", "TCP") for declared in container.ports)
        for container in pod.api.spec.containers
    )


class _Hostname:
    """Answers every request with the Pod's host name, as agnhost's serve-hostname."""

    def __init__(self, pod: SimulatedPod) -> None:
        self._pod = pod

    async def __call__(self, request: Request) -> Response:
        body = hostname(self._pod.api).encode()
        return Response(200, Headers([("content-type", "text/plain; charset=utf-8")]), body)
