"""Transport: how requests reach an API server: wire.client.HttpClient, or the pipeline itself in one process."""

from msgspec.structs import replace

from pybernetes.api.objects import User
from pybernetes.wire.http import Handler, Peer, Request, Response, Transport

__all__ = ["Transport", "direct"]


def direct(handler: Handler, user: User) -> Transport:
    """A Transport that enters the API server's pipeline after parsing, as `user`: same authorization and admission."""

    async def send(request: Request) -> Response:
        return await handler(replace(request, peer=Peer(user=user)))

    return send
