"""Speaks to the API server as a ServiceAccount, with short tokens by TokenRequest that are renewed in time.

For parts of a program that may each do a few things only: the controllers, with --use-service-account-credentials. The
account is made where it is missing. As client-go's dynamic client builder.
"""

import asyncio
import logging

from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import authentication_v1 as authn
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.rest import Client
from pybernetes.wire.http import Headers, Request, Response, Transport

log = logging.getLogger(__name__)

LIFETIME = 3600
"""Seconds for which tokens are asked for."""
RENEW = 0.8
"""The part of its life after which a token is renewed."""


class AccountTransport:
    """A Transport as one ServiceAccount. `client` may make accounts and tokens, `bare` brings no identity of its own.

    Raises what asking for a token raises, ApiError or OSError; the next request asks again.
    """

    def __init__(self, client: Client, bare: Transport, account: Key) -> None:
        self._accounts = client.of(core_v1.ServiceAccount)
        self._clock, self._bare, self._account = client.clock, bare, account
        self._token, self._until = "", 0.0
        self._asking = asyncio.Lock()

    async def __call__(self, request: Request) -> Response:
        """Sends; once more with a new token where this one is refused: the account may have been made anew."""
        token = await self._current()
        response = await self._bare(_with(request, token))
        if response.status != 401:
            return response
        if token == self._token:
            self._token = ""
        return await self._bare(_with(request, await self._current()))

    async def _current(self) -> str:
        async with self._asking:  # one asks, the others wait for it
            if not self._token or self._clock.monotonic() >= self._until:
                self._token, self._until = await self._asked()
            return self._token

    async def _asked(self) -> tuple[str, float]:
        wanted = authn.TokenRequest(spec=authn.TokenRequestSpec(expirationSeconds=LIFETIME))
        now = self._clock.monotonic()
        try:
            made = await self._accounts.create_subresource(self._account, "token", wanted)
        except NotFound:
            meta = meta_v1.ObjectMeta(namespace=self._account.namespace, name=self._account.name)
            try:
                await self._accounts.create(core_v1.ServiceAccount(metadata=meta))
            except AlreadyExists:
                log.debug("account is there already account=%s", self._account)
            made = await self._accounts.create_subresource(self._account, "token", wanted)
        return made.status.token, now + RENEW * (made.spec.expirationSeconds or LIFETIME)


def _with(request: Request, token: str) -> Request:
    headers = Headers(request.headers)
    headers.set("authorization", f"Bearer {token}")
    return replace(request, headers=headers)
