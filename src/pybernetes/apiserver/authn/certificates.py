"""Client certificates: common name is the user, organizations are the groups (x509). TLS has verified them already."""

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import Unauthorized
from pybernetes.api.objects import User
from pybernetes.apiserver.authn.chain import authenticated
from pybernetes.wire.http import Request
from pybernetes.wire.pki.certificates import expiry_of, user_of
from pybernetes.wire.pki.keys import PkiError

_KEPT = 4096


class CertificateAuthenticator:
    """Reads each certificate once; connections come back with the same one.

    TLS has looked at its dates when the session began, which may be long ago: an expired one is refused, as upstream does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[User, float]] = {}

    async def authenticate(self, request: Request) -> User | None:
        """Raises Unauthorized for a certificate that is not for clients."""
        certificate = request.peer.certificate
        if certificate is None:
            return None
        known = self._known.get(certificate)
        if known is None:
            try:
                known = authenticated(user_of(certificate)), expiry_of(certificate)
            except PkiError:
                raise Unauthorized() from None
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[certificate] = known
        user, expiry = known
        if self._clock.now() > expiry:
            raise Unauthorized()
        return user
