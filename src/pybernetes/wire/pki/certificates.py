"""Certificates: authorities, leafs from own keys and from requests, and who a certificate says it is.

A subject is a Kubernetes User: CN is the name, each O a group (x509 client authentication).
"""

import hashlib
import hmac
import ipaddress
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from pybernetes.api.objects import User
from pybernetes.wire.pki.keys import PkiError, PrivateKey, PublicKey, key_pem, new_key, parse_key, repeatable

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
BACKDATE = timedelta(minutes=5)
"""Clocks of machines differ: a certificate is valid from a little earlier."""

_USAGES = {
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority: its certificate and the key that signs."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate as PEM: the bundle that others check with."""
        return certificate_pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The key as PEM."""
        return key_pem(self.key)


class Leaf(Struct, frozen=True):
    """What a leaf certificate shall say."""

    name: str
    """Common name: the user."""
    groups: tuple[str, ...] = ()
    """Organizations: the user's groups."""
    hosts: tuple[str, ...] = ()
    """DNS names and IP addresses a server answers under."""
    usages: tuple[str, ...] = ("client auth",)
    """`client auth`, `server auth`."""
    lifetime: timedelta = LEAF_LIFETIME
    key_usages: tuple[str, ...] = ("digital signature", "key encipherment")
    """What the key may do, of these two; nothing is said where it is empty."""
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def new_authority(
    name: str, now: float, lifetime: timedelta = CA_LIFETIME, *, key: PrivateKey | None = None
) -> Authority:
    """A new self-signed authority; `now` is seconds since 1970. The same key at the same moment makes the same one."""
    key = key or new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _base(subject, (subject, key), key.public_key(), now, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usages = ("digital signature", "key encipherment", "cert sign")
    builder = builder.add_extension(_key_usage(usages), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Authority(builder.sign(key, hashes.SHA256(), ecdsa_deterministic=repeatable(key)), key)


def parse_authority(certificate: bytes, key: bytes) -> Authority:
    """An authority from two PEMs. Raises PkiError, also when they do not belong together."""
    found, signer = parse_certificate(certificate), parse_key(key)
    if _spki(found.public_key()) != _spki(signer.public_key()):
        raise PkiError("the certificate's key is not the private key")
    return Authority(found, signer)


def issue(authority: Authority, leaf: Leaf, now: float) -> tuple[bytes, bytes]:
    """A new key and a certificate for it: (certificate PEM, key PEM)."""
    key = new_key()
    return certificate_pem(sign(authority, leaf, key.public_key(), now)), key_pem(key)


def sign(
    authority: Authority, leaf: Leaf, key: PublicKey, now: float, *, subject: x509.Name | None = None
) -> x509.Certificate:
    """A certificate for a public key. It never outlives its authority. `subject` stands for the leaf's name and groups."""
    end = datetime.fromtimestamp(now, UTC) + leaf.lifetime
    lifetime = min(end, authority.certificate.not_valid_after_utc) - datetime.fromtimestamp(now, UTC)
    issuer = (authority.certificate.subject, authority.key)
    builder = _base(subject or _subject(leaf.name, leaf.groups), issuer, key, now, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if leaf.key_usages:
        builder = builder.add_extension(_key_usage(leaf.key_usages), critical=True)
    usages = [_USAGES[usage] for usage in leaf.usages]
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(signer, critical=False)
    names: list[x509.GeneralName] = [_general_name(host) for host in leaf.hosts]
    names += [x509.RFC822Name(email) for email in leaf.emails]
    names += [x509.UniformResourceIdentifier(uri) for uri in leaf.uris]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority.key, hashes.SHA256(), ecdsa_deterministic=repeatable(authority.key))


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """PEM of a certificate."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def parse_certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM. Raises PkiError."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise PkiError(f"not a certificate: {error}") from error


def user_of(der: bytes) -> User:
    """Who a client certificate (DER) speaks for. Raises PkiError when it has no common name or is not for clients."""
    try:
        certificate = x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise PkiError(f"not a certificate: {error}") from error
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise PkiError("the certificate is not for client authentication") from error
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        raise PkiError("the certificate is not for client authentication")
    return _user(certificate)


def expiry_of(der: bytes) -> float:
    """When a certificate (DER) ends, in seconds since 1970. Raises PkiError."""
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    except ValueError as error:
        raise PkiError(f"not a certificate: {error}") from error


def public_key_hash(certificate: x509.Certificate) -> str:
    """`sha256:<hex>` of the certificate's SubjectPublicKeyInfo, as kubeadm pins an authority."""
    return "sha256:" + hashlib.sha256(_spki(certificate.public_key())).hexdigest()


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A certificate signing request whose own signature is good."""

    user: User
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    emails: tuple[str, ...]
    uris: tuple[str, ...]
    key: PublicKey
    subject: x509.Name
    """All that it says of itself."""


def new_request(name: str, groups: Sequence[str], hosts: Sequence[str], key: PrivateKey) -> bytes:
    """A signing request as PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(name, groups))
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    request = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=repeatable(key))
    return request.public_bytes(serialization.Encoding.PEM)


def parse_request(pem: bytes) -> SigningRequest:
    """Reads a signing request and checks its signature. Raises PkiError."""
    try:
        request = x509.load_pem_x509_csr(pem)
        valid = request.is_signature_valid
        key = request.public_key()
        extensions = request.extensions
    except (ValueError, InvalidSignature) as error:
        raise PkiError(f"not a certificate request: {error}") from error
    if not valid:
        raise PkiError("the signature of the certificate request is wrong")
    if not isinstance(key, PublicKey):
        raise PkiError("only RSA and EC keys are known here")
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    user = _user(request)
    with _long_names():
        subject = request.subject
    return SigningRequest(
        user,
        tuple(names.get_values_for_type(x509.DNSName)),
        tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        tuple(names.get_values_for_type(x509.RFC822Name)),
        tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        key,
        subject,
    )


def _user(certificate: x509.Certificate | x509.CertificateSigningRequest) -> User:
    with _long_names():
        subject = certificate.subject
    names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or not names[0]:
        raise PkiError("the subject has no common name")
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return User(names[0], groups=tuple(str(attribute.value) for attribute in groups))


def _subject(name: str, groups: Sequence[str]) -> x509.Name:
    # A name of its own for each group (multi-valued RDNs are legal too, but fewer readers know them).
    with _long_names():
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group, _validate=False) for group in groups]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False))
    return x509.Name(attributes)


@contextmanager
def _long_names() -> Iterator[None]:
    """Names of nodes and ServiceAccounts are longer than X.520's 64 letters; nobody but cryptography minds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _base(
    subject: x509.Name, issuer: tuple[x509.Name, PrivateKey], key: PublicKey, now: float, lifetime: timedelta
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(now, UTC)
    said = f"{subject.rfc4514_string()} {start.isoformat()} {lifetime.total_seconds()}".encode()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0])
        .public_key(key)
        .serial_number(_serial_number(issuer[1], said + _spki(key)))
        .not_valid_before(start - BACKDATE)
        .not_valid_after(start + lifetime)
    )


def _serial_number(key: PrivateKey, said: bytes) -> int:
    """159 bits that nobody can foretell without the issuer's key (CA/Browser Forum, 7.1), the same for the same certificate."""
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    return int.from_bytes(hmac.digest(secret, said, "sha256")[:20], "big") >> 1 or 1


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital signature" in usages,
        content_commitment=False,
        key_encipherment="key encipherment" in usages,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign="cert sign" in usages,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(key: object) -> bytes:
    if not isinstance(key, PublicKey):
        raise PkiError("only RSA and EC keys are known here")
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
