"""Who pulled which image, on disk below <root>/image_manager: KubeletEnsureSecretPulledImages (KEP-2535). puller.py asks.

A private image that one Pod's secret has brought is not lent to Pods without it. Records outlive the kubelet; an image
without any was there before (preloaded). One file an image, written whole.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

_API = "kubelet.config.k8s.io/v1beta1"
NEVER, PRELOADED, ALLOWLISTED, ALWAYS = (
    "NeverVerify",
    "NeverVerifyPreloadedImages",
    "NeverVerifyAllowlistedImages",
    "AlwaysVerify",
)


class Origin(Struct, frozen=True):
    """The secret that credentials come from, and a hash of them."""

    uid: str
    namespace: str
    name: str
    hash: str

    def grants(self, other: "Origin") -> bool:
        """Whether what this one has pulled may be used with the other: the same credentials, wherever they stand."""
        return self.hash == other.hash


class PullRecord(Struct, frozen=True):
    """What is known of one image name's pulls."""

    everyone: bool = False
    """It was pulled without a secret of a Pod."""
    origins: tuple[Origin, ...] = ()


def bare(image: str) -> str:
    """Without tag and digest."""
    image = image.partition("@")[0]
    head, slash, last = image.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


class PullRecords:
    """Records below a folder. Methods block for the time of a small file; threads may call them side by side."""

    def __init__(self, folder: Path, policy: str = PRELOADED, allowlist: Iterable[str] = ()) -> None:
        self._pulled = folder / "pulled"
        self._pulling = folder / "pulling"
        self._policy = policy
        self._allowlist = tuple(allowlist)
        self._writing = threading.Lock()
        """A record is read, changed and written as one: several Pods may have pulled one image together."""

    def needs_pull(self, image: str, ref: str, origins: Iterable[Origin]) -> bool:
        """Whether a Pod with these secrets must ask the registry before it may use an image that is here already."""
        if self._policy == NEVER:
            return False
        records = self._load(ref)
        if records is None and not _file(self._pulling, image).exists():
            return self._policy == ALWAYS or (self._policy == ALLOWLISTED and not self._allows(image))
        known = (records or {}).get(bare(image), PullRecord())
        return not known.everyone and not any(k.grants(o) for k in known.origins for o in origins)

    def _allows(self, image: str) -> bool:
        """An entry of the list is an image without tag, or `registry/path/*`."""
        name = bare(image)
        return any(
            name == entry or (entry.endswith("/*") and name.startswith(entry.removesuffix("*")))
            for entry in self._allowlist
        )

    def begin(self, image: str) -> None:
        """A pull is tried: should this process end in the middle, the image is none that was there before."""
        intent = {"kind": "ImagePullIntent", "apiVersion": _API, "image": image}
        with self._writing:
            _write(_file(self._pulling, image), intent)

    def end(self, image: str) -> None:
        """The pull is over."""
        _file(self._pulling, image).unlink(missing_ok=True)

    def pulled(self, image: str, ref: str, origin: Origin | None, now: str) -> None:
        """A pull has worked with these credentials; None are those of everybody. `now` is RFC 3339."""
        with self._writing:
            self._add(image, ref, origin, now)

    def _add(self, image: str, ref: str, origin: Origin | None, now: str) -> None:
        records = dict(self._load(ref) or {})
        known = records.get(bare(image), PullRecord())
        if origin is None:
            known = PullRecord(everyone=True)
        elif not known.everyone and origin not in known.origins:
            kept = tuple(
                o for o in known.origins if (o.uid, o.namespace, o.name) != (origin.uid, origin.namespace, origin.name)
            )
            known = PullRecord(origins=(*kept, origin))
        records[bare(image)] = known
        document = {
            "kind": "ImagePulledRecord",
            "apiVersion": _API,
            "lastUpdatedTime": now,
            "imageRef": ref,
            "credentialMapping": {name: _mapping(record) for name, record in sorted(records.items())},
        }
        _write(_file(self._pulled, ref), document)

    def forget_all_but(self, refs: Iterable[str]) -> None:
        """Drops the records of images that are here no more."""
        kept = {_file(self._pulled, ref).name for ref in refs}
        for file in self._pulled.glob("sha256-*"):
            if file.name not in kept:
                file.unlink(missing_ok=True)

    def _load(self, ref: str) -> Mapping[str, PullRecord] | None:
        """By image name; None where there is no record, or one that nobody can read: then it must be asked for anew."""
        try:
            document = json.loads(_file(self._pulled, ref).read_bytes())
            mapping = document["credentialMapping"]
            return {str(name): _record(entry) for name, entry in mapping.items()}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}


def _mapping(record: PullRecord) -> dict[str, Any]:
    if record.everyone:
        return {"nodePodsAccessible": True}
    secrets = [
        {"uid": o.uid, "namespace": o.namespace, "name": o.name, "credentialHash": o.hash} for o in record.origins
    ]
    return {"kubernetesSecrets": secrets}


def _record(entry: Mapping[str, Any]) -> PullRecord:
    secrets = entry.get("kubernetesSecrets") or ()
    origins = tuple(Origin(s["uid"], s["namespace"], s["name"], s["credentialHash"]) for s in secrets)
    return PullRecord(everyone=bool(entry.get("nodePodsAccessible")), origins=origins)


def _file(folder: Path, name: str) -> Path:
    return folder / f"sha256-{hashlib.sha256(name.encode()).hexdigest()}"


def _write(file: Path, document: Mapping[str, Any]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(document))
    os.replace(new, file)
