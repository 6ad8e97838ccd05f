"""Who may use the kubelet's API: client certificates or tokens, then a SubjectAccessReview on nodes/<subresource>.

See "Kubelet authentication/authorization". Anonymous requests are refused; there is no read-only port.
"""

import logging
from dataclasses import dataclass

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, Forbidden, Unauthorized
from pybernetes.api.objects import User
from pybernetes.api.types import authentication_v1 as authn
from pybernetes.api.types import authorization_v1 as authz
from pybernetes.client.rest import Client
from pybernetes.wire.http import Request
from pybernetes.wire.pki.certificates import user_of
from pybernetes.wire.pki.keys import PkiError

log = logging.getLogger(__name__)

_ALLOWED_TTL, _DENIED_TTL, _TOKEN_TTL = 300.0, 30.0, 120.0
_REMEMBERED = 1000
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = (("stats", "stats"), ("metrics", "metrics"), ("logs", "log"))
_FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
"""Fine-grained subresources (KEP-2862): asked first, then `proxy`, which allows everything."""


@dataclass(frozen=True)
class _Decision:
    allowed: bool
    until: float


class Access:
    """Checks requests. Decisions are remembered: upstream's times."""

    def __init__(self, client: Client, node_name: str, clock: Clock) -> None:
        self._reviews = client.of(authz.SubjectAccessReview)
        self._tokens = client.of(authn.TokenReview)
        self._node_name = node_name
        self._clock = clock
        self._decisions: dict[tuple[object, ...], _Decision] = {}
        self._users: dict[str, tuple[User | None, float]] = {}

    async def check(self, request: Request) -> User:
        """Who asks, and that it may. Raises Unauthorized, Forbidden, ServiceUnavailable."""
        user = await self._user(request)
        verb = _VERBS.get(request.method, request.method.lower())
        wanted = subresources(request.path)
        for subresource in wanted:
            if await self._allowed(user, verb, subresource):
                return user
        raise Forbidden(
            f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(wanted)}])"
        )

    async def _user(self, request: Request) -> User:
        if request.peer.user is not None:
            return request.peer.user
        if request.peer.certificate is not None:
            try:
                return user_of(request.peer.certificate)
            except PkiError as error:
                log.info("client certificate is no identity error=%s", error)
        scheme, _, token = request.headers.get("authorization").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized()
        return await self._token_user(token.strip())

    async def _token_user(self, token: str) -> User:
        now = self._clock.monotonic()
        known, until = self._users.get(token, (None, 0.0))
        if until <= now:
            review = await self._tokens.create(authn.TokenReview(spec=authn.TokenReviewSpec(token=token)))
            info = review.status.user
            known = (
                User(info.username, info.uid, info.groups, dict(info.extra)) if review.status.authenticated else None
            )
            if len(self._users) >= _REMEMBERED:
                self._users.clear()
            self._users[token] = (known, now + (_TOKEN_TTL if known else _DENIED_TTL))
        if known is None:
            raise Unauthorized()
        return known

    async def _allowed(self, user: User, verb: str, subresource: str) -> bool:
        extra = tuple(sorted((name, tuple(values)) for name, values in user.extra.items()))
        key = (user.name, user.uid, user.groups, extra, verb, subresource)
        now = self._clock.monotonic()
        known = self._decisions.get(key)
        if known is not None and known.until > now:
            return known.allowed
        attributes = authz.ResourceAttributes(
            verb=verb, version="v1", resource="nodes", subresource=subresource, name=self._node_name
        )
        spec = authz.SubjectAccessReviewSpec(
            user=user.name, uid=user.uid, groups=user.groups, extra=user.extra, resourceAttributes=attributes
        )
        try:
            answer = await self._reviews.create(authz.SubjectAccessReview(spec=spec))
        except (ApiError, OSError) as error:
            log.warning("cannot review access user=%s error=%s", user.name, error)
            return False
        allowed = answer.status.allowed
        if len(self._decisions) >= _REMEMBERED:
            self._decisions.clear()
        self._decisions[key] = _Decision(allowed, now + (_ALLOWED_TTL if allowed else _DENIED_TTL))
        return allowed


def subresources(path: str) -> tuple[str, ...]:
    """Of nodes, any of which allows a request for this path."""
    first = path.strip("/").partition("/")[0]
    for prefix, subresource in _SUBRESOURCES:
        if first == prefix:
            return (subresource,)
    fine = _FINE.get(first)
    return (fine, "proxy") if fine else ("proxy",)
