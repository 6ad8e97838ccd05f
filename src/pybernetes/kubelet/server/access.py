"""Who may use the kubelet's API: client certificates or tokens, then a SubjectAccessReview on nodes/<subresource>.

See "Kubelet authentication/authorization". The configuration says what is on: `authentication`, `authorization`.
"""

import hashlib
import logging
from collections.abc import Hashable
from dataclasses import dataclass

from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, Forbidden, InternalError, Unauthorized
from pybernetes.api.objects import ANONYMOUS, User
from pybernetes.api.types import authentication_v1 as authn
from pybernetes.api.types import authorization_v1 as authz
from pybernetes.client.rest import Client
from pybernetes.kubelet.configuration import Configuration
from pybernetes.wire.http import Request
from pybernetes.wire.pki.certificates import expiry_of, user_of
from pybernetes.wire.pki.keys import PkiError

log = logging.getLogger(__name__)

ALWAYS_ALLOW, WEBHOOK = "AlwaysAllow", "Webhook"
_AUTHENTICATED = "system:authenticated"

_REMEMBERED = 1000
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "checkpoint": "checkpoint"}
_FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
"""Fine-grained subresources (KEP-2862): asked first, then `proxy`, which allows everything."""


class AccessError(ValueError):
    """A configuration that nobody could be checked by; the text says why."""


@dataclass(frozen=True)
class _Kept:
    """What a review said, until it is asked again."""

    user: User | None
    allowed: bool
    until: float


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
        self._client = client
        self._node_name = node_name
        self._clock = clock
        self._kept: dict[Hashable, _Kept] = {}

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
        if request.peer.certificate is not None:
            try:
                if self._clock.now() > expiry_of(request.peer.certificate):
                    raise Unauthorized()  # TLS has looked at it when the session began
                found = user_of(request.peer.certificate)
                return replace(found, groups=(*found.groups, _AUTHENTICATED))
            except PkiError as error:
                log.info("client certificate is no identity error=%s", error)
        scheme, _, token = request.headers.get("authorization").partition(" ")
        if scheme.lower() == "bearer" and token.strip() and self._authentication.webhook.enabled:
            return await self._token_user(token.strip())
        if self._authentication.anonymous.enabled:
            return ANONYMOUS
        raise Unauthorized()

    async def _token_user(self, token: str) -> User:
        assert self._client is not None
        key = hashlib.sha256(token.encode()).digest()
        kept = self._known(key)
        if kept is None:
            review = authn.TokenReview(spec=authn.TokenReviewSpec(token=token))
            try:
                status = (await self._client.of(authn.TokenReview).create(review)).status
            except (ApiError, OSError) as error:
                log.warning("cannot review a token error=%s", error)
                raise Unauthorized() from None
            info = status.user
            user = User(info.username, info.uid, info.groups, dict(info.extra)) if status.authenticated else None
            kept = self._keep(key, user, status.authenticated, self._authentication.webhook.cache_ttl)
        if kept.user is None:
            raise Unauthorized()
        return kept.user

    async def _allowed(self, user: User, verb: str, subresource: str) -> bool:
        assert self._client is not None
        extra = tuple(sorted((name, tuple(values)) for name, values in user.extra.items()))
        key = (user.name, user.uid, tuple(user.groups), extra, verb, subresource)
        kept = self._known(key)
        if kept is not None:
            return kept.allowed
        attributes = authz.ResourceAttributes(
            verb=verb, version="v1", resource="nodes", subresource=subresource, name=self._node_name
        )
        spec = authz.SubjectAccessReviewSpec(
            user=user.name, uid=user.uid, groups=user.groups, extra=user.extra, resourceAttributes=attributes
        )
        try:
            answer = await self._client.of(authz.SubjectAccessReview).create(authz.SubjectAccessReview(spec=spec))
        except (ApiError, OSError) as error:
            log.warning("cannot review access user=%s error=%s", user.name, error)
            asked = f"user={user.name}, verb={verb}, resource=nodes, subresource={subresource}"
            raise InternalError(f"Authorization error ({asked})") from None
        webhook, allowed = self._authorization.webhook, answer.status.allowed
        ttl = webhook.cache_authorized_ttl if allowed else webhook.cache_unauthorized_ttl
        return self._keep(key, user, allowed, ttl).allowed

    def _known(self, key: Hashable) -> _Kept | None:
        kept = self._kept.get(key)
        return kept if kept is not None and kept.until > self._clock.monotonic() else None

    def _keep(self, key: Hashable, user: User | None, allowed: bool, ttl: float) -> _Kept:
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        kept = self._kept[key] = _Kept(user, allowed, self._clock.monotonic() + ttl)
        return kept


def subresources(path: str) -> tuple[str, ...]:
    """Of nodes, any of which allows a request for this path."""
    first = path.lstrip("/").partition("/")[0]
    if first in _SUBRESOURCES:
        return (_SUBRESOURCES[first],)
    fine = _FINE.get(first)
    return (fine, "proxy") if fine else ("proxy",)
