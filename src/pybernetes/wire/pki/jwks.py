"""Public keys as JSON Web Keys (RFC 7517), for /openid/v1/jwks and the `kid` of ServiceAccount tokens."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pybernetes.wire.pki.keys import PublicKey


def key_id(key: PublicKey) -> str:
    """The `kid` upstream gives a key: unpadded base64url of the SHA-256 of its SubjectPublicKeyInfo."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64url(hashlib.sha256(der).digest())


def algorithm(key: PublicKey) -> str:
    """The JWS algorithm that goes with a key: RS256, or ES256 and so on by the curve."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    return {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}[key.curve.name]


def jwks(keys: Iterable[PublicKey]) -> dict[str, Any]:
    """The key set document."""
    return {"keys": [_jwk(key) for key in keys]}


def _jwk(key: PublicKey) -> dict[str, Any]:
    head = {"use": "sig", "kid": key_id(key), "alg": algorithm(key)}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return head | {"kty": "RSA", "n": base64url(_bytes(numbers.n)), "e": base64url(_bytes(numbers.e))}
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_numbers()
    size = (key.curve.key_size + 7) // 8
    curve = f"P-{key.curve.key_size}"
    x, y = base64url(point.x.to_bytes(size, "big")), base64url(point.y.to_bytes(size, "big"))
    return head | {"kty": "EC", "crv": curve, "x": x, "y": y}


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def base64url(data: bytes) -> str:
    """Without padding, as JOSE has it (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
