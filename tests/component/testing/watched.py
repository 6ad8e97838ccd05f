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
from pybernetes.store.memory import MemoryStore
from pybernetes.testing.audit import Audit
from pybernetes.testing.faults import Faults
from pybernetes.testing.traffic import Traffic
from pybernetes.wire.http import Response

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
POD: dict[str, Any] = {"metadata": {"name": "web-0"}, "spec": {"containers": [{"name": "c", "image": "one"}]}}


class Watched(Api):
    """Requests pass faults and audit, as those of a Cluster do."""

    def __init__(self, server: ApiServer, store: MemoryStore) -> None:
        super().__init__(server, store)
        self.faults, self.audit = Faults(), Audit()
        traffic = Traffic(server.clock, self.faults, self.audit)
        traffic.attach(server)
        self.handler = traffic.around(server.handler)

    async def send(
        self, method: str, target: str, body: Any = None, *, user: User | None = ADMIN, **headers: str
    ) -> Response:
        request = self.request(method, target, body, **headers)
        return await (self.handler if user is None else direct(self.handler, user))(request)

    def client(self, user: User = ADMIN, agent: str = "test", clock: Clock | None = None) -> Client:
        """As a component of a cluster has one."""
        return Client(direct(self.handler, user), clock=clock or self.server.clock, user_agent=agent)

    async def config_map(self, name: str, **data: str) -> Any:
        return await self.made(MAPS, {"metadata": {"name": name}, "data": data})


@asynccontextmanager
async def watched(**config: Any) -> AsyncIterator[Watched]:
    async with serving(Watched, **config) as api:
        yield api
