"""TokenReview: whose token is this? Kubelets and extension servers ask it."""

from pybernetes.api.errors import ApiError, BadRequest
from pybernetes.api.objects import ANONYMOUS, Object
from pybernetes.apiserver.resource import Call, Resource
from pybernetes.apiserver.resources._columns import spec
from pybernetes.apiserver.resources.authentication._users import user_info
from pybernetes.wire.http import Headers, Request


async def _review(call: Call, body: Object) -> Object:
    token = spec(body).get("token")
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    signer = call.registry.token_signer
    own = signer.audiences if signer is not None else ()
    asked = spec(body).get("audiences") or []
    audiences = [audience for audience in asked if audience in own] if asked else list(own)
    body["status"] = await _status(call, token, audiences)
    return body


async def _status(call: Call, token: str, audiences: list[str]) -> Object:
    if not audiences and call.registry.token_signer is not None:
        return {"user": {}, "error": "token audiences do not match those of this server"}
    request = Request("GET", "/", Headers([("authorization", f"Bearer {token}")]))
    try:
        user = await call.registry.authenticator.authenticate(request)
    except ApiError as error:
        return {"user": {}, "error": error.message}
    if user is None or user.name == ANONYMOUS.name:
        return {"user": {}}
    return {"authenticated": True, "user": user_info(user), "audiences": audiences}


RESOURCE = Resource(group="authentication.k8s.io", plural="tokenreviews", create=_review, generation=False)
