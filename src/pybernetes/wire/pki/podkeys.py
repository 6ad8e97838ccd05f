"""Keys of Pods and the empty requests for their certificates (PodCertificateRequest). kubelet/pod_certificates.py asks."""

from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PodKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_CURVES: dict[str, ec.EllipticCurve] = {
    "ECDSAP256": ec.SECP256R1(),
    "ECDSAP384": ec.SECP384R1(),
    "ECDSAP521": ec.SECP521R1(),
}
_SIZES = {"RSA3072": 3072, "RSA4096": 4096}


def new_pod_key(kind: str) -> PodKey:
    """A key of one of the API's types; large RSA keys take seconds. Blocking. Raises ValueError for others."""
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    if kind in _SIZES:
        return rsa.generate_private_key(public_exponent=65537, key_size=_SIZES[kind])
    if kind == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f'unknown key type "{kind}"')


def pkcs8_pem(key: PodKey) -> bytes:
    """PRIVATE KEY, as the API says that Pods get it."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def empty_request(key: PodKey) -> bytes:
    """A signing request (DER) that says nothing but the public key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)
