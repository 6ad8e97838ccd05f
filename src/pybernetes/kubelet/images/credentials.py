"""Who pulls: registry credentials in imagePullSecrets (kubernetes.io/dockerconfigjson and dockercfg). puller.py asks."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Credentials

_HUB = "docker.io"
_HUB_NAMES = ("index.docker.io", "registry-1.docker.io", "docker.io")


def from_secrets(secrets: Iterable[core_v1.Secret], image: str) -> list[Credentials]:
    """Credentials that match the image by registry and path prefix, the most specific first."""
    found: list[tuple[int, Credentials]] = []
    for secret in secrets:
        for place, auth in _entries(secret).items():
            if _matches(place, image):
                username, password = _login(auth)
                found.append((len(place), Credentials(username, password, place)))
    return [credentials for _, credentials in sorted(found, key=lambda f: -f[0])]


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


def _matches(place: str, image: str) -> bool:
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
    return len(parts) == len(wanted) and all(w in ("*", p) for w, p in zip(wanted, parts, strict=True))


def _login(auth: Mapping[str, Any]) -> tuple[str, str]:
    if auth.get("username"):
        return str(auth["username"]), str(auth.get("password", ""))
    try:
        username, _, password = base64.b64decode(str(auth.get("auth", ""))).decode().partition(":")
    except ValueError:
        return "", ""
    return username, password
