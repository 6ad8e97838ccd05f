"""projected: several sources in one directory; above all the Pod's ServiceAccount token, the cluster's CA, its namespace."""

import asyncio
from hashlib import sha256
from pathlib import Path

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1
from pybernetes.kubelet.atomic_writer import Content, File
from pybernetes.kubelet.pod_certificates import NotIssued
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.sources import Token
from pybernetes.kubelet.trust_bundles import anchors
from pybernetes.kubelet.volume import VolumeRequest, VolumeType, usual_file
from pybernetes.kubelet.volumes import config_map, downward_api, secret

_LIFETIME = 3600
_USED = 0.8
"""Of a token's life: then it is renewed."""
_OLDEST = 24 * 3600.0
"""Seconds after which a token is renewed, however long it would be good."""


async def content(request: VolumeRequest) -> Content:
    """Files of all sources; later ones win. Raises what the only source raises that fails, ValueError for several."""
    source = request.volume.projected
    assert source is not None
    usual = usual_file(source.defaultMode, source.defaultUser)
    parts = await asyncio.gather(
        *(_files(request, index, part, usual) for index, part in enumerate(source.sources)), return_exceptions=True
    )  # fmt: skip
    failed = [part for part in parts if isinstance(part, BaseException)]
    if len(failed) == 1 or any(not isinstance(error, ApiError | OSError | ValueError) for error in failed):
        raise failed[0]
    if failed:
        raise ValueError(f"[{', '.join(dict.fromkeys(str(error) for error in failed))}]")
    found: dict[str, File] = {}
    for part in parts:
        assert not isinstance(part, BaseException)
        found |= part
    return found


async def _files(request: VolumeRequest, index: int, part: core_v1.VolumeProjection, usual: File) -> Content:
    if part.configMap is not None:
        ref = part.configMap
        return await config_map.files(request, ref.name, ref.items, usual, optional=bool(ref.optional))
    if part.secret is not None:
        hidden = part.secret
        return await secret.files(request, hidden.name, hidden.items, usual, optional=bool(hidden.optional))
    if part.downwardAPI is not None:
        return downward_api.files(request, part.downwardAPI.items, usual)
    if part.serviceAccountToken is not None:
        token = part.serviceAccountToken
        return {token.path: _private(request, await _token(request, token), usual, token.user)}
    if part.clusterTrustBundle is not None:
        bundle = part.clusterTrustBundle
        pem = anchors(bundle, await request.sources.trust_bundles())
        return {bundle.path: _private(request, pem, usual, bundle.user)}
    if part.podCertificate is not None:
        wanted = part.podCertificate
        found = await _certificate(request, wanted, f"{request.volume.name}/{index}")
        return {path: _private(request, data, usual, wanted.user) for path, data in found.items()}
    raise ValueError("source of projected volume is not supported")


async def _certificate(
    request: VolumeRequest, source: core_v1.PodCertificateProjection, place: str
) -> dict[str, bytes]:
    """Key and chain by path; what is there already while nothing newer is issued."""
    paths = [p for p in (source.credentialBundlePath, source.keyPath, source.certificateChainPath) if p]
    try:
        given = await request.sources.certificate(request.pod, source, place)
    except NotIssued:
        there = await asyncio.to_thread(_all_of, request.folder, paths)
        if not there:
            raise
        return there
    contents = {
        source.credentialBundlePath: given.key + given.chain,
        source.keyPath: given.key,
        source.certificateChainPath: given.chain,
    }
    return {path: contents[path] for path in paths}


def _all_of(folder: Path, paths: list[str]) -> dict[str, bytes]:
    try:
        return {path: (folder / path).read_bytes() for path in paths}
    except FileNotFoundError:
        return {}


def _private(request: VolumeRequest, data: bytes, usual: File, user: int | None) -> File:
    """Of the one user of the containers, where there is one; its group's, where there is an fsGroup."""
    only = _only_user(request.pod)
    mode = usual.mode if only is None and request.group is None else 0o600
    chosen = next((owner for owner in (user, usual.user, only) if owner is not None), None)
    return File(data, mode, chosen)


def _only_user(pod: core_v1.Pod) -> int | None:
    """The user that all containers are told to run as; None where one is not told, or they differ."""
    general = pod.spec.securityContext.runAsUser if pod.spec.securityContext is not None else None
    users = set()
    for container in containers_of(pod):
        own = container.securityContext.runAsUser if container.securityContext is not None else None
        users.add(general if own is None else own)
    return users.pop() if len(users) == 1 else None


async def _token(request: VolumeRequest, source: core_v1.ServiceAccountTokenProjection) -> bytes:
    """The token on disk until it is due, else a new one; the old one for longer, when none is given."""
    seconds = source.expirationSeconds or _LIFETIME
    kept = request.kept / source.path.replace("/", "~")
    token, ends = await asyncio.to_thread(_read, request.folder / source.path, kept)
    now = request.clock.now()
    if token and now < min(ends - (1 - _USED) * seconds, ends - seconds + _OLDEST):
        return token
    try:
        given = await request.sources.token(request.pod, source.audience, seconds)
    except (ApiError, OSError) as error:
        if token and now < ends:
            return token
        why = error.message if isinstance(error, ApiError) else str(error)
        raise ValueError(f"failed to fetch token: {why}") from None
    await asyncio.to_thread(_keep, kept, given)
    return given.token.encode()


def _read(file: Path, kept: Path) -> tuple[bytes, float]:
    """The token that is there and when it ends; empty where one is missing, or what is kept is of another token."""
    try:
        token = file.read_bytes()
        ends, of = kept.read_text().split()
        return (token, parse_time(ends)) if of == sha256(token).hexdigest() else (b"", 0.0)
    except (OSError, ValueError):
        return b"", 0.0


def _keep(kept: Path, given: Token) -> None:
    kept.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    kept.write_text(f"{given.expires} {sha256(given.token.encode()).hexdigest()}")


VOLUME = VolumeType(field="projected", folder="kubernetes.io~projected", content=content, memory=True)
