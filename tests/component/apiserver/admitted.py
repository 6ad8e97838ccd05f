"""A server with the admission that a test wants, and short words for what it answers."""

import asyncio
from contextlib import asynccontextmanager

import orjson

from pybernetes.aio.clock import SystemClock
from pybernetes.api.objects import GroupResource, User
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.extension import AdmissionRequest
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.transport import direct
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import Headers, Request, read_body

ADMIN = User("admin", groups=("system:masters",))
NS = "/api/v1/namespaces/default"
PODS = f"{NS}/pods"
KINDS = {"PATCH": "application/strategic-merge-patch+json"}


class Admitted:
    def __init__(self, server):
        self.server = server

    async def send(self, method, path, body=None, user=ADMIN):
        headers = Headers([("content-type", KINDS.get(method, "application/json"))])
        request = Request(method, path, headers, orjson.dumps(body) if body is not None else b"")
        response = await direct(self.server.handler, user)(request)
        return response, orjson.loads(await read_body(response))

    async def __call__(self, method, path, body=None, **more):
        response, answer = await self.send(method, path, body, **more)
        return response.status, answer

    async def ok(self, method, path, body=None, **more):
        code, answer = await self(method, path, body, **more)
        assert code in (200, 201), answer
        return answer

    async def refused(self, method, path, body=None, **more):
        """The message of a 403."""
        code, answer = await self(method, path, body, **more)
        assert code == 403, answer
        return answer["message"]

    async def warned(self, method, path, body=None, **more):
        """What a write that succeeds warns of."""
        response, answer = await self.send(method, path, body, **more)
        assert response.status in (200, 201), answer
        return [text[7:-1].replace('\\"', '"') for text in response.headers.all("warning")]

    async def store(self, group, plural, obj):
        """Puts an object there that admission has not seen."""
        return await self.server.storage.create(GroupResource(group, plural), obj)

    async def status(self, path, status):
        await self.ok("PATCH", f"{path}/status", {"status": status})

    async def judge(self, path, operation, obj, old=None, *, name="p", user=ADMIN, dry_run=False):
        """Passes a request through the chain and no further: `pods/resize`, `csinodes.storage.k8s.io`."""
        named, _, subresource = path.partition("/")
        plural, _, group = named.partition(".")
        resource = self.server.storage.resources[GroupResource(group, plural)]
        namespace = ((obj or old or {}).get("metadata") or {}).get("namespace", "")
        call = Call(
            self.server.storage, user, "", resource, subresource, namespace, name, Request("POST", "/"), dry_run
        )
        request = AdmissionRequest(call, operation, obj, old)
        await self.server.handlers._writes._admission.admit(request)
        return request


@asynccontextmanager
async def serving(*, account=True, **config):
    server = ApiServer(Config(**config), MemoryStore(), SystemClock(seed=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        made = Admitted(server)
        if account:
            await made.ok("POST", f"{NS}/serviceaccounts", {"metadata": {"name": "default"}})
        yield made
        running.cancel()


def pod(name="p", *, resources=None, meta=None, container=None, **spec):
    one = {"name": "c", "image": "one", **(container or {})}
    if resources is not None:
        one["resources"] = resources
    return {"metadata": {"name": name, **(meta or {})}, "spec": {"containers": [one], **spec}}
