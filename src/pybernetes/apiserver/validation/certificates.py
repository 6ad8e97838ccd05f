"""Signer names, PEM bundles and chains: what the kinds of certificates.k8s.io are made of."""

import base64
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from pybernetes.api import names
from pybernetes.api.errors import FieldError, invalid_value, required, too_long
from pybernetes.apiserver.validation.fields import FieldErrors, check

_SIGNER_LIMIT = 571
BUNDLE_LIMIT = 1024 * 1024
"""Bytes of a ClusterTrustBundle's PEM."""
_OMITTED = "<value omitted>"
_BLOCK = re.compile(r"^-----BEGIN ([^\n]*?)-----[ \t\r]*\n(.*?)^-----END \1-----", re.DOTALL | re.MULTILINE)


def signer_name(name: str, path: str = "spec.signerName") -> FieldErrors:
    """`example.com/signer-name`."""
    parts = name.split("/")
    if not name:
        yield required(path)
        return
    if len(parts) != 2:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid_value(path, name, text)
        return
    domain, last = parts
    if len(domain.encode()) > names.SUBDOMAIN_LENGTH:
        yield too_long(path, names.SUBDOMAIN_LENGTH)
    for label in domain.split("."):
        yield from check(path, domain, (f'validating label "{label}": {why}' for why in names.dns1123_label(label)))
    if "." not in domain:
        yield invalid_value(path, domain, "should be a domain with at least two segments separated by dots")
    for label in last.split("."):
        yield from check(path, last, (f'validating label "{label}": {why}' for why in names.dns1123_subdomain(label)))
    if len(name.encode()) > _SIGNER_LIMIT:
        yield too_long(path, _SIGNER_LIMIT)


class Block(NamedTuple):
    """One block of a PEM text."""

    type: str
    headers: bool
    der: bytes


def pem_blocks(text: str) -> Iterator[Block]:
    """The blocks of a PEM text as Go reads it: what is between them, and blocks that are no base64, are passed over."""
    for found in _BLOCK.finditer(text):
        head, blank, body = found[2].partition("\n\n")
        headers = bool(blank) and ":" in head
        try:
            der = base64.b64decode("".join((body if headers else found[2]).split()), validate=True)
        except ValueError:  # binascii.Error, or letters that are not ASCII
            continue
        yield Block(found[1], headers, der)


def certificate(der: bytes) -> x509.Certificate | None:
    """None for what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def request_fault(pem: bytes) -> str:
    """What is wrong with a PEM of a PKCS #10 request, empty when it is well formed and signed by its own key."""
    block = next(pem_blocks(pem.decode(errors="replace")), None)
    if block is None or block.type != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    return "" if request(block.der) is not None else "the certificate request is malformed or its signature is wrong"


def request(der: bytes) -> x509.CertificateSigningRequest | None:
    """A PKCS #10 request (DER) whose signature is good."""
    try:
        found = x509.load_der_x509_csr(der)
        return found if found.is_signature_valid else None
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return None


def issued_fault(encoded: str) -> str:
    """What is wrong with a CertificateSigningRequest's status.certificate (base64), empty for a good or empty one."""
    if not encoded:
        return ""
    blocks = list(pem_blocks(decoded(encoded).decode(errors="replace")))
    for block in blocks:
        if block.type != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{block.type}"'
        if block.headers:
            return "no PEM block headers are permitted"
        if certificate(block.der) is None:
            return "x509: malformed certificate"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


def decoded(encoded: str) -> bytes:
    """Base64, nothing for what is none."""
    try:
        return base64.b64decode(encoded)
    except ValueError:  # binascii.Error, or letters that are not ASCII
        return b""


def trust_bundle(text: str, path: str = "spec.trustBundle") -> list[FieldError]:
    """A PEM of authorities, each once."""
    if len(text.encode()) > BUNDLE_LIMIT:
        return [too_long(path, BUNDLE_LIMIT)]
    faults = []
    places: dict[bytes, list[int]] = {}
    for index, block in enumerate(pem_blocks(text)):
        fault = _anchor_fault(block)
        if fault:
            faults.append(invalid_value(path, _OMITTED, f"entry {index} {fault}"))
        else:
            places.setdefault(block.der, []).append(index)
    if faults:
        return faults
    if not places:
        return [invalid_value(path, _OMITTED, "at least one trust anchor must be provided")]
    for found in places.values():
        if len(found) > 1:
            listed = " ".join(str(index) for index in found)
            faults.append(invalid_value(path, _OMITTED, f"duplicate trust anchor (indices [{listed}])"))
    return faults


def _anchor_fault(block: Block) -> str:
    if block.type != "CERTIFICATE":
        return f"has bad block type: {block.type}"
    if block.headers:
        return "has PEM block headers"
    found = certificate(block.der)
    if found is None:
        return "does not parse as X.509"
    try:
        constraints = found.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return "does not have the CA bit set"
    return "" if constraints.ca else "does not have the CA bit set"
