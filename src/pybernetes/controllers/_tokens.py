"""Bootstrap tokens as Secrets (bootstrap.kubernetes.io/token). Signer and cleaner share it; pure."""

import base64
import binascii
from collections.abc import Mapping

from msgspec import Struct

from pybernetes.aio.clock import parse_time
from pybernetes.api.types import core_v1

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
FIELDS = f"type={TYPE}"
PREFIX = "bootstrap-token-"


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
    if not name or not value or secret.metadata.name != PREFIX + name:
        return None
    expires: float | None = None
    if data.get("expiration"):
        try:
            expires = parse_time(data["expiration"])
        except ValueError:
            expires = 0.0  # what cannot be read counts as expired, as upstream has it
    return Token(name, value, data.get("usage-bootstrap-signing") == "true", expires)


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in data.items():
        try:
            found[name] = base64.b64decode(text).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found
