"""Continue tokens: where a chunked list goes on. Signed, and bound to the list they came from. reads.py makes and takes them."""

import base64
import binascii
import hashlib
import hmac

import orjson
from msgspec import Struct

from pybernetes.api.errors import BadRequest

_MAC = 16


class Position(Struct, frozen=True):
    """After which key, at which revision; -1 is "whatever is there now" (an inconsistent list)."""

    after: str
    revision: int


class ContinueTokens:
    """Encodes and checks tokens with a key that all servers of a cluster share."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"continue" + key).digest()

    def encode(self, prefix: str, position: Position) -> str:
        """The token; `prefix` is the range of the list (resource and namespace)."""
        body = orjson.dumps([position.after, position.revision])
        return base64.urlsafe_b64encode(self._mac(prefix, body) + body).decode().rstrip("=")

    def decode(self, prefix: str, token: str) -> Position:
        """Raises BadRequest for a token that is not ours, or of another list."""
        try:
            raw = base64.urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise BadRequest("continue key is not valid: it cannot be decoded") from None
        mac, body = raw[:_MAC], raw[_MAC:]
        if not hmac.compare_digest(mac, self._mac(prefix, body)):
            raise BadRequest("continue key is not valid: it belongs to another list, or was changed")
        after, revision = orjson.loads(body)
        return Position(after, revision)

    def _mac(self, prefix: str, body: bytes) -> bytes:
        return hmac.digest(self._key, prefix.encode() + b"\0" + body, "sha256")[:_MAC]
