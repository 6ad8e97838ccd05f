"""Bootstrap tokens: their form, their Secret, and the signature that proves cluster-info to who knows one.

A token is `<id>.<secret>`: the id is public and names the Secret, the secret signs (RFC 7515, HS256, detached).
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

import orjson
from msgspec import Struct

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.objects import Object
from pybernetes.kubeadm.errors import InvalidConfigError
from pybernetes.wire.pki.jwks import base64url

PATTERN = r"\A([a-z0-9]{6})\.([a-z0-9]{16})\z"
ID_PATTERN = r"\A([a-z0-9]{6})\z"
GROUP = "system:bootstrappers:kubeadm:default-node-token"
SECRET_TYPE = "bootstrap.kubernetes.io/token"
USAGES = ("authentication", "signing")
SIGNATURE_PREFIX = "jws-kubeconfig-"

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_ID = re.compile(r"[a-z0-9]{6}")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Token(Struct, frozen=True):
    """A bootstrap token."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def secret_name(self) -> str:
        """The name of its Secret in kube-system."""
        return f"bootstrap-token-{self.id}"


def generate() -> Token:
    """A new token, from the system's source of secrets."""
    return Token(*("".join(secrets.choice(_LETTERS) for _ in range(length)) for length in (6, 16)))


def parse(text: str) -> Token:
    """Raises InvalidConfigError."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        raise InvalidConfigError(f'the bootstrap token "{text}" was not of the form "{PATTERN}"')
    return Token(found[1], found[2])


def parse_id(text: str) -> str:
    """The id in an id or a whole token. Raises InvalidConfigError."""
    if _ID.fullmatch(text):
        return text
    if _TOKEN.fullmatch(text):
        return text[:6]
    raise InvalidConfigError(f'given token "{text}" didn\'t match pattern "{ID_PATTERN}" or "{PATTERN}"')


def secret_of(
    token: Token,
    *,
    expires: float | None,
    description: str = "",
    groups: Sequence[str] = (GROUP,),
    usages: Sequence[str] = USAGES,
) -> Object:
    """The Secret of a token; `expires` is seconds since 1970, None never. One without usages opens nothing."""
    data = {"token-id": token.id, "token-secret": token.secret}
    data |= {f"usage-bootstrap-{usage}": "true" for usage in usages}
    if groups:
        data["auth-extra-groups"] = ",".join(groups)
    if expires is not None:
        data["expiration"] = rfc3339(expires)
    if description:
        data["description"] = description
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": token.secret_name, "namespace": "kube-system"},
        "type": SECRET_TYPE,
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()},
    }


def row(secret: Object, now: float) -> tuple[str, str, str, str, str, str]:
    """A token's Secret as a line of `kubeadm token list`."""
    data = {
        name: base64.b64decode(value).decode(errors="replace") for name, value in (secret.get("data") or {}).items()
    }
    ttl, expires = "<forever>", "<never>"
    if "expiration" in data:
        expires = data["expiration"]
        try:
            ttl = short_duration(parse_time(expires) - now)
        except ValueError:
            ttl = "<invalid>"
    usages = [name for name in USAGES if data.get(f"usage-bootstrap-{name}") == "true"]
    return (
        f"{data.get('token-id', '')}.{data.get('token-secret', '')}",
        ttl,
        expires,
        ",".join(usages) or "<none>",
        data.get("description") or "<none>",
        data.get("auth-extra-groups") or "<none>",
    )


def short_duration(seconds: float) -> str:
    """`364d`, `23h`, `5m`, `12s`; `<invalid>` for what is over."""
    if seconds < -1:
        return "<invalid>"
    for unit, size in (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def verify(token: Token, content: str, detached: str) -> bool:
    """Whether a detached JWS was made with the token over exactly this content."""
    parts = detached.split(".")
    if len(parts) != 3 or parts[1]:
        return False
    try:
        header = orjson.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except ValueError:
        return False
    if not isinstance(header, dict) or header.get("alg") != "HS256" or header.get("kid") != token.id:
        return False
    return hmac.compare_digest(parts[2], _mac(token, parts[0], content))


def _mac(token: Token, header: str, content: str) -> str:
    signed = f"{header}.{base64url(content.encode())}".encode()
    return base64url(hmac.digest(token.secret.encode(), signed, hashlib.sha256))
