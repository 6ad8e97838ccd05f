"""Ports of clusters on one machine."""

import socket

import pytest

from pybernetes.assembly.door import USUAL, open_door, port_of
from pybernetes.localcluster.errors import LocalClusterError


def test_clusters_that_come_up_together_have_ports_of_their_own() -> None:
    with open_door() as first, open_door() as second, open_door() as third:
        assert len({port_of(first), port_of(second), port_of(third)}) == 3
        assert USUAL not in (port_of(second), port_of(third))
        with socket.create_connection(("127.0.0.1", port_of(second)), timeout=5):
            pass


def test_a_port_that_somebody_has_is_refused_with_what_to_do() -> None:
    with open_door() as first:
        port = port_of(first)
        with pytest.raises(LocalClusterError) as refused:
            open_door(port)
    why = "cannot be used: Address already in use; choose another with --api-port"
    assert str(refused.value) == f"port {port} on 127.0.0.1 {why}"
    open_door(port).close()  # it is free again
