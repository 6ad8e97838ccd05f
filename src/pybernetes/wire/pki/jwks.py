"""Public keys as JSON Web Keys (RFC 7517), for /openid/v1/jwks and the `kid` of ServiceAccount tokens."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pybernetes.wire.pki.keys import PrivateKey, PublicKey, has_rfc6979


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


def signed(claims: Mapping[str, Any], key: PrivateKey, head: Mapping[str, str]) -> str:
    """A JSON Web Token (RFC 7519) in compact form. The same claims are the same token: ECDSA by RFC 6979."""
    text = f"{base64url(orjson.dumps(head))}.{base64url(orjson.dumps(claims))}"
    return f"{text}.{base64url(_signature(key, text.encode()))}"


def _signature(key: PrivateKey, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    size = (key.curve.key_size + 7) // 8
    digest = {32: hashes.SHA256(), 48: hashes.SHA384(), 66: hashes.SHA512()}[size]
    der = key.sign(data, ec.ECDSA(digest, deterministic_signing=has_rfc6979()))
    return b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(der))  # RFC 7518, 3.4


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
