"""The APIServices of what this server serves itself: one for each group version, those of custom resources among them.

bootstrap.py makes them before the server says it is ready; `keep` follows definitions that come and go, and makes anew
what somebody has deleted. An APIService without the label is somebody's own and stays as it is.
"""

import asyncio
import logging
from collections.abc import Mapping

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.catalog import Catalog
from pybernetes.apiserver.registry import Registry
from pybernetes.apiserver.resources.apiregistration.apiservices import GROUP, available

log = logging.getLogger(__name__)

RESOURCE = GroupResource(GROUP, "apiservices")
MANAGED = "kube-aggregator.kubernetes.io/automanaged"
LOOK_SECONDS = 1.0
"""How often `keep` asks whether definitions have come or gone."""
REPAIR_SECONDS = 30

_GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 15900,
    "storagemigration.k8s.io": 15800,
}
_VERSIONS = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}
_BUILT_IN_VERSION = 15
_CUSTOM = {"groupPriorityMinimum": 1000, "versionPriority": 100}


async def keep(registry: Registry, catalog: Catalog) -> None:
    """Runs until cancelled. What fails is tried again."""
    seen, waited = catalog.changes, 0
    while True:
        await registry.clock.sleep(LOOK_SECONDS)
        waited += 1
        if catalog.changes == seen and waited * LOOK_SECONDS < REPAIR_SECONDS:
            continue
        changes, waited = catalog.changes, 0
        try:
            await ensure(registry, catalog)
            seen = changes
        except* ApiError as group:
            log.warning("local APIServices are not repaired cause=%s", group.exceptions[0])


async def ensure(registry: Registry, catalog: Catalog) -> None:
    """There is one for each group version that is served, and none for custom ones that are no more."""
    if RESOURCE not in registry.resources:
        return
    there = {obj["metadata"]["name"]: obj for obj in await registry.list(RESOURCE)}
    wanted = wanted_services(catalog)
    async with asyncio.TaskGroup() as group:
        for name, service in wanted.items():
            if name not in there or _repaired(there[name], service) is not None:
                group.create_task(_put(registry, name, service), name="apiserver.apiservice")
        for name, obj in there.items():
            if name not in wanted and (obj["metadata"].get("labels") or {}).get(MANAGED) == "true":
                group.create_task(_remove(registry, name), name="apiserver.apiservice")


def wanted_services(catalog: Catalog) -> Mapping[str, Object]:
    """Name to object. This kind's own group has none, as upstream; nor have figures: metrics-server brings its own."""
    kept = (served.facts for served in catalog if served.resource.made is None)
    versions = {(facts.group, facts.version) for facts in kept if facts.group != GROUP}
    return {f"{version}.{group}": _service(group, version) for group, version in sorted(versions)}


def _service(group: str, version: str) -> Object:
    built_in = group in _GROUPS
    priorities = _CUSTOM
    if built_in:
        of_version = _VERSIONS.get((group, version), _BUILT_IN_VERSION)
        priorities = {"groupPriorityMinimum": _GROUPS[group], "versionPriority": of_version}
    named = {"group": group} if group else {}
    return {
        "metadata": {"name": f"{version}.{group}", "labels": {MANAGED: "onstart" if built_in else "true"}},
        "spec": {**named, "version": version, **priorities},
    }


def _repaired(current: Object, wanted: Object) -> Object | None:
    """None where nothing is to be done."""
    if MANAGED not in (current["metadata"].get("labels") or {}):
        return None
    own = {key: value for key, value in (current.get("spec") or {}).items() if value}
    return None if own == wanted["spec"] else {**current, "spec": wanted["spec"]}


async def _put(registry: Registry, name: str, service: Object) -> None:
    try:
        await registry.update(RESOURCE, "", name, lambda obj: _repaired(obj, service))
    except NotFound:
        status = {"conditions": [available(rfc3339(registry.clock.now()))]}
        try:
            await registry.create(RESOURCE, {**service, "status": status})
        except AlreadyExists:
            log.info("another server was faster name=%s", name)


async def _remove(registry: Registry, name: str) -> None:
    try:
        await registry.delete(RESOURCE, "", name)
    except NotFound:
        log.info("another server was faster name=%s", name)
