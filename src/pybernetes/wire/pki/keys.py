"""Private keys and their PEM. certificates.py signs with them, files.py writes them."""

import hashlib
from functools import cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256's group."""


class PkiError(ValueError):
    """A key, certificate or request is not what it should be."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key for certificates: EC P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def derived_key(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The EC P-256 key that follows from a secret: the same each time. For simulations that repeat; else new_key()."""
    number = int.from_bytes(hashlib.sha512(secret).digest(), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())


def repeatable(key: PrivateKey) -> bool | None:
    """`ecdsa_deterministic` of cryptography's builders: signatures by RFC 6979 where OpenSSL has them (3.2).

    They need no chance, so the same is signed the same way; verifiers see no difference. RSA's are so by themselves.
    """
    return has_rfc6979() if isinstance(key, ec.EllipticCurvePrivateKey) else None


@cache
def has_rfc6979() -> bool:
    """Whether this OpenSSL makes ECDSA signatures without chance."""
    try:
        ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return False
    return True


def new_rsa_key() -> rsa.RSAPrivateKey:
    """A key for ServiceAccount tokens: RSA 2048, since RS256 is what every verifier knows."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_pem(key: PrivateKey) -> bytes:
    """The key as PEM, in the form upstream writes (EC PRIVATE KEY, RSA PRIVATE KEY)."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public_pem(key: PublicKey) -> bytes:
    """The public key as PEM (SubjectPublicKeyInfo)."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def parse_key(pem: bytes) -> PrivateKey:
    """A private key from PEM. Raises PkiError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"not a private key: {error}") from error
    if not isinstance(key, PrivateKey):
        raise PkiError("only RSA and EC keys are known here")
    return key


def parse_public_key(pem: bytes) -> PublicKey:
    """A public key from PEM; of a private key, its public half. Raises PkiError."""
    if b"PRIVATE KEY" in pem:
        return parse_key(pem).public_key()
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise PkiError(f"not a public key: {error}") from error
    if not isinstance(key, PublicKey):
        raise PkiError("only RSA and EC keys are known here")
    return key
