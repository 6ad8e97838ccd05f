"""The pod network's agent, one a node: routes to the other nodes, and addresses and cables for this node's Pods.

Follows the Nodes through an informer and programs a backend. Serves the CNI plugin (native/cni.c) on a unix socket.
The CNI configuration is written when Pods can really be attached: that turns the Node Ready.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pybernetes.api.types.core_v1 import Node
from pybernetes.client.guard import Guard
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.kernel.namespaces import NamespaceThread
from pybernetes.kernel.netlink import Netlink
from pybernetes.kernel.nft import NftError
from pybernetes.network import podlink
from pybernetes.network.backend import Backend
from pybernetes.network.cni import (
    CHECK_FAILED,
    IO_FAILURE,
    TRY_AGAIN_LATER,
    Attached,
    CniError,
    Request,
    add_result,
    loopback_result,
    parse_request,
    version_result,
)
from pybernetes.network.hostports import HostPorts, mappings
from pybernetes.network.install import CNI_CONFIG, CNI_CONFIG_TEXT, write_file
from pybernetes.network.ipam import AddressBook, Exhausted, Record
from pybernetes.network.plan import NetworkPlan, plan
from pybernetes.rules.backoff import exponential

log = logging.getLogger(__name__)

SOCKET = Path("/run/pybernetes/cni.sock")
ADDRESSES = Path("/var/lib/cni/pybernetes")
RESULTS = Path("/var/lib/cni/results")
"""Where the CNI library of the runtime notes what ADD answered."""
T = TypeVar("T")

_RETRY = (1.0, 30.0)
_PATIENCE = 10.0
"""Seconds that an ADD waits for the node's podCIDR."""
_REQUEST_LIMIT = 1 << 20


@dataclass(frozen=True)
class AgentPaths:
    """Where the agent keeps its things; tests give others."""

    socket: Path = SOCKET
    addresses: Path = ADDRESSES
    results: Path = RESULTS
    config: Path = CNI_CONFIG


class NetworkAgent:
    """Runs on the node itself, in its network and mount namespaces."""

    def __init__(self, client: Client, node_name: str, backend: Backend, paths: AgentPaths | None = None) -> None:
        self._informers = Informers(client)
        self._nodes = self._informers.of(Node)
        self._node_name = node_name
        self._clock = client.clock
        self._backend = backend
        self._paths = paths or AgentPaths()
        self._pods = PodNetwork(self._paths.addresses)
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follows and serves until cancelled."""
        await asyncio.to_thread(podlink.prepare_node)
        await self._pods.reconcile()
        await asyncio.to_thread(drop_broken_results, self._paths.results)
        self._nodes.on_change(self._on_node)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._informers.run(), name="network.informers")
                group.create_task(self._serve(), name="network.cni")
                await self._informers.synced()
                self._changed.set()
                group.create_task(self._sync(), name="network.routes")
        finally:
            self._pods.close()

    def _on_node(self, old: Node | None, new: Node | None) -> None:
        # Heartbeats change a Node every few minutes, status writes more often: only what the plan reads counts
        if old is None or new is None or plan([old], "") != plan([new], "") or new.metadata.name == self._node_name:
            self._changed.set()

    async def _sync(self) -> None:
        thread = NamespaceThread(None, "network-routes")
        link = await thread.run(Netlink)
        failures = 0
        try:
            routes = await thread.run(self._backend.make, link)
            done: NetworkPlan | None = None
            while True:
                await self._changed.wait()
                self._changed.clear()
                wanted = plan(self._nodes.cache, self._node_name)
                if wanted == done:
                    continue
                try:
                    await thread.run(routes.apply, wanted.others)
                    done, failures = wanted, 0
                except OSError as error:
                    wait = exponential(failures, *_RETRY)
                    failures += 1
                    log.warning("cannot program routes error=%s retry_in=%.0fs", error.strerror or error, wait)
                    await self._clock.sleep(wait)
                    self._changed.set()
                if wanted.own:
                    self._ready(wanted)
        finally:
            thread.call(link.close)
            thread.close()

    def _ready(self, wanted: NetworkPlan) -> None:
        if self._pods.cidr != wanted.own:
            log.info("pods of this node get addresses range=%s routes=%d", wanted.own, len(wanted.others))
            self._pods.use(wanted.own)
        write_file(self._paths.config, CNI_CONFIG_TEXT)

    async def _serve(self) -> None:
        path = self._paths.socket
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer, path)
        os.chmod(path, 0o600)
        async with server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with Guard("cni request"):
            data = await reader.read(_REQUEST_LIMIT)
            while more := await reader.read(_REQUEST_LIMIT):
                data += more
            code, answer = await self._pods.handle(data)
            writer.write(f"{code}\n".encode() + (json.dumps(answer).encode() + b"\n" if answer else b""))
            await writer.drain()
        writer.close()


def drop_broken_results(folder: Path) -> list[Path]:
    """Removes notes that a power cut left half written: with one, the runtime refuses for ever to end its sandbox."""
    gone = []
    for file in folder.iterdir() if folder.is_dir() else ():
        try:
            json.loads(file.read_bytes())
        except ValueError:
            log.warning("dropped half a cni result file=%s", file)
            file.unlink(missing_ok=True)
            gone.append(file)
    return gone


class PodNetwork:
    """Performs CNI commands on this node. `cidr` is the node's podCIDR, empty until it is known."""

    def __init__(self, folder: Path) -> None:
        self.cidr = ""
        self._known = asyncio.Event()
        self._book = AddressBook(folder)
        self._locks: dict[str, asyncio.Lock] = {}
        self._thread: NamespaceThread | None = None
        self._ports: HostPorts | None = None

    async def handle(self, data: bytes) -> tuple[int, dict[str, Any] | None]:
        """Exit code and standard output of the plugin for a request."""
        version = "0.4.0"
        try:
            request = parse_request(data)
            version = request.version
            return 0, await self._perform(request)
        except CniError as error:
            log.warning("refused cni request code=%d error=%s", error.code, error)
            return 1, error.wire(version)

    def use(self, cidr: str) -> None:
        """The node's podCIDR, from now on."""
        self.cidr = cidr
        self._known.set()

    async def reconcile(self) -> None:
        """After a start: gives back what sandboxes had that are no more (a power cut takes their namespaces)."""
        gone = self._book.keep(lambda record: os.path.exists(record.netns))
        known = {podlink.host_name(r.sandbox, r.interface) for r in self._book}
        strangers = await asyncio.to_thread(podlink.remove_strangers, known)
        if gone or strangers:
            log.info("gave back addresses=%d links=%d", len(gone), len(strangers))
        self._thread = NamespaceThread(None, "host-ports")
        try:
            self._ports = await self._thread.run(HostPorts)
            await self._thread.run(self._ports.reset, {r.address: r.ports for r in self._book if r.ports})
        except NftError as error:
            self._ports = None  # Pods without host ports need none of it
            log.warning("host ports are not served error=%s", error)

    def close(self) -> None:
        """Ends the worker thread; cables and ports stay."""
        if self._thread is not None:
            if self._ports is not None:
                self._thread.call(self._ports.close)
            self._thread.close()

    async def _perform(self, request: Request) -> dict[str, Any] | None:
        if request.command == "VERSION":
            return version_result(request.version)
        lock = self._locks.setdefault(request.container, asyncio.Lock())
        try:
            async with lock:
                if request.plugin == "loopback":
                    return await self._loopback(request)
                if request.command == "ADD":
                    return add_result(request, await self._add(request))
                await (self._check(request) if request.command == "CHECK" else self._delete(request))
                return None
        finally:
            if not lock.locked():
                self._locks.pop(request.container, None)

    async def _add(self, request: Request) -> Attached:
        try:
            # After a reboot the runtime is often back before the agent has asked the API server
            async with asyncio.timeout(_PATIENCE):
                await self._known.wait()
        except TimeoutError as error:
            raise CniError(TRY_AGAIN_LATER, "the node has no podCIDR yet") from error
        ports = mappings(request.config)
        try:
            record = self._book.allocate(self.cidr, request.container, request.interface, request.netns, ports)
        except Exhausted as error:
            raise CniError(TRY_AGAIN_LATER, str(error)) from error
        try:
            attached = await _blocking(
                lambda: podlink.attach(record.sandbox, record.interface, request.netns, record.address)
            )
            await self._open_ports(record)
        except CniError:
            self._book.release(record.sandbox, record.interface)
            raise
        log.info("attached pod=%s address=%s link=%s", request.pod, record.address, attached.host_interface)
        return attached

    async def _open_ports(self, record: Record) -> None:
        if not record.ports:
            return
        if self._thread is None or self._ports is None:
            raise CniError(IO_FAILURE, "host ports are not served on this node: apt-get install libnftables1")
        try:
            await self._thread.run(self._ports.add, record.address, record.ports)
        except NftError as error:
            wanted = ", ".join(f"{p.host_port}/{p.protocol}" for p in record.ports)
            raise CniError(IO_FAILURE, f"cannot open host ports {wanted}: {error}") from error

    async def _close_ports(self, record: Record) -> None:
        if self._thread is None or self._ports is None:
            return
        try:
            await self._thread.run(self._ports.remove, record.address)
        except NftError as error:
            raise CniError(IO_FAILURE, f"cannot close host ports: {error}") from error

    async def _check(self, request: Request) -> None:
        record = self._record(request)
        try:
            await asyncio.to_thread(podlink.check, record.sandbox, record.interface, request.netns)
        except OSError as error:
            raise CniError(CHECK_FAILED, f"{error.strerror}: {error.filename}") from error

    async def _delete(self, request: Request) -> None:
        known = self._book.find(request.container, request.interface)
        if known is not None:
            await self._close_ports(known)
        await _blocking(lambda: podlink.detach(request.container, request.interface))
        # The address after the link: nobody may get it while packets to it still find the old cable
        record = self._book.release(request.container, request.interface)
        if record is not None:
            log.info("detached pod=%s address=%s", request.pod, record.address)

    async def _loopback(self, request: Request) -> dict[str, Any] | None:
        if request.command != "ADD":
            return None
        await _blocking(lambda: podlink.loopback_up(request.netns, request.interface))
        return loopback_result(request)

    def _record(self, request: Request) -> Record:
        record = self._book.find(request.container, request.interface)
        if record is None:
            raise CniError(CHECK_FAILED, f"container {request.container} has no address")
        return record


async def _blocking(work: Callable[[], T]) -> T:
    """Kernel work in a thread; its refusals become CNI errors."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise CniError(IO_FAILURE, f"{error.strerror or error}", str(error.filename or "")) from error
