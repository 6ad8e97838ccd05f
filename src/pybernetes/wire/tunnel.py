"""Joins two ByteStreams: what an API server does between kubectl and a kubelet (exec, attach, port-forward)."""

import asyncio

from pybernetes.wire.http import ByteStream, Request, Response, Transport, Upgrade


async def splice(left: ByteStream, right: ByteStream) -> None:
    """Copies both ways until both halves have ended or either end is gone; then both are closed, however it ended."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(left, right), name="tunnel.right")
            group.create_task(_copy(right, left), name="tunnel.left")
    except* ConnectionError:
        pass  # one end went away: the other learns it by the close below
    finally:
        try:
            await left.close()
        finally:
            await right.close()


async def _copy(source: ByteStream, sink: ByteStream) -> None:
    while data := await source.read():
        await sink.write(data)
    await sink.write_eof()


async def proxy_upgrade(transport: Transport, request: Request) -> Response:
    """Sends an upgrade request on and answers with what came back; after a 101 the two connections are joined.

    A refusal comes back as it is, so that the client learns the reason.
    """
    response = await transport(request)
    if response.status != 101 or response.stream is None:
        return response
    return Response(101, response.headers, upgrade=_joined(response.stream))


def _joined(far: ByteStream) -> Upgrade:
    async def run(near: ByteStream) -> None:
        await splice(near, far)

    return run
