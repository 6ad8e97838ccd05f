"""Client certificates: common name is the user, organizations are the groups (x509). TLS has verified them already."""

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import Unauthorized
from pybernetes.api.objects import User
from pybernetes.apiserver.authn.chain import authenticated
from pybernetes.wire.http import Request
from pybernetes.wire.pki.certificates import user_of
from pybernetes.wire.pki.keys import PkiError

_KEPT = 4096


class CertificateAuthenticator:
    """Reads each certificate once; connections come back with the same one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[bytes, User] = {}

    async def authenticate(self, request: Request) -> User | None:
        """Raises Unauthorized for a certificate that is not for clients."""
        certificate = request.peer.certificate
        if certificate is None:
            return None
        user = self._known.get(certificate)
        if user is None:
            try:
                user = authenticated(user_of(certificate))
            except PkiError:
                raise Unauthorized() from None
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[certificate] = user
        return user
