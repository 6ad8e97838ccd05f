"""Certificates say who, for how long and under which names; what does not fit is refused."""

import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pybernetes.wire.pki import certificates, files, jwks, keys
from pybernetes.wire.pki.certificates import Authority, Leaf

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT = NOW.timestamp()


def der(pem: bytes) -> bytes:
    return certificates.parse_certificate(pem).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return certificates.new_authority("kubernetes", NOW.timestamp())


def test_authority_lasts_ten_years_and_a_leaf_one_both_a_little_backdated(authority: Authority) -> None:
    leaf = certificates.parse_certificate(certificates.issue(authority, Leaf("x"), NOW.timestamp())[0])
    for certificate, days in ((authority.certificate, 3650), (leaf, 365)):
        assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
        assert certificate.not_valid_after_utc == NOW + timedelta(days=days)
    leaf.verify_directly_issued_by(authority.certificate)


def test_leaf_never_outlives_its_authority(authority: Authority) -> None:
    late = NOW + timedelta(days=3640)
    leaf = certificates.parse_certificate(certificates.issue(authority, Leaf("x"), late.timestamp())[0])
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_subject_is_the_user(authority: Authority) -> None:
    long = "system:node:" + "n" * 63
    pem, _ = certificates.issue(authority, Leaf(long, ("system:nodes", "other")), NOW.timestamp())
    user = certificates.user_of(der(pem))
    assert (user.name, user.groups) == (long, ("system:nodes", "other"))


def test_server_certificate_is_no_client_certificate(authority: Authority) -> None:
    pem, _ = certificates.issue(authority, Leaf("x", usages=("server auth",)), NOW.timestamp())
    with pytest.raises(keys.PkiError, match="not for client"):
        certificates.user_of(der(pem))


def test_names_and_addresses_are_told_apart(authority: Authority) -> None:
    hosts = ("kubernetes.default.svc", "10.96.0.1", "fd00::1")
    pem, _ = certificates.issue(authority, Leaf("x", hosts=hosts), NOW.timestamp())
    names = certificates.parse_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default.svc"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.96.0.1", "fd00::1"]


def test_request_round_trip_and_signing(authority: Authority) -> None:
    key = keys.new_key()
    pem = certificates.new_request("system:node:n1", ["system:nodes"], ["n1", "10.0.0.1"], key)
    request = certificates.parse_request(pem)
    assert (request.user.name, request.user.groups) == ("system:node:n1", ("system:nodes",))
    assert (request.dns_names, request.ip_addresses) == (("n1",), ("10.0.0.1",))
    assert (request.emails, request.uris) == ((), ())
    leaf = Leaf(request.user.name, request.user.groups, ("n1",), ("server auth",))
    certificate = certificates.sign(authority, leaf, request.key, NOW.timestamp())
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:n1"


def test_tampered_or_foreign_requests_are_refused() -> None:
    pem = certificates.new_request("a", [], [], keys.new_key())
    request = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
    broken = bytearray(request)
    broken[-1] ^= 1
    import base64

    for bad in (
        b"",
        b"junk",
        b"-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(bytes(broken))
        + b"-----END CERTIFICATE REQUEST-----\n",
    ):
        with pytest.raises(keys.PkiError):
            certificates.parse_request(bad)


def test_key_files_are_private_and_whole(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "pki" / "ca.key"
    files.write_private(path, authority.key_pem)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert certificates.parse_authority(authority.pem, path.read_bytes()).pem == authority.pem
    assert [p.name for p in path.parent.iterdir()] == ["ca.key"]
    with pytest.raises(keys.PkiError, match="not the private key"):
        certificates.parse_authority(authority.pem, keys.key_pem(keys.new_key()))


def test_public_key_hash_is_of_the_key_and_not_of_the_certificate(authority: Authority) -> None:
    again = certificates.sign(authority, Leaf("other"), authority.key.public_key(), time.time())
    assert certificates.public_key_hash(again) == certificates.public_key_hash(authority.certificate)
    assert certificates.public_key_hash(authority.certificate).startswith("sha256:")
    assert len(certificates.public_key_hash(authority.certificate)) == 71


@pytest.mark.parametrize("key", [keys.new_rsa_key(), keys.new_key()])
def test_tokens_are_verified_with_the_published_key(key: keys.PrivateKey) -> None:
    public = key.public_key()
    document = jwks.jwks([public])
    token = jwt.encode({"sub": "x"}, key, jwks.algorithm(public), headers={"kid": jwks.key_id(public)})
    found = jwt.PyJWKSet.from_dict(document)[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, found.key, [jwks.algorithm(public)])["sub"] == "x"


def test_a_derived_key_signs_the_same_certificates_each_time() -> None:
    def made() -> tuple[bytes, ...]:
        authority = certificates.new_authority("kubernetes", AT, key=keys.derived_key(b"secret"))
        leaf, key = Leaf("jane"), keys.derived_key(b"jane")
        signed = certificates.sign(authority, leaf, key.public_key(), AT)
        return authority.pem, certificates.certificate_pem(signed), certificates.new_request("jane", (), (), key)

    assert keys.has_rfc6979()
    assert made() == made()


def test_serial_numbers_are_large_and_differ(authority: Authority) -> None:
    def serial(name: str, key: keys.PrivateKey, now: float) -> int:
        return certificates.sign(authority, Leaf(name), key.public_key(), now).serial_number

    one, two = keys.new_key(), keys.new_key()
    numbers = {serial("a", one, AT), serial("b", one, AT), serial("a", two, AT), serial("a", one, AT + 1)}
    assert len(numbers) == 4
    assert all(0 < number < 2**159 for number in numbers)
    assert max(numbers) > 2**120


@pytest.mark.parametrize("key", [keys.new_rsa_key(), keys.new_key()], ids=["RS256", "ES256"])
def test_tokens_are_the_same_for_the_same_claims(key: keys.PrivateKey) -> None:
    head = {"alg": jwks.algorithm(key.public_key()), "typ": "JWT"}
    token = jwks.signed({"sub": "jane"}, key, head)
    assert token == jwks.signed({"sub": "jane"}, key, head)
    assert jwt.decode(token, key.public_key(), algorithms=[head["alg"]]) == {"sub": "jane"}
    assert jwt.get_unverified_header(token) == head
