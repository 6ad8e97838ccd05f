"""TokenReview: whose token is this? Kubelets and extension servers ask it."""

from pybernetes.api.errors import BadRequest, Unauthorized
from pybernetes.api.objects import Object
from pybernetes.apiserver.authn.service_accounts import Refused
from pybernetes.apiserver.resource import Call, Resource
from pybernetes.apiserver.resources._columns import spec
from pybernetes.apiserver.resources.authentication._users import user_info

_UNKNOWN = "invalid bearer token"


async def _review(call: Call, body: Object) -> Object:
    token = spec(body).get("token")
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    body["status"] = await _status(call, token, spec(body).get("audiences") or [])
    return body


async def _status(call: Call, token: str, audiences: list[str]) -> Object:
    try:
        found = await call.registry.authenticator.review(token, audiences)
    except Refused as error:
        return {"user": {}, "error": f"[{_UNKNOWN}, {error.why}]"}
    except Unauthorized:
        return {"user": {}, "error": _UNKNOWN}
    if found is None:
        return {"user": {}, "error": _UNKNOWN}
    user, meant = found
    status: Object = {"authenticated": True, "user": user_info(user)}
    if meant:
        status["audiences"] = list(meant)
    return status


RESOURCE = Resource(group="authentication.k8s.io", plural="tokenreviews", create=_review, generation=False)
