"""Transport: how requests of a client reach an API server. Over sockets it is wire.client.HttpClient; in one process, the pipeline."""

from dataclasses import replace

from pybernetes.api.objects import User
from pybernetes.wire.http import Handler, Peer, Request, Response, Transport

__all__ = ["Transport", "direct"]


def direct(handler: Handler, user: User) -> Transport:
    """A Transport that enters the API server's pipeline after parsing, as `user`: same authorization and admission."""

    async def send(request: Request) -> Response:
        return await handler(replace(request, peer=Peer(user=user)))

    return send
