"""Keys of Pods: each type that the API names, and a request that says nothing but the key."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pybernetes.wire.pki.podkeys import empty_request, new_pod_key, pkcs8_pem


@pytest.mark.parametrize("kind", ["RSA3072", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"])
def test_each_type_makes_an_empty_request_signed_by_itself(kind: str) -> None:
    key = new_pod_key(kind)
    request = x509.load_der_x509_csr(empty_request(key))
    assert request.is_signature_valid
    assert list(request.subject) == []
    assert list(request.extensions) == []
    found = request.public_key()
    if isinstance(found, rsa.RSAPublicKey):
        assert found.key_size == 3072
    elif isinstance(found, ec.EllipticCurvePublicKey):
        assert found.curve.name == {"256": "secp256r1", "384": "secp384r1", "521": "secp521r1"}[kind[-3:]]
    else:
        assert isinstance(found, ed25519.Ed25519PublicKey)
    assert pkcs8_pem(key).startswith(b"-----BEGIN PRIVATE KEY-----\n")


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match='unknown key type "DSA"'):
        new_pod_key("DSA")
