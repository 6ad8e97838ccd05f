"""How an API server in the same process reaches the kubelets of simulated nodes: no socket, so that it works on virtual time.

Config.kubelets of the API server. Real nodes of the same cluster are dialled as ever.
"""

from urllib.parse import urlsplit

from pybernetes.api.errors import ServiceUnavailable
from pybernetes.api.objects import Object
from pybernetes.apiserver.registry import KubeletDialer
from pybernetes.assembly.simulated.kubelet_api import SimulatedKubeletApi
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.assembly.simulated.ports import listener
from pybernetes.wire.http import Transport


class SimulatedDialer:
    """`nodes` is set once there are any: they need the API server first."""

    def __init__(self, others: KubeletDialer) -> None:
        self.nodes: SimulatedNodes | None = None
        self._others = others

    def transport(self, node: Object) -> Transport:
        """To the kubelet of a Node. Raises ServiceUnavailable where it cannot be reached."""
        agent = self.nodes.agents.get(node["metadata"]["name"]) if self.nodes is not None else None
        return self._others.transport(node) if agent is None else SimulatedKubeletApi(agent)

    def backend(self, url: str) -> Transport:
        """To a port of a Pod or node. Raises ServiceUnavailable for a simulated one, unless a rule says that it listens."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        where = self.nodes.at(host) if self.nodes is not None else None
        if where is None:
            return self._others.backend(url)
        found = listener(where, host, parts.port or 80) if parts.scheme == "http" else None
        if found is None:
            raise ServiceUnavailable(f"{where.name} is a simulated node: nobody listens on {host}")
        return found
