"""Bootstrap tokens as Secrets (bootstrap.kubernetes.io/token). Signer and cleaner share it; pure."""

import base64
import binascii
import re
from collections.abc import Mapping

from msgspec import Struct

from pybernetes.aio.clock import parse_time
from pybernetes.api.types import core_v1

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
FIELDS = f"type={TYPE}"
_NAME = re.compile("bootstrap-token-([a-z0-9]{6})")


class Token(Struct, frozen=True):
    """A token that its Secret's name belongs to."""

    id: str
    secret: str
    signs: bool
    """usage-bootstrap-signing."""
    expires: float | None
    """Seconds since 1970; None never."""


def token_of(secret: core_v1.Secret) -> Token | None:
    """The token in a Secret; None for one that is malformed or elsewhere."""
    if secret.metadata.namespace != NAMESPACE or secret.type != TYPE:
        return None
    data = _decoded(secret.data)
    name, value = data.get("token-id", ""), data.get("token-secret", "")
    named = _NAME.fullmatch(secret.metadata.name or "")
    if not value or named is None or named[1] != name:
        return None
    return Token(name, value, data.get("usage-bootstrap-signing") == "true", _expiration(data))


def expires(secret: core_v1.Secret) -> float | None:
    """When a Secret of tokens' type is over, seconds since 1970, whatever else is in it; None never."""
    if secret.metadata.namespace != NAMESPACE or secret.type != TYPE:
        return None
    return _expiration(_decoded(secret.data))


def _expiration(data: Mapping[str, str]) -> float | None:
    if not data.get("expiration"):
        return None
    try:
        return parse_time(data["expiration"])
    except ValueError:
        return 0.0  # what cannot be read counts as expired, as upstream has it


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in data.items():
        try:
            found[name] = base64.b64decode(text).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found
