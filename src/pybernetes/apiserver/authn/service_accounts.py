"""ServiceAccount tokens: signed JWTs that live as long as the account and the Pod they are bound to (KEP-1205).

`Signer` makes them for the TokenRequest API, `ServiceAccountAuthenticator` knows them again by a look at live objects.
"""

import hmac
import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pybernetes.aio.clock import Clock, parse_time
from pybernetes.api.errors import ApiError, Unauthorized
from pybernetes.api.objects import GroupResource, Object, User
from pybernetes.rules.legacytokens import DAY, INVALID_SINCE, LAST_USED, day_of
from pybernetes.wire.http import Request
from pybernetes.wire.pki.jwks import algorithm, key_id, signed
from pybernetes.wire.pki.keys import PrivateKey, PublicKey

log = logging.getLogger(__name__)

_KEPT_SECONDS = 10.0
_KEPT = 4096
_POD, _NODE = "authentication.kubernetes.io/pod-", "authentication.kubernetes.io/node-"
_CREDENTIAL = "authentication.kubernetes.io/credential-id"
LEGACY_ISSUER = "kubernetes/serviceaccount"
_LEGACY = "kubernetes.io/serviceaccount/"
_SECRETS = GroupResource("", "secrets")
_KINDS = {"serviceaccounts": "service account", "pods": "pod", "secrets": "secret", "nodes": "node"}

Look = Callable[[GroupResource, str, str], Object | None]
"""(resource, namespace, name) -> the live object, None when it is not there."""


class Objects(Protocol):
    """Where live objects are looked at."""

    def look(self, resource: GroupResource, namespace: str, name: str) -> Object | None:
        """What is known here; None when it is not there."""

    async def fresh(self) -> None:
        """Waits until look() knows what every server has acknowledged by now."""

    async def update(
        self, resource: GroupResource, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object:
        """Writes what `change` makes of it; None is "leave it". Raises ApiError."""


class Signer:
    """registry.TokenSigner with a private key."""

    def __init__(self, key: PrivateKey, issuer: str, audiences: Sequence[str]) -> None:
        self.issuer = issuer
        self.audiences = tuple(audiences)
        self._key = key
        self._algorithm = algorithm(key.public_key())
        self._id = key_id(key.public_key())

    def sign(self, claims: Object) -> str:
        return signed(claims, self._key, {"alg": self._algorithm, "kid": self._id, "typ": "JWT"})


class Refused(Unauthorized):
    """A token that is ours and bad. Requests learn only that; reviews say why."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class Unknown(Refused):
    """It speaks of what is not there: not here yet, perhaps, where there is another server."""


class ServiceAccountAuthenticator:
    """Knows tokens of one issuer, and the old ones that live in Secrets.

    What it found out is kept ten seconds: a token dies that fast with its account.
    """

    def __init__(
        self, keys: Sequence[PublicKey], issuer: str, audiences: Sequence[str], objects: Objects, clock: Clock
    ) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._objects = objects
        self._clock = clock
        self._known: dict[str, tuple[float, User]] = {}

    async def authenticate(self, request: Request) -> User | None:
        """None for what is no token of this issuer. Raises Unauthorized for one that is bad, expired or orphaned."""
        token = bearer(request)
        if token is None or token.count(".") != 2:
            return None
        import jwt  # here and below: it takes a twentieth of the server's start, which needs no token

        now = self._clock.now()
        known = self._known.get(token)
        if known is not None and known[0] > now:
            return known[1]
        found = await self.identify(token, self._audiences)
        if found is None:
            return None
        if len(self._known) >= _KEPT:
            self._known.clear()
        ends = jwt.decode(token, options={"verify_signature": False}).get("exp", now + _KEPT_SECONDS)
        self._known[token] = (min(now + _KEPT_SECONDS, float(ends)), found[0])
        return found[0]

    async def identify(self, token: str, audiences: Sequence[str]) -> tuple[User, Sequence[str]] | None:
        """Who a token speaks for, and which of these audiences it is for. Raises Refused, ServiceUnavailable."""
        try:
            return await self._identify(token, audiences)
        except Unknown:
            await self._objects.fresh()
            return await self._identify(token, audiences)

    async def _identify(self, token: str, audiences: Sequence[str]) -> tuple[User, Sequence[str]] | None:
        claims = self._claims(token)
        if claims is None:
            return None
        named = claims.get("aud") or []
        own = [named] if isinstance(named, str) else [str(one) for one in named]
        legacy = claims.get("iss") == LEGACY_ISSUER
        meant = [one for one in (own or (self._audiences if legacy else ())) if one in audiences]
        if not meant and self._audiences:
            texts = (" ".join(f'"{one}"' for one in some) for some in (own, audiences))
            raise Refused("token audiences [{}] is invalid for the target audiences [{}]".format(*texts))
        return (await self._legacy_user(claims, token) if legacy else self._user(claims)), meant

    def _claims(self, token: str) -> dict[str, Any] | None:
        import jwt

        try:
            head = jwt.get_unverified_header(token)
            loose = jwt.decode(token, options={"verify_signature": False})
            if loose.get("iss") not in (self._issuer, LEGACY_ISSUER):
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
            self._check_times(claims)
            return claims
        raise Refused("signature is invalid")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.now()
        try:
            early = float(claims.get("nbf", now)) > now + 5
            late = float(claims.get("exp", now + 1)) <= now
        except (TypeError, ValueError):
            raise Refused("service account token claims could not be validated due to unexpected type") from None
        if late:
            raise Refused("service account token has expired")
        if early:
            raise Refused("service account token is not valid yet")

    def _user(self, claims: Mapping[str, Any]) -> User:
        bound = claims.get("kubernetes.io")
        namespace = bound.get("namespace") if isinstance(bound, dict) else None
        account = _part(bound, "serviceaccount") if isinstance(bound, dict) else None
        if not isinstance(bound, dict) or not isinstance(namespace, str) or account is None:
            raise Refused("Token could not be validated.")
        self._alive("serviceaccounts", namespace, account)
        extra: dict[str, tuple[str, ...]] = {}
        pod, node, secret = _part(bound, "pod"), _part(bound, "node"), _part(bound, "secret")
        if pod is not None:
            self._alive("pods", namespace, pod)
            extra |= {_POD + "name": (pod["name"],), _POD + "uid": (pod["uid"],)}
        if secret is not None:
            self._alive("secrets", namespace, secret)
        if node is not None:
            if pod is None:
                self._alive("nodes", "", node)
            extra |= {_NODE + "name": (node["name"],), _NODE + "uid": (node["uid"],)}
        if claims.get("jti"):
            extra[_CREDENTIAL] = (f"JTI={claims['jti']}",)
        return _account_user(namespace, account, extra)

    async def _legacy_user(self, claims: Mapping[str, Any], token: str) -> User:
        """Of a Secret of type kubernetes.io/service-account-token, which must still hold the token. The use is noted in it."""
        parts = [claims.get(_LEGACY + part) for part in ("namespace", "service-account.name", "secret.name")]
        namespace, name, secret = (part if isinstance(part, str) else "" for part in parts)
        uid = claims.get(_LEGACY + "service-account.uid") or ""
        if not all((namespace, name, secret)) or claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise Refused("Token could not be validated.")
        found = self._objects.look(_SECRETS, namespace, secret)
        if found is None:
            raise Unknown("Token has been invalidated")
        if found["metadata"].get("deletionTimestamp"):
            raise Refused("Token has been invalidated")
        held = (found.get("data") or {}).get("token") or ""
        if not hmac.compare_digest(b64encode(token.encode()).decode(), held):
            raise Refused("Token does not match server's copy")
        account = {"name": name, "uid": uid if isinstance(uid, str) else ""}
        self._alive("serviceaccounts", namespace, account)
        await self._note_use(found)
        if (found["metadata"].get("labels") or {}).get(INVALID_SINCE):
            raise Refused(
                f"the token in secret {namespace}/{secret} for service account {namespace}/{name} has been marked invalid. "
                "Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
                f"'{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            )
        return _account_user(namespace, account, {})

    async def _note_use(self, secret: Object) -> None:
        """The day goes into a label (KEP-2799), once a day; another server's clock may be at the next one already."""
        now, meta = self._clock.now(), secret["metadata"]
        today = day_of(now)
        noted = (today, day_of(now + DAY))
        if (meta.get("labels") or {}).get(LAST_USED) in noted:
            return

        def change(current: Object) -> Object | None:
            own = current["metadata"]
            labels = own.get("labels") or {}
            if own["uid"] != meta["uid"] or labels.get(LAST_USED) in noted:
                return None
            return {**current, "metadata": {**own, "labels": {**labels, LAST_USED: today}}}

        try:
            await self._objects.update(_SECRETS, meta["namespace"], meta["name"], change)
        except ApiError as error:
            log.warning("a token's use is not noted secret=%s/%s cause=%s", meta["namespace"], meta["name"], error)

    def _alive(self, plural: str, namespace: str, reference: Mapping[str, str]) -> None:
        name = reference["name"]
        found = self._objects.look(GroupResource("", plural), namespace, name)
        if found is None:
            raise Unknown(f'{plural} "{name}" not found')
        kind = _KINDS[plural]
        if found["metadata"].get("uid") != reference["uid"]:
            old = found["metadata"].get("uid")
            raise Unknown(f"{kind} UID ({old}) does not match claim ({reference['uid']})")
        deleted = found["metadata"].get("deletionTimestamp")
        if deleted and parse_time(deleted) + 60 < self._clock.now():
            raise Refused(f"{kind} has been deleted")


def _account_user(namespace: str, account: Mapping[str, str], extra: Mapping[str, tuple[str, ...]]) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{account['name']}", account["uid"], groups, dict(extra))


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
        raise Refused("Token could not be validated.")
    return {"name": part["name"], "uid": part.get("uid", "")}
