"""Bootstrap: what every cluster has from its first second. server.py calls it before it says it is ready."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from pybernetes.api.errors import AlreadyExists
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver import (
    authentication_config,
    default_service_cidr,
    kubernetes_service,
    local_apiservices,
    priority_classes,
)
from pybernetes.apiserver.authz.bootstrap import ensure as ensure_roles
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.flowcontrol.objects import ensure as ensure_flow_control
from pybernetes.apiserver.storage import Storage

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def _namespaces(storage: Storage, config: Config) -> None:
    for name in NAMESPACES:
        await ensure(storage, GroupResource("", "namespaces"), {"metadata": {"name": name}})


async def _priority_classes(storage: Storage, config: Config) -> None:
    for system_class in priority_classes.system_classes():
        await ensure(storage, priority_classes.RESOURCE, system_class)


async def _flow_control(storage: Storage, config: Config) -> None:
    await ensure_flow_control(storage)


async def _api_services(storage: Storage, config: Config) -> None:
    await local_apiservices.ensure(storage, storage.catalog)


async def _claims(storage: Storage, config: Config) -> None:
    if storage.service_addresses.claims is not None:
        await storage.service_addresses.claims.repair(quiet=True)


async def _roles(storage: Storage, config: Config) -> None:
    if "RBAC" in config.authorization_modes:
        await ensure_roles(storage)


STEPS: Mapping[str, Callable[[Storage, Config], Awaitable[None]]] = {
    "start-system-namespaces-controller": _namespaces,
    "scheduling/bootstrap-system-priority-classes": _priority_classes,
    "priority-and-fairness-config-producer": _flow_control,
    "start-kubernetes-service-cidr-controller": default_service_cidr.ensure,
    "bootstrap-controller": kubernetes_service.ensure,
    "start-cluster-authentication-info-controller": authentication_config.ensure,
    "kube-apiserver-autoregistration": _api_services,
    "start-service-ip-repair-controllers": _claims,
    "rbac/bootstrap-roles": _roles,
}
"""What a start does, in order, under the names that /readyz has for it (upstream's post-start hooks)."""


async def prepare(storage: Storage, config: Config, done: Callable[[str], None]) -> None:
    """Creates what is missing; what is there stays as it is. Says of each step when it is done."""
    for name, step in STEPS.items():
        await step(storage, config)
        done(name)


async def ensure(storage: Storage, resource: GroupResource, obj: Object) -> None:
    """Creates an object unless it is there."""
    served = storage.catalog.by_gr.get(resource)
    if served is None:
        return
    metadata = obj["metadata"]
    if storage.peek(served, metadata.get("namespace", ""), metadata["name"]) is None:
        with suppress(AlreadyExists):  # another server of the same cluster was faster
            await storage.create(resource, obj, standard=True)
