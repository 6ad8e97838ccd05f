"""A real API server behind faults and audit, and short words for requests to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.component.api import ADMIN, Api, serving

from pybernetes.aio.clock import Clock
from pybernetes.api.objects import User
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.store.protocol import Store
from pybernetes.testing import Cluster

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
POD: dict[str, Any] = {"metadata": {"name": "web-0"}, "spec": {"containers": [{"name": "c", "image": "one"}]}}


class Watched(Api):
    """Its faults and audit at hand."""

    def __init__(self, server: ApiServer, store: Store, cluster: Cluster) -> None:
        super().__init__(server, store, cluster)
        self.faults, self.audit = cluster.faults, cluster.audit
        self.audit.clear()  # what the cluster has asked itself until it was ready

    def client(self, user: User = ADMIN, agent: str = "test", clock: Clock | None = None) -> Client:
        """As a component of a cluster has one."""
        return Client(direct(self.handler, user), clock=clock or self.server.clock, user_agent=agent)

    async def config_map(self, name: str, **data: str) -> Any:
        return await self.made(MAPS, {"metadata": {"name": name}, "data": data})


@asynccontextmanager
async def watched(**config: Any) -> AsyncIterator[Watched]:
    async with serving(Watched, **config) as api:
        yield api
