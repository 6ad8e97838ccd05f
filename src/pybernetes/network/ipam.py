"""Addresses for Pods out of the node's podCIDR, on disk: one file a record, so a restart forgets nothing.

The network agent is the only writer. A file is named by its address and says which sandbox has it.
"""

import ipaddress
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pybernetes.network.hostports import PortMapping

log = logging.getLogger(__name__)

_LAST = "last"
"""The file that remembers where the round is."""

RESERVED = 2
"""The network's own address and the first one are never given away; nor is the broadcast address."""


class Exhausted(RuntimeError):
    """No address is left in the node's range."""


class Record(msgspec.Struct, frozen=True):
    """Who has an address. `netns` is the path of the sandbox's network namespace."""

    address: str
    sandbox: str
    interface: str
    netns: str
    ports: tuple[PortMapping, ...] = ()
    """The Pod's host ports."""


class AddressBook:
    """The records of one node. Every write is on disk before it returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, Record] = {}
        self._last = 0
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.iterdir()):
            if file.name != _LAST:
                self._load(file)
        if (folder / _LAST).exists():
            text = (folder / _LAST).read_text()
            self._last = int(text) if text.isdigit() else 0

    def _load(self, file: Path) -> None:
        try:
            record = msgspec.json.decode(file.read_bytes(), type=Record)
            if record.address != file.name:
                raise ValueError("address and file name differ")
        except (ValueError, msgspec.MsgspecError) as error:
            # Half a record: the agent was killed while it wrote, so nobody was told of the address
            log.warning("dropped address record file=%s error=%s", file, error)
            file.unlink()
            return
        self._records[record.address] = record

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._records.values()))

    def find(self, sandbox: str, interface: str) -> Record | None:
        """The record of a sandbox's interface."""
        for record in self._records.values():
            if (record.sandbox, record.interface) == (sandbox, interface):
                return record
        return None

    def allocate(
        self, cidr: str, sandbox: str, interface: str, netns: str, ports: tuple[PortMapping, ...] = ()
    ) -> Record:
        """The interface's address: the one it has, or the next free one after the last given. Raises Exhausted."""
        found = self.find(sandbox, interface)
        if found is not None:
            return found
        network = ipaddress.IPv4Network(cidr)
        size = network.num_addresses - RESERVED - 1
        for step in range(1, size + 1):
            # Round and round: an address rests as long as possible before somebody else gets it
            place = (self._last + step - 1) % size
            address = str(network[RESERVED + place])
            if address not in self._records:
                self._last = place + 1
                (self._folder / _LAST).write_text(str(self._last))
                record = Record(address, sandbox, interface, netns, ports)
                self._write(record)
                return record
        raise Exhausted(f"all {max(size, 0)} addresses of {cidr} are taken")

    def release(self, sandbox: str, interface: str) -> Record | None:
        """Frees the interface's address; None where it has none."""
        record = self.find(sandbox, interface)
        if record is not None:
            del self._records[record.address]
            (self._folder / record.address).unlink(missing_ok=True)
        return record

    def keep(self, alive: Callable[[Record], bool]) -> list[Record]:
        """Frees every record that is not alive, as after a power cut; which they were."""
        gone = [record for record in self if not alive(record)]
        for record in gone:
            self.release(record.sandbox, record.interface)
        return gone

    def _write(self, record: Record) -> None:
        (self._folder / record.address).write_bytes(msgspec.json.encode(record))
        self._records[record.address] = record
