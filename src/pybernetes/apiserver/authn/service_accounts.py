"""ServiceAccount tokens: signed JWTs that live as long as the account and the Pod they are bound to (KEP-1205).

`Signer` makes them for the TokenRequest API, `ServiceAccountAuthenticator` knows them again by a look at live objects.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt

from pybernetes.aio.clock import Clock, parse_time
from pybernetes.api.errors import Unauthorized
from pybernetes.api.objects import GroupResource, Object, User
from pybernetes.wire.http import Request
from pybernetes.wire.pki.jwks import algorithm, key_id
from pybernetes.wire.pki.keys import PrivateKey, PublicKey

_KEPT_SECONDS = 10.0
_KEPT = 4096
_POD, _NODE = "authentication.kubernetes.io/pod-", "authentication.kubernetes.io/node-"
_CREDENTIAL = "authentication.kubernetes.io/credential-id"

Look = Callable[[GroupResource, str, str], Object | None]
"""(resource, namespace, name) -> the live object, None when it is not there."""


class Signer:
    """registry.TokenSigner with a private key."""

    def __init__(self, key: PrivateKey, issuer: str, audiences: Sequence[str]) -> None:
        self.issuer = issuer
        self.audiences = tuple(audiences)
        self._key = key
        self._algorithm = algorithm(key.public_key())
        self._id = key_id(key.public_key())

    def sign(self, claims: Object) -> str:
        return jwt.encode(claims, self._key, algorithm=self._algorithm, headers={"kid": self._id})


class ServiceAccountAuthenticator:
    """Knows tokens of one issuer. What it found out is kept ten seconds: a token dies that fast with its account."""

    def __init__(
        self, keys: Sequence[PublicKey], issuer: str, audiences: Sequence[str], look: Look, clock: Clock
    ) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._issuer = issuer
        self._audiences = set(audiences)
        self._look = look
        self._clock = clock
        self._known: dict[str, tuple[float, User]] = {}

    async def authenticate(self, request: Request) -> User | None:
        """None for what is no token of this issuer. Raises Unauthorized for one that is bad, expired or orphaned."""
        token = bearer(request)
        if token is None or token.count(".") != 2:
            return None
        return self.identify(token, self._audiences)

    def identify(self, token: str, audiences: set[str]) -> User | None:
        """Who a token speaks for, if it is meant for one of these audiences."""
        now = self._clock.now()
        known = self._known.get(token) if audiences == self._audiences else None
        if known is not None and known[0] > now:
            return known[1]
        claims = self._claims(token, now)
        if claims is None:
            return None
        meant = claims.get("aud", [])
        if not audiences & set([meant] if isinstance(meant, str) else meant):
            raise Unauthorized()
        user = self._user(claims)
        if audiences == self._audiences:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[token] = (min(now + _KEPT_SECONDS, float(claims.get("exp", now + _KEPT_SECONDS))), user)
        return user

    def _claims(self, token: str, now: float) -> dict[str, Any] | None:
        try:
            head = jwt.get_unverified_header(token)
            loose = jwt.decode(token, options={"verify_signature": False})
            if loose.get("iss") != self._issuer:
                return None
            found = head.get("kid")
            keys = [self._keys[found]] if found in self._keys else list(self._keys.values())
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        # Times are checked against our own clock: a simulated one is not the machine's.
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        for key in keys:
            try:
                claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm(key)], options=options)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            if not _timely(claims, now):
                raise Unauthorized()
            return claims
        raise Unauthorized()

    def _user(self, claims: Mapping[str, Any]) -> User:
        bound = claims.get("kubernetes.io")
        if not isinstance(bound, dict):
            raise Unauthorized()
        namespace, account = bound.get("namespace"), _part(bound, "serviceaccount")
        if not isinstance(namespace, str) or account is None:
            raise Unauthorized()
        self._alive(GroupResource("", "serviceaccounts"), namespace, account)
        extra: dict[str, tuple[str, ...]] = {}
        pod, node, secret = _part(bound, "pod"), _part(bound, "node"), _part(bound, "secret")
        if pod is not None:
            self._alive(GroupResource("", "pods"), namespace, pod)
            extra |= {_POD + "name": (pod["name"],), _POD + "uid": (pod["uid"],)}
        if secret is not None:
            self._alive(GroupResource("", "secrets"), namespace, secret)
        if node is not None:
            if pod is None:
                self._alive(GroupResource("", "nodes"), "", node)
            extra |= {_NODE + "name": (node["name"],), _NODE + "uid": (node["uid"],)}
        if claims.get("jti"):
            extra[_CREDENTIAL] = (f"JTI={claims['jti']}",)
        name = account["name"]
        return User(
            f"system:serviceaccount:{namespace}:{name}",
            account["uid"],
            ("system:serviceaccounts", f"system:serviceaccounts:{namespace}"),
            extra,
        )

    def _alive(self, resource: GroupResource, namespace: str, reference: Mapping[str, str]) -> None:
        found = self._look(resource, namespace, reference["name"])
        if found is None or found["metadata"].get("uid") != reference["uid"]:
            raise Unauthorized()
        deleted = found["metadata"].get("deletionTimestamp")
        if deleted and parse_time(deleted) + 60 < self._clock.now():
            raise Unauthorized()


def bearer(request: Request) -> str | None:
    """The token of the Authorization header, or of a WebSocket's subprotocol (browsers cannot send the header)."""
    scheme, _, token = request.headers.get("authorization").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return None


def _part(bound: Mapping[str, Any], name: str) -> Mapping[str, str] | None:
    part = bound.get(name)
    if part is None:
        return None
    if not isinstance(part, dict) or not isinstance(part.get("name"), str) or not isinstance(part.get("uid", ""), str):
        raise Unauthorized()
    return {"name": part["name"], "uid": part.get("uid", "")}


def _timely(claims: Mapping[str, Any], now: float) -> bool:
    try:
        return float(claims.get("exp", now + 1)) > now and float(claims.get("nbf", now)) <= now + 5
    except (TypeError, ValueError):
        return False
