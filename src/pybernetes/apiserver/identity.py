"""The identity of a server: a Lease in kube-system that says that it is there, as upstream's APIServerIdentity has it.

Whoever wants to know which servers there are lists the Leases with the label. A server renews its own, and removes those
of servers that have been silent for longer than they said they might be.
"""

import base64
import hashlib
import logging
import uuid

from pybernetes.aio.clock import parse_time, rfc3339_micro
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.registry import Registry

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
LABEL, SERVER = "apiserver.kubernetes.io/identity", "kube-apiserver"
HOST = "kubernetes.io/hostname"
RENEW_SECONDS = 10.0
LIFE_SECONDS = 3600
COLLECT_SECONDS = 3600.0
RESOURCE = GroupResource("coordination.k8s.io", "leases")


def name_of(host: str) -> str:
    """The Lease's name on a host: one server on each is taken for granted."""
    digest = base64.b32encode(hashlib.sha256(host.encode()).digest()[:16]).decode()
    return f"apiserver-{digest.rstrip('=').lower()}"


async def keep(registry: Registry, host: str) -> None:
    """Renews this server's Lease and removes old ones, until cancelled. What fails is tried again."""
    name = name_of(host)
    holder = f"{name}_{uuid.UUID(bytes=registry.clock.random.randbytes(16), version=4)}"
    collected = registry.clock.monotonic() - COLLECT_SECONDS  # what was left behind by others goes at the start
    while True:
        try:
            await renew(registry, host, holder)
            if registry.clock.monotonic() - collected >= COLLECT_SECONDS:
                collected = registry.clock.monotonic()
                await collect(registry)
        except ApiError as error:
            log.warning("the lease of this server is not renewed name=%s cause=%s", name, error)
        await registry.clock.sleep(RENEW_SECONDS)


async def renew(registry: Registry, host: str, holder: str) -> None:
    """The Lease is there, and renewed now. Raises ApiError."""
    name, now = name_of(host), rfc3339_micro(registry.clock.now())

    def change(lease: Object) -> Object:
        labels = {**(lease["metadata"].get("labels") or {}), LABEL: SERVER, HOST: host}
        own = {"holderIdentity": holder, "leaseDurationSeconds": LIFE_SECONDS, "renewTime": now}
        spec = {**(lease.get("spec") or {}), **own}
        return {**lease, "metadata": {**lease["metadata"], "labels": labels}, "spec": spec}

    try:
        await registry.update(RESOURCE, NAMESPACE, name, change)
    except NotFound:
        try:
            await registry.create(RESOURCE, change({"metadata": {"name": name, "namespace": NAMESPACE}}))
        except AlreadyExists:
            await registry.update(RESOURCE, NAMESPACE, name, change)


async def collect(registry: Registry) -> None:
    """Removes the Leases of servers that are gone. Raises ApiError."""
    for lease in await registry.list(RESOURCE, NAMESPACE):
        meta = lease["metadata"]
        if (meta.get("labels") or {}).get(LABEL) == SERVER and _is_over(lease, registry.clock.now()):
            log.info("removed the lease of a server that is gone name=%s", meta["name"])
            try:
                await registry.delete(RESOURCE, NAMESPACE, meta["name"])
            except NotFound:
                continue


def _is_over(lease: Object, now: float) -> bool:
    spec = lease.get("spec") or {}
    renewed, life = spec.get("renewTime"), spec.get("leaseDurationSeconds")
    return not renewed or not life or parse_time(renewed) + life < now
