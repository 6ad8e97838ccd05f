"""SelfSubjectReview: who am I? (`kubectl auth whoami`, KEP-3325)"""

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call, Resource
from pybernetes.apiserver.resources.authentication._users import user_info


async def _review(call: Call, body: Object) -> Object:
    body["metadata"] = {"creationTimestamp": rfc3339(call.registry.clock.now())}
    body["status"] = {"userInfo": user_info(call.user)}
    return body


RESOURCE = Resource(group="authentication.k8s.io", plural="selfsubjectreviews", create=_review, generation=False)
