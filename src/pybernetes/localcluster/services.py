"""What should run in a node beside its Pods: unit files, read into one table. Feeds supervisor.py."""

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pybernetes.localcluster.spec import SERVICES_DIR, Unit

log = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int], ...]
"""What changes when one of a service's files does: (path, mtime in ns, size) of each."""


@dataclass(frozen=True)
class Service:
    """A command to keep running. Two with the same stamp are the same."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stamp: Stamp = ()


class ServiceFiles:
    """The watcher over the folder; scan() is cheap (one folder read, one small file a unit)."""

    def __init__(self, services_dir: str = SERVICES_DIR) -> None:
        self._services = Path(services_dir)
        self._known: dict[Path, Service] = {}
        self._broken: dict[Path, Stamp] = {}

    def scan(self) -> Mapping[str, Service]:
        """The wanted services by name. A file that cannot be read keeps what it said before."""
        found: dict[str, Service] = {}
        seen: set[Path] = set()
        for path in _files(self._services, ".json"):
            service = self._read(path)
            seen.add(path)
            if service is not None:
                found[service.name] = service
        for gone in self._known.keys() - seen:
            del self._known[gone]
        return found

    def _read(self, path: Path) -> Service | None:
        try:
            return self._unit(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            stamp = _stamp(path)
            if self._broken.get(path) != stamp:
                self._broken[path] = stamp
                log.warning("cannot read service file=%s error=%s", path, " ".join(str(error).split()))
            return self._known.get(path)

    def _unit(self, path: Path) -> Service | None:
        unit = msgspec.json.decode(path.read_bytes(), type=Unit)
        files = [path, *(Path(p) for p in (unit.condition_path, unit.flags_file) if p)]
        if unit.condition_path and not Path(unit.condition_path).exists():
            return None
        service = Service(path.stem, (*unit.command, *_flags(unit.flags_file)), unit.env, _stamp(*files))
        self._known[path] = service
        return service


def unit_text(unit: Unit) -> str:
    """A unit file's text."""
    return json.dumps(msgspec.to_builtins(unit), indent=2) + "\n"


def _flags(file: str) -> tuple[str, ...]:
    if not file or not Path(file).exists():
        return ()
    words: list[str] = []
    for line in Path(file).read_text().splitlines():
        _, equals, value = line.partition("=")
        if equals:
            words += shlex.split(" ".join(shlex.split(value)))
    return tuple(words)


def _files(folder: Path, *suffixes: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix in suffixes and not p.name.startswith("."))


def _stamp(*files: Path) -> Stamp:
    stamps = []
    for file in files:
        try:
            status = file.stat()
            stamps.append((str(file), status.st_mtime_ns, status.st_size))
        except FileNotFoundError:
            stamps.append((str(file), 0, 0))
    return tuple(stamps)
