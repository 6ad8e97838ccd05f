"""A cluster's door: the socket on this machine's loopback at which its API server is reached.

It listens from the moment its port is chosen, so that no other cluster that comes up meanwhile chooses the same.
"""

import socket

from pybernetes.localcluster.errors import LocalClusterError

USUAL = 6443
_BACKLOG = 512


def open_door(port: int = 0) -> socket.socket:
    """A listening socket; 0: at 6443 where that is free, else at any free port. Raises LocalClusterError."""
    for choice in (port,) if port else (USUAL, 0):
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", choice))
            door.listen(_BACKLOG)  # where two have bound one port, this tells who has it
        except OSError as error:
            door.close()
            refused = error
        else:
            return door
    raise LocalClusterError(
        f"port {choice} on 127.0.0.1 cannot be used: {refused.strerror}; choose another with --api-port"
    ) from refused


def port_of(door: socket.socket) -> int:
    """Where it is."""
    return int(door.getsockname()[1])
