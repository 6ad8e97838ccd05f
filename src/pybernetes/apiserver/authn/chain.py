"""The chain of authenticators: the first that knows the caller says who it is. pipeline.py asks it for every request."""

from collections.abc import Sequence

from msgspec.structs import replace

from pybernetes.api.errors import Unauthorized
from pybernetes.api.objects import ANONYMOUS, User
from pybernetes.apiserver.authn.service_accounts import ServiceAccountAuthenticator
from pybernetes.apiserver.extension import Authenticator
from pybernetes.wire.http import Headers, Request

AUTHENTICATED = "system:authenticated"


class AuthenticatorChain:
    """Every request gets a User, anonymous where nobody claims it and that is allowed."""

    def __init__(
        self, authenticators: Sequence[Authenticator], *, anonymous: bool = True, audiences: Sequence[str] = ()
    ) -> None:
        self._authenticators = authenticators
        self._audiences = tuple(audiences)
        self._anonymous = anonymous

    async def authenticate(self, request: Request) -> User:
        """Raises Unauthorized. A bearer token that nobody knows is refused, never anonymous."""
        if request.peer.user is not None:
            return authenticated(request.peer.user)
        for authenticator in self._authenticators:
            user = await authenticator.authenticate(request)
            if user is not None:
                return authenticated(user)
        if "authorization" in request.headers or not self._anonymous:
            raise Unauthorized()
        return ANONYMOUS

    async def review(self, token: str, audiences: Sequence[str]) -> tuple[User, Sequence[str]] | None:
        """Whose a token is, and for which of the audiences: only ServiceAccounts' tokens name others than our own."""
        asked = tuple(audiences) or self._audiences
        own = [audience for audience in self._audiences if audience in asked]
        request = Request("GET", "/", Headers([("authorization", f"Bearer {token}")]))
        for authenticator in self._authenticators:
            if isinstance(authenticator, ServiceAccountAuthenticator):
                found = await authenticator.identify(token, asked)
                if found is not None:
                    return authenticated(found.user), found.audiences
            elif own or not asked:
                user = await authenticator.authenticate(request)
                if user is not None:
                    return authenticated(user), own
        return None


def authenticated(user: User) -> User:
    """The user in the group of all who are known."""
    if AUTHENTICATED in user.groups or user.name == ANONYMOUS.name:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))
