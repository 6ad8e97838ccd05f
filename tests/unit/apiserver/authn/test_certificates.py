"""Client certificates as identities."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pybernetes.api.errors import Unauthorized
from pybernetes.apiserver.authn.certificates import CertificateAuthenticator
from pybernetes.wire.http import Peer, Request
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority

MADE = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DAY = 86400.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = MADE

    def now(self) -> float:
        return self.at


def asked(usage: str = "client auth") -> Request:
    pem, _ = issue(new_authority("ca", MADE), Leaf("ann", ("ops",), usages=(usage,)), MADE)
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return Request("GET", "/", peer=Peer(certificate=der))


async def test_a_certificate_counts_until_it_expires_however_long_its_connection_lasts() -> None:
    clock, request = Clock(), asked()
    authenticator = CertificateAuthenticator(clock)  # type: ignore[arg-type]  # its time alone is asked
    for days in (0, 1, 364):
        clock.at = MADE + days * DAY
        user = await authenticator.authenticate(request)
        assert user is not None
        assert (user.name, user.groups) == ("ann", ("ops", "system:authenticated"))
    clock.at = MADE + 366 * DAY
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(request)
    with pytest.raises(Unauthorized):
        await CertificateAuthenticator(clock).authenticate(request)  # type: ignore[arg-type]


async def test_a_certificate_of_a_server_is_no_identity_and_none_is_nobody() -> None:
    authenticator = CertificateAuthenticator(Clock())  # type: ignore[arg-type]
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(asked("server auth"))
    assert await authenticator.authenticate(Request("GET", "/")) is None
