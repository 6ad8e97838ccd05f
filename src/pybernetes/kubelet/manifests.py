"""Manifests of static Pods: what a file or a URL says becomes Pods of this node. Pure, but for reading a folder.

static_pods.py asks again and again and gives the Pods to the table. The rules of the API (defaults, validation) are
handed in: they are the API server's, and a kubelet must not need one.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import Object
from pybernetes.api.types import core_v1
from pybernetes.rules.podcontainers import containers
from pybernetes.rules.staticpods import CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE, FILE, HTTP, SYSTEM_CLASSES
from pybernetes.wire.codecs import yaml

log = logging.getLogger(__name__)

LIMIT = 10 << 20
"""Bytes of a manifest that are read at most."""
_SECRET_DRIVERS = ("cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos")
_VOLUMES = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
_SOURCES = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


class ManifestError(ValueError):
    """A manifest that cannot be used; the text says why."""


class PodRules(Protocol):
    """What the API server would do with a new Pod."""

    def decode(self, document: Object) -> Object:
        """The canonical form, with defaults. Raises ValueError."""

    def check(self, pod: Object) -> None:
        """Raises ValueError that names every fault."""


class NoRules:
    """Of a kubelet that was given none: every manifest is refused."""

    def decode(self, document: Object) -> Object:
        """Raises ValueError."""
        raise ManifestError("this kubelet runs no static Pods")

    def check(self, pod: Object) -> None:
        """Raises ValueError."""
        raise ManifestError("this kubelet runs no static Pods")


@dataclass(frozen=True)
class Reader:
    """Reads manifests for one node. `now` says the time as RFC 3339, with a fraction."""

    node: str
    rules: PodRules
    now: Callable[[], str]

    def file(self, path: Path, data: bytes) -> core_v1.Pod:
        """The Pod of a file. Raises ManifestError."""
        return self._pod(_document(data), FILE, f"host:{self.node}file:{path}")

    def answer(self, url: str, data: bytes) -> tuple[core_v1.Pod, ...]:
        """The Pod, or the Pods of a PodList, that a server has. Raises ManifestError."""
        document = _document(data)
        if document.get("kind") != "PodList":
            return (self._pod(document, HTTP, f"url:{url}"),)
        items = document.get("items") or ()
        kind = {"apiVersion": "v1", "kind": "Pod"}
        return tuple(self._pod({**kind, **item}, HTTP, f"url:{url}") for item in items if isinstance(item, dict))

    def _pod(self, document: Object, source: str, place: str) -> core_v1.Pod:
        if (document.get("apiVersion"), document.get("kind")) != ("v1", "Pod"):
            said = f"{document.get('apiVersion')}, {document.get('kind')}"
            raise ManifestError(f"invalid pod: want apiVersion v1, kind Pod, not {said}")
        try:
            pod = self.rules.decode(document)
            if not pod["metadata"].get("name"):
                raise ManifestError("invalid pod: name is needed for the pod")
            self._place(pod, source, place)
            self.rules.check(pod)
        except ManifestError:
            raise
        except ValueError as error:
            raise ManifestError(f"invalid pod: {error}") from None
        refers = api_reference(pod)
        if refers:
            raise ManifestError(f"static pods may not reference {refers}")
        return msgspec.convert(pod, core_v1.Pod)

    def _place(self, pod: Object, source: str, place: str) -> None:
        """Makes it a Pod of this node. What a server would set is dropped; a uid of the file's own stays."""
        meta, spec = pod["metadata"], pod["spec"]
        for field in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"):
            meta.pop(field, None)
        pod["status"] = {"phase": "Pending"}
        uid = meta.get("uid") or _digest(pod, place)
        meta["uid"] = uid
        meta["name"] = f"{meta['name']}-{self.node.lower()}"
        meta["namespace"] = meta.get("namespace") or "default"
        own = {CONFIG_HASH: uid, CONFIG_SOURCE: source, CONFIG_SEEN: self.now()}
        meta["annotations"] = {**(meta.get("annotations") or {}), **own}
        spec["nodeName"] = self.node
        if spec.get("priority") is None and spec.get("priorityClassName") in SYSTEM_CLASSES:
            spec["priority"] = SYSTEM_CLASSES[spec["priorityClassName"]]
        forever = {"operator": "Exists", "effect": "NoExecute"}
        if source == FILE and forever not in (spec.get("tolerations") or ()):
            spec["tolerations"] = [*(spec.get("tolerations") or ()), forever]


class Folder:
    """The files of staticPodPath. A file that cannot be read keeps what it said before, and disturbs no other."""

    def __init__(self, path: Path, reader: Reader) -> None:
        self.path = path
        self._reader = reader
        self._read: dict[Path, tuple[tuple[int, ...], core_v1.Pod | None]] = {}

    def scan(self) -> tuple[core_v1.Pod, ...]:
        """The Pods of all files, in the files' order. Raises OSError when the folder itself cannot be read. Blocking."""
        if self.path.is_file():
            files = [self.path]
        else:
            files = sorted(entry for entry in self.path.iterdir() if not entry.name.startswith(".") and entry.is_file())
        self._read = {file: found for file in files if (found := self._look(file)) is not None}
        return tuple(pod for _, pod in self._read.values() if pod is not None)

    def _look(self, file: Path) -> tuple[tuple[int, ...], core_v1.Pod | None] | None:
        before = self._read.get(file)
        try:
            status = file.stat()
            stamp: tuple[int, ...] = (status.st_mtime_ns, status.st_size, status.st_ino)
            if before is not None and before[0] == stamp:
                return before
            if status.st_size > LIMIT:
                raise ManifestError(f"it has {status.st_size} bytes, {LIMIT} are read at most")
            pod = self._reader.file(file, file.read_bytes())
        except FileNotFoundError:
            return None
        except (ManifestError, OSError) as error:
            log.error("cannot use static Pod file=%s error=%s", file, " ".join(str(error).split()))
            # An unreadable file is tried again with every scan, a bad one when it changes
            stamp = stamp if isinstance(error, ManifestError) else ()
            return stamp, before[1] if before is not None else None
        if before is not None and before[1] is not None and before[1].metadata.uid == pod.metadata.uid:
            pod = before[1]  # only how it is written has changed
        return stamp, pod


def api_reference(pod: Object) -> str:
    """What of the API a Pod needs, in upstream's words; empty where it needs nothing."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    if spec.get("imagePullSecrets") or any(kind == "secret" for kind in _environment(spec)):
        return "secrets"
    if any(kind == "configMap" for kind in _environment(spec)):
        return "configmaps"
    if spec.get("resourceClaims"):
        return "resourceclaims"
    for volume in spec.get("volumes") or ():
        found = next((what for field, what in _VOLUMES.items() if volume.get(field) is not None), "")
        found = found or next((_SOURCES[field] for field in _projected(volume) if field in _SOURCES), "")
        if found:
            return found
        if any((volume.get(driver) or {}).get("secretRef") for driver in _SECRET_DRIVERS):
            return "secrets"
    return ""


def _environment(spec: Object) -> Iterator[str]:
    """`secret` and `configMap` for each that a container's environment is made of."""
    for container in containers(spec):
        sources = [
            *(container.get("envFrom") or ()),
            *((e.get("valueFrom") or {}) for e in container.get("env") or ()),
        ]
        for source in sources:
            yield from (found for found in ("secret", "configMap") if _names(source, found))


def _names(source: Mapping[str, Any], kind: str) -> bool:
    return source.get(f"{kind}Ref") is not None or source.get(f"{kind}KeyRef") is not None


def _projected(volume: Mapping[str, Any]) -> Iterator[str]:
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from source


def _document(data: bytes) -> Object:
    try:
        document = yaml.decode(data)
    except BadRequest as error:
        raise ManifestError(error.message) from None
    if not isinstance(document, dict):
        raise ManifestError("invalid pod: it is not an object")
    return document


def _digest(pod: Object, place: str) -> str:
    """The uid: of what the manifest says and where it lies, so that the same file is the same Pod after a restart."""
    said = json.dumps(pod, sort_keys=True).encode() + place.encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()
