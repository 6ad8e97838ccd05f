"""What should run in a node: unit files and static Pod manifests, read into one table. Feeds supervisor.py.

Until the kubelet runs static Pods from our own image, their commands are started as processes of the node.
"""

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pybernetes.localcluster.spec import MANIFESTS_DIR, SERVICES_DIR, Unit

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
    """The watcher over both folders; scan() is cheap when nothing has changed (two folder reads, one stat a file)."""

    def __init__(self, services_dir: str = SERVICES_DIR, manifests_dir: str = MANIFESTS_DIR) -> None:
        self._services = Path(services_dir)
        self._manifests = Path(manifests_dir)
        self._known: dict[Path, Service] = {}
        self._broken: dict[Path, Stamp] = {}

    def scan(self) -> Mapping[str, Service]:
        """The wanted services by name. A file that cannot be read keeps what it said before."""
        found: dict[str, Service] = {}
        seen: set[Path] = set()
        for path in [*_files(self._services, ".json"), *_files(self._manifests, ".yaml", ".yml")]:
            service = self._read(path)
            seen.add(path)
            if service is not None:
                found[service.name] = service
        for gone in self._known.keys() - seen:
            del self._known[gone]
        return found

    def _read(self, path: Path) -> Service | None:
        try:
            if path.suffix == ".json":
                return self._unit(path)
            return self._manifest(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, yaml.YAMLError, msgspec.MsgspecError) as error:
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

    def _manifest(self, path: Path) -> Service | None:
        stamp = _stamp(path)
        known = self._known.get(path)
        if known is not None and known.stamp == stamp:
            return known
        service = static_pod_service(yaml.safe_load(path.read_text()), stamp)
        self._known[path] = service
        return service


def static_pod_service(pod: Any, stamp: Stamp = ()) -> Service:
    """The first container of a static Pod as a service named like the Pod. Raises ValueError."""
    try:
        container = pod["spec"]["containers"][0]
        command = (*container.get("command", ()), *container.get("args", ()))
        env = {e["name"]: str(e.get("value", "")) for e in container.get("env", ())}
        name = pod["metadata"]["name"]
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"not a Pod with a container: {error!r}") from error
    if not command:
        raise ValueError(f"container {container.get('name')!r} of Pod {name!r} has no command")
    return Service(name, tuple(str(word) for word in command), env, stamp)


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
