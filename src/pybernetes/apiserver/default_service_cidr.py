"""The ServiceCIDR `kubernetes`: the ranges that the server was started with, shown as an object.

bootstrap.py makes it before the server says it is ready; `keep` makes it anew where somebody has deleted it.
"""

import logging

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.registry import Registry

log = logging.getLogger(__name__)

NAME = "kubernetes"
KEEP_SECONDS = 10.0
RESOURCE = GroupResource("networking.k8s.io", "servicecidrs")
_READY = "Ready"


async def keep(registry: Registry, config: Config) -> None:
    """Runs until cancelled. A repair that fails is tried again."""
    while True:
        await registry.clock.sleep(KEEP_SECONDS)
        try:
            await ensure(registry, config)
        except ApiError as error:
            log.warning("default service range is not repaired cause=%s", error)


async def ensure(registry: Registry, config: Config) -> None:
    """It is there, and ready when its ranges are this server's. Raises ApiError."""
    if RESOURCE not in registry.resources:
        return
    cidrs = [str(network) for network in config.service_networks]

    def ready(obj: Object) -> Object | None:
        conditions = (obj.get("status") or {}).get("conditions") or []
        known = any(condition["type"] == _READY for condition in conditions)
        if known or obj["metadata"].get("deletionTimestamp") or obj["spec"].get("cidrs") != cidrs:
            return None
        condition = {
            "type": _READY,
            "status": "True",
            "lastTransitionTime": rfc3339(registry.clock.now()),
            "reason": "",
            "message": "Kubernetes default Service CIDR is ready",
        }
        return {**obj, "status": {"conditions": [*conditions, condition]}}

    try:
        await registry.update(RESOURCE, "", NAME, ready)
    except NotFound:
        try:
            await registry.create(RESOURCE, {"metadata": {"name": NAME}, "spec": {"cidrs": cidrs}})
        except AlreadyExists:
            log.info("another server was faster name=%s", NAME)
        await registry.update(RESOURCE, "", NAME, ready)
