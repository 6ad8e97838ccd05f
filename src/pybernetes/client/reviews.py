"""Asks the API server who somebody is and what he may: TokenReview and SubjectAccessReview, their answers remembered.

For components that serve an API of their own: the kubelet, and the metrics of controllers and scheduler.
"""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass

from msgspec.structs import replace

from pybernetes.api.objects import User
from pybernetes.api.types import authentication_v1 as authn
from pybernetes.api.types import authorization_v1 as authz
from pybernetes.client.rest import Client
from pybernetes.wire.http import Request
from pybernetes.wire.pki.certificates import expiry_of, user_of

_REMEMBERED = 1000
_AUTHENTICATED = "system:authenticated"


class Outdated(Exception):
    """A client certificate that was good when its connection began, and is no more."""


@dataclass(frozen=True)
class Lifetimes:
    """Seconds for which answers count."""

    token: float = 10.0
    allowed: float = 10.0
    denied: float = 10.0


@dataclass(frozen=True)
class _Kept:
    user: User | None
    allowed: bool
    until: float


class Reviews:
    """By one client. All raise ApiError or OSError where nobody can tell."""

    def __init__(self, client: Client, lifetimes: Lifetimes) -> None:
        self._client, self._clock = client, client.clock
        self._lifetimes = lifetimes
        self._kept: dict[Hashable, _Kept] = {}

    async def token_user(self, token: str) -> User | None:
        """Whose token it is; None: nobody's."""
        key = hashlib.sha256(token.encode()).digest()
        kept = self._known(key)
        if kept is None:
            review = authn.TokenReview(spec=authn.TokenReviewSpec(token=token))
            status = (await self._client.of(authn.TokenReview).create(review)).status
            info = status.user
            user = User(info.username, info.uid, info.groups, dict(info.extra)) if status.authenticated else None
            kept = self._keep(key, user, status.authenticated, self._lifetimes.token)
        return kept.user

    async def allowed(self, user: User, wanted: authz.ResourceAttributes | authz.NonResourceAttributes) -> bool:
        """Whether a user may."""
        extra = tuple(sorted((name, tuple(values)) for name, values in user.extra.items()))
        key = (user.name, user.uid, tuple(user.groups), extra, type(wanted), repr(wanted))
        kept = self._known(key)
        if kept is not None:
            return kept.allowed
        spec = authz.SubjectAccessReviewSpec(user=user.name, uid=user.uid, groups=user.groups, extra=user.extra)
        if isinstance(wanted, authz.ResourceAttributes):
            spec = replace(spec, resourceAttributes=wanted)
        else:
            spec = replace(spec, nonResourceAttributes=wanted)
        answer = await self._client.of(authz.SubjectAccessReview).create(authz.SubjectAccessReview(spec=spec))
        allowed = answer.status.allowed
        lifetime = self._lifetimes.allowed if allowed else self._lifetimes.denied
        return self._keep(key, user, allowed, lifetime).allowed

    def _known(self, key: Hashable) -> _Kept | None:
        kept = self._kept.get(key)
        return kept if kept is not None and kept.until > self._clock.monotonic() else None

    def _keep(self, key: Hashable, user: User | None, allowed: bool, ttl: float) -> _Kept:
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        kept = self._kept[key] = _Kept(user, allowed, self._clock.monotonic() + ttl)
        return kept


def certificate_user(request: Request, now: float) -> User | None:
    """Whom a request's client certificate names; None without one. Raises Outdated; PkiError where it names nobody."""
    if request.peer.certificate is None:
        return None
    if now > expiry_of(request.peer.certificate):
        raise Outdated  # TLS has looked at it when the session began
    found = user_of(request.peer.certificate)
    return replace(found, groups=(*found.groups, _AUTHENTICATED))


def bearer_token(request: Request) -> str:
    """The token a request comes with; empty without one."""
    scheme, _, token = request.headers.get("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
