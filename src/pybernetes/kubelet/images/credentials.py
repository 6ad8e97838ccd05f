"""Who pulls: registry credentials in imagePullSecrets (kubernetes.io/dockerconfigjson and dockercfg) and on the node.

The node's own stand in config.json or .dockercfg below the kubelet's root, in ~/.docker and in /.docker. puller.py asks.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Credentials
from pybernetes.kubelet.images.records import Origin

_HUB = "docker.io"
_HUB_NAMES = ("index.docker.io", "registry-1.docker.io", "docker.io")


class Login(Struct, frozen=True):
    """Credentials, and the secret they come from; None of those that every Pod of the node may use."""

    credentials: Credentials
    origin: Origin | None = None


def from_secrets(secrets: Iterable[core_v1.Secret], image: str) -> list[Login]:
    """Credentials that match the image by registry and path prefix, the most specific first."""
    found: list[tuple[int, Login]] = []
    for secret in secrets:
        meta = secret.metadata
        for place, auth in _matching(_entries(secret), image):
            login = _login(place, auth)
            origin = Origin(meta.uid, meta.namespace, meta.name, _hash(login))
            found.append((len(place), Login(login, origin)))
    return [login for _, login in sorted(found, key=lambda f: -f[0])]


def from_node(folders: Iterable[Path], image: str) -> list[Login]:
    """Credentials of the node itself. Blocking; a file that is missing or broken has none."""
    found: list[tuple[int, Login]] = []
    for folder in folders:
        for name in ("config.json", ".dockercfg"):
            try:
                document = json.loads((folder / name).read_bytes())
            except (OSError, ValueError):
                continue
            entries = document.get("auths") if name == "config.json" and isinstance(document, dict) else document
            for place, auth in _matching(entries if isinstance(entries, dict) else {}, image):
                found.append((len(place), Login(_login(place, auth))))
    return [login for _, login in sorted(found, key=lambda f: -f[0])]


def docker_folders(root: Path) -> Sequence[Path]:
    """Where a node's own credentials may stand."""
    return (root, Path("~/.docker").expanduser(), Path("/.docker"))


def _matching(entries: Mapping[str, Any], image: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(place, auth) for place, auth in entries.items() if isinstance(auth, dict) and matches(place, image)]


def _hash(login: Credentials) -> str:
    parts = (login.username, login.password, login.identity_token, login.registry_token)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def full_name(image: str) -> str:
    """With registry and namespace, as pulls resolve short names: `web` is `docker.io/library/web`."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"{_HUB}/{image}" if slash else f"{_HUB}/library/{image}"


def _entries(secret: core_v1.Secret) -> Mapping[str, Any]:
    try:
        if ".dockerconfigjson" in secret.data:
            document = json.loads(base64.b64decode(secret.data[".dockerconfigjson"]))
            entries = document.get("auths", {})
        else:
            entries = json.loads(base64.b64decode(secret.data.get(".dockercfg", "e30=")))
    except ValueError:
        return {}
    return entries if isinstance(entries, dict) else {}


def matches(place: str, image: str) -> bool:
    """Whether credentials of a place are for an image: a registry, also with `*` in parts of its name, and a path in it."""
    place = place.partition("://")[2] or place
    host, _, path = place.rstrip("/").partition("/")
    if host in _HUB_NAMES:
        host, path = _HUB, "" if path in ("v1", "v2") else path
    image_host, _, image_path = full_name(image).partition("/")
    if not _host_matches(host, image_host):
        return False
    return not path or image_path == path or image_path.startswith((f"{path}/", f"{path}:", f"{path}@"))


def _host_matches(pattern: str, host: str) -> bool:
    parts, wanted = host.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _login(place: str, auth: Mapping[str, Any]) -> Credentials:
    username, password = str(auth.get("username", "")), str(auth.get("password", ""))
    if not username:
        try:
            username, _, password = base64.b64decode(str(auth.get("auth", ""))).decode().partition(":")
        except ValueError:
            username = password = ""
    return Credentials(
        username=username,
        password=password,
        server=place,
        identity_token=str(auth.get("identitytoken", "")),
        registry_token=str(auth.get("registrytoken", "")),
    )
