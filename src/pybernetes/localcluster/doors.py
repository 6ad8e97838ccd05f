"""A node's doors on the machine: listening sockets that its first process holds and hands to whoever asks for them.

A server in a Pod connects to LISTEN_DIR/<name>.sock (its Pod mounts the folder), receives the socket itself
(SCM_RIGHTS, unix(7)) and accepts on it: no byte passes through anybody else. The socket outlives the server, so that
clients of one that is restarted wait instead of being refused.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from pybernetes.localcluster.spec import LISTEN_DIR


async def open_doors(listen: Mapping[str, int], folder: str = LISTEN_DIR) -> list[asyncio.Server]:
    """Serves each inherited descriptor under its name. Raises OSError."""
    servers = []
    for name, descriptor in listen.items():
        os.set_inheritable(descriptor, False)
        path = Path(folder) / f"{name}.sock"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        servers.append(await asyncio.start_unix_server(_Hand(descriptor), path))
        path.chmod(0o600)
    return servers


class _Hand:
    """Gives a descriptor to each that connects, and closes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = writer.get_extra_info("socket")
        try:
            with socket.socket(fileno=os.dup(taken.fileno())) as connection:
                socket.send_fds(connection, [b"1"], [self._descriptor])
        finally:
            writer.close()
