"""projected: several sources in one directory; above all the Pod's ServiceAccount token, the cluster's CA, its namespace."""

from pathlib import Path

from pybernetes.aio.clock import parse_time
from pybernetes.api.types import core_v1
from pybernetes.kubelet.atomic_writer import Content
from pybernetes.kubelet.volume import VolumeRequest, VolumeType
from pybernetes.kubelet.volumes import config_map, downward_api, secret

_LIFETIME = 3600
_EXPIRES = ".expires"
"""Beside the volume: when its tokens end. A rotation is due at 80 % of their life, as upstream does it."""


async def content(request: VolumeRequest) -> Content:
    """Files of all sources; later ones win."""
    source = request.volume.projected
    assert source is not None
    mode = 0o644 if source.defaultMode is None else source.defaultMode
    found: dict[str, tuple[bytes, int]] = {}
    for part in source.sources:
        found |= await _files(request, part, mode)
    return found


async def _files(request: VolumeRequest, part: core_v1.VolumeProjection, mode: int) -> Content:
    if part.configMap is not None:
        ref = part.configMap
        return await config_map.files(request, ref.name, ref.items, mode, optional=bool(ref.optional))
    if part.secret is not None:
        return await secret.files(
            request, part.secret.name, part.secret.items, mode, optional=bool(part.secret.optional)
        )
    if part.downwardAPI is not None:
        return downward_api.files(request, part.downwardAPI.items, mode)
    if part.serviceAccountToken is not None:
        token = await _token(request, part.serviceAccountToken)
        # Readable by the one user of the containers, or by all where they differ: as upstream's projection does.
        return {part.serviceAccountToken.path: (token, 0o600 if _single_user(request.pod) else 0o644)}
    raise ValueError("source of projected volume is not supported")


def _single_user(pod: core_v1.Pod) -> bool:
    """Whether root alone reads it; the file belongs to root."""
    context = pod.spec.securityContext
    if context is not None and (context.runAsUser or context.fsGroup is not None):
        return False
    users = {c.securityContext.runAsUser for c in pod.spec.containers if c.securityContext is not None}
    return users == {0}


async def _token(request: VolumeRequest, source: core_v1.ServiceAccountTokenProjection) -> bytes:
    """The token on disk while it has a fifth of its life left, else a new one."""
    seconds = source.expirationSeconds or _LIFETIME
    expiry = request.folder.parent / f"{_EXPIRES}.{request.volume.name}.{source.path.replace('/', '_')}"
    file = request.folder / source.path
    if _fresh(expiry, file, request.clock.now(), seconds):
        return file.read_bytes()
    given = await request.sources.token(request.pod, source.audience, seconds)
    expiry.parent.mkdir(parents=True, exist_ok=True)
    expiry.write_text(given.expires)
    return given.token.encode()


def _fresh(expiry: Path, file: Path, now: float, seconds: int) -> bool:
    try:
        ends = parse_time(expiry.read_text())
    except (OSError, ValueError):
        return False
    return file.exists() and ends - now > seconds / 5


VOLUME = VolumeType(field="projected", folder="kubernetes.io~projected", content=content, memory=True)
