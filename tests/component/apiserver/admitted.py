"""A server with the admission that a test wants, and short words for what it answers."""

from tests.component import api
from tests.component.api import ADMIN, STRATEGIC

from pybernetes.api.objects import GroupResource
from pybernetes.apiserver.extension import AdmissionRequest
from pybernetes.apiserver.resource import Call
from pybernetes.wire.http import Request

NS = "/api/v1/namespaces/default"
PODS = f"{NS}/pods"


class Admitted(api.Api):
    patch = STRATEGIC

    async def stored(self, group, plural, obj):
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


def serving(**config):
    return api.serving(Admitted, **config)


def pod(name="p", *, resources=None, meta=None, container=None, **spec):
    one = {"name": "c", "image": "one", **(container or {})}
    if resources is not None:
        one["resources"] = resources
    return {"metadata": {"name": name, **(meta or {})}, "spec": {"containers": [one], **spec}}
