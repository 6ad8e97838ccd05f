"""Who may use the kubelet's API: client certificates or tokens, then a SubjectAccessReview on nodes/<subresource>.

See "Kubelet authentication/authorization". The configuration says what is on: `authentication`, `authorization`.
"""

import logging

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, Forbidden, InternalError, Unauthorized
from pybernetes.api.objects import ANONYMOUS, User
from pybernetes.api.types import authorization_v1 as authz
from pybernetes.client.rest import Client
from pybernetes.client.reviews import Lifetimes, Outdated, Reviews, bearer_token, certificate_user
from pybernetes.kubelet.configuration import Configuration
from pybernetes.wire.http import Request
from pybernetes.wire.pki.keys import PkiError

log = logging.getLogger(__name__)

ALWAYS_ALLOW, WEBHOOK = "AlwaysAllow", "Webhook"
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "checkpoint": "checkpoint"}
_FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
"""Fine-grained subresources (KEP-2862): asked first, then `proxy`, which allows everything."""


class AccessError(ValueError):
    """A configuration that nobody could be checked by; the text says why."""


class Access:
    """Checks requests. Raises AccessError for a configuration that cannot be followed."""

    def __init__(self, config: Configuration, client: Client | None, node_name: str, clock: Clock) -> None:
        self._authentication = config.authentication
        self._authorization = config.authorization
        mode, tokens = config.authorization.mode, config.authentication.webhook.enabled
        if mode not in (ALWAYS_ALLOW, WEBHOOK):
            raise AccessError(f"unknown authorization mode {mode}")
        if client is None and mode == WEBHOOK:
            raise AccessError("no client provided, cannot use webhook authorization")
        if client is None and tokens:
            raise AccessError("no client provided, cannot use webhook authentication")
        webhook = config.authorization.webhook
        ttl = config.authentication.webhook.cache_ttl
        lifetimes = Lifetimes(ttl, webhook.cache_authorized_ttl, webhook.cache_unauthorized_ttl)
        self._reviews = Reviews(client, lifetimes) if client is not None else None
        self._node_name = node_name
        self._clock = clock

    async def check(self, request: Request) -> User:
        """Who asks, and that it may. Raises Unauthorized, Forbidden, InternalError where nobody can tell."""
        user = await self._user(request)
        if self._authorization.mode == ALWAYS_ALLOW:
            return user
        verb = _VERBS.get(request.method, request.method.lower())
        wanted = subresources(request.path)
        for subresource in wanted:
            if await self._allowed(user, verb, subresource):
                return user
        raise Forbidden(
            f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(wanted)}])\n"
        )

    async def _user(self, request: Request) -> User:
        if request.peer.user is not None:
            return request.peer.user
        try:
            found = certificate_user(request, self._clock.now())
        except Outdated:
            raise Unauthorized() from None
        except PkiError as error:
            log.info("client certificate is no identity error=%s", error)
            found = None
        if found is not None:
            return found
        token = bearer_token(request)
        if token and self._authentication.webhook.enabled:
            return await self._token_user(token)
        if self._authentication.anonymous.enabled:
            return ANONYMOUS
        raise Unauthorized()

    async def _token_user(self, token: str) -> User:
        assert self._reviews is not None
        try:
            user = await self._reviews.token_user(token)
        except (ApiError, OSError) as error:
            log.warning("cannot review a token error=%s", error)
            user = None
        if user is None:
            raise Unauthorized()
        return user

    async def _allowed(self, user: User, verb: str, subresource: str) -> bool:
        assert self._reviews is not None
        wanted = authz.ResourceAttributes(
            verb=verb, version="v1", resource="nodes", subresource=subresource, name=self._node_name
        )
        try:
            return await self._reviews.allowed(user, wanted)
        except (ApiError, OSError) as error:
            log.warning("cannot review access user=%s error=%s", user.name, error)
            asked = f"user={user.name}, verb={verb}, resource=nodes, subresource={subresource}"
            raise InternalError(f"Authorization error ({asked})") from None


def subresources(path: str) -> tuple[str, ...]:
    """Of nodes, any of which allows a request for this path."""
    first = path.lstrip("/").partition("/")[0]
    if first in _SUBRESOURCES:
        return (_SUBRESOURCES[first],)
    fine = _FINE.get(first)
    return (fine, "proxy") if fine else ("proxy",)
