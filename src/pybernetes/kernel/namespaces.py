"""Namespaces: threads that live in another network namespace, unshare, setns, pinned network namespaces.

See namespaces(7).

A namespace is entered by a thread and never by a fork: setns(2) of a network namespace is per thread, and forking a big
process takes seconds. Next stop: netlink.py and nft.py, which open their sockets in such a thread.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from pybernetes.kernel import mounts
from pybernetes.kernel._libc import call

P = ParamSpec("P")
T = TypeVar("T")

NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWPID = 0x20000000
NEWNET = 0x40000000

NETNS_DIR = Path("/run/netns")
"""Where iproute2 keeps its named network namespaces; ours are there too, so that `ip netns` shows them."""


def unshare(flags: int) -> None:
    """unshare(2): the calling thread (NEWPID: its children) gets new namespaces. Raises OSError."""
    call("unshare", flags)


def setns(path: str | Path, kind: int) -> None:
    """setns(2): the calling thread enters the namespace that `path` names. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        call("setns", fd, kind, about=str(path))
    finally:
        os.close(fd)


class NamespaceThread:
    """One worker thread inside one network namespace, for everything that must happen there.

    `netns` None means the namespace of the process. Sockets opened by functions that run here belong to that namespace
    for ever, so netlink and nftables handles are made and used in the same thread.
    """

    def __init__(self, netns: str | Path | None, name: str = "netns") -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        if netns is not None:
            try:
                self.call(setns, netns, NEWNET)
            except OSError:
                self.close()
                raise

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function there and blocks until it has ended."""
        return self._pool.submit(function, *args, **kwargs).result()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function there; calls are performed one after another, in order."""
        return await asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))

    def close(self) -> None:
        """Ends the thread after the calls that are under way."""
        self._pool.shutdown(wait=True)


def pin_netns(name: str) -> Path:
    """Makes a network namespace that stays without a process, as `ip netns add` does. An existing one is kept."""
    target = NETNS_DIR / name
    if mounts.is_mount(target):
        return target
    NETNS_DIR.mkdir(parents=True, exist_ok=True)
    target.touch()
    thread = NamespaceThread(None, "pin-netns")  # a thread of its own: it ends up in the new namespace
    try:
        thread.call(_unshare_and_bind, target)
    except OSError:
        target.unlink()
        raise
    finally:
        thread.close()
    return target


def _unshare_and_bind(target: Path) -> None:
    unshare(NEWNET)
    mounts.bind("/proc/thread-self/ns/net", target)


def unpin_netns(name: str) -> bool:
    """Takes a pinned namespace away; False where there was none. It ends with its last process or socket."""
    target = NETNS_DIR / name
    if not target.exists():
        return False
    while mounts.is_mount(target):
        mounts.unmount(target, detach=True)  # an open file of it (a netlink peer) must not stop us
    target.unlink()
    return True


def namespace_id(path: str | Path) -> tuple[int, int]:
    """What two paths to the same namespace have in common (device, inode)."""
    status = os.stat(path)
    return status.st_dev, status.st_ino
