"""Connection tracking: forgetting flows whose translation leads nowhere any more. Over pyroute2's ctnetlink."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pybernetes.kernel.netlink import suppress_errno


@dataclass(frozen=True)
class Flow:
    """UDP flows from any client: asked for `address:port` (None: any address), answered by `endpoint:endpoint_port`."""

    address: str | None
    port: int
    endpoint: str
    endpoint_port: int


def forget(flows: Iterable[Flow]) -> int:
    """Forgets these UDP flows in the thread's network namespace; how many there were. Raises OSError."""
    from pyroute2.conntrack import Conntrack, NFCTAttrTuple

    wanted = {(f.address, f.port, f.endpoint, f.endpoint_port) for f in flows}
    if not wanted:
        return 0
    table: Any = Conntrack()
    gone = 0
    try:
        for entry in list(table.dump_entries(tuple_orig=NFCTAttrTuple(proto=socket.IPPROTO_UDP))):
            asked, answer = entry.tuple_orig, entry.tuple_reply
            served_by = (asked.dport, answer.saddr, answer.sport)
            if (asked.daddr, *served_by) not in wanted and (None, *served_by) not in wanted:
                continue
            with suppress_errno(errno.ENOENT):
                _delete(table, asked)
                gone += 1
    finally:
        table.close()
    return gone


def _delete(table: Any, asked: Any) -> None:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        table.entry("del", tuple_orig=asked)
    except NetlinkError as error:
        raise OSError(error.code, str(error)) from error
