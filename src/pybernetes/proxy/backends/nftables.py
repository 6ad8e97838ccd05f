"""nftables: Services as elements of a flat table (see _flat.py), changed in place by libnftables."""

import asyncio
import errno
import logging
from collections.abc import Iterable, Mapping, Sequence

from pybernetes.api.objects import Key
from pybernetes.kernel.conntrack import Flow, forget
from pybernetes.kernel.namespaces import NamespaceThread
from pybernetes.kernel.netlink import Netlink, Route
from pybernetes.kernel.nft import Nft, NftError
from pybernetes.proxy.backend import Backend, BackendError, ProxyConfig
from pybernetes.proxy.backends._flat import TABLE, FlatTable, Frontend, Slot
from pybernetes.rules.services import DataplanePort

log = logging.getLogger(__name__)

ROUTE_PROTOCOL = 114
"""Route protocol number (rtnetlink(7)) of the service range's route."""


class NftablesProxy:
    """The node's Services in the table `ip kube-proxy`."""

    def __init__(self, config: ProxyConfig) -> None:
        self._config = config
        self._table = FlatTable(config.service_cidr)
        self._thread: NamespaceThread | None = None
        self._nft: Nft | None = None

    async def sync(self, services: Mapping[Key, Sequence[DataplanePort]], *, full: bool) -> None:
        """One transaction. Raises BackendError."""
        change = self._table.change(services, full=full)
        try:
            thread, nft = await self._open()
            if change.text:
                await thread.run(nft.run, change.text)
        except (NftError, OSError) as error:
            self._table.clear()
            raise BackendError(" ".join(str(error).split())) from error
        if change.stale_udp:
            await thread.run(_forget, change.stale_udp)

    async def close(self) -> None:
        """Frees the context and ends the thread."""
        if self._thread is not None:
            if self._nft is not None:
                await self._thread.run(self._nft.close)
            await asyncio.to_thread(self._thread.close)
            self._thread = self._nft = None

    async def remove(self) -> None:
        """Takes the table and the route away, as a reset of the node does."""
        thread, nft = await self._open()
        await thread.run(nft.run, f"add table {TABLE}\ndelete table {TABLE}\n")
        await thread.run(_with_route, self._config.service_cidr, remove=True)
        self._table.clear()

    async def _open(self) -> tuple[NamespaceThread, Nft]:
        if self._thread is None:
            self._thread = await asyncio.to_thread(NamespaceThread, self._config.netns, "nftables")
        if self._nft is None:
            await self._thread.run(_with_route, self._config.service_cidr)
            self._nft = await self._thread.run(Nft)
        return self._thread, self._nft


def _with_route(service_cidr: str, *, remove: bool = False) -> None:
    """Host processes reach Services only if some route covers them before translation; a default route may be missing.

    To loopback, because no packet ever follows it: what is not translated is refused by the table.
    """
    link = Netlink()
    route = Route(service_cidr, device="lo", protocol=ROUTE_PROTOCOL)
    try:
        if remove:
            link.delete_route(route)
        else:
            link.replace_route(route)
    except OSError as error:
        if error.errno != errno.ENETDOWN:
            raise
        log.warning("loopback is down, host processes do not reach services range=%s", service_cidr)
    finally:
        link.close()


def _forget(stale: Iterable[tuple[Frontend, Slot]]) -> None:
    """A tracked UDP flow would go on to its endpoint for ever: a client keeps its port (DNS), so the flow never ends."""
    flows = [Flow(f.address or None, f.port, ip, port) for f, (ip, port) in stale]
    try:
        forget(flows)
    except OSError as error:
        log.warning("cannot forget udp flows flows=%d error=%s", len(flows), error)


BACKEND = Backend("nftables", NftablesProxy)
