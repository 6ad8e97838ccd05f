"""Bootstrap: what every cluster has from its first second. server.py calls it before it says it is ready."""

from contextlib import suppress

from pybernetes.api.errors import AlreadyExists
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver import (
    authentication_config,
    default_service_cidr,
    flowcontrol_objects,
    kubernetes_service,
    local_apiservices,
    priority_classes,
)
from pybernetes.apiserver.authz.bootstrap import ensure as ensure_roles
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.storage import Storage

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def prepare(storage: Storage, config: Config) -> None:
    """Creates what is missing; what is there stays as it is."""
    for name in NAMESPACES:
        await ensure(storage, GroupResource("", "namespaces"), {"metadata": {"name": name}})
    for system_class in priority_classes.system_classes():
        await ensure(storage, priority_classes.RESOURCE, system_class)
    await flowcontrol_objects.ensure(storage)
    await default_service_cidr.ensure(storage, config)
    await kubernetes_service.ensure(storage, config)
    await authentication_config.ensure(storage, config)
    await local_apiservices.ensure(storage, storage.catalog)
    if storage.service_addresses.claims is not None:
        await storage.service_addresses.claims.repair(quiet=True)
    if "RBAC" in config.authorization_modes:
        await ensure_roles(storage)


async def ensure(storage: Storage, resource: GroupResource, obj: Object) -> None:
    """Creates an object unless it is there."""
    served = storage.catalog.by_gr.get(resource)
    if served is None:
        return
    metadata = obj["metadata"]
    if storage.peek(served, metadata.get("namespace", ""), metadata["name"]) is None:
        with suppress(AlreadyExists):  # another server of the same cluster was faster
            await storage.create(resource, obj)
