"""The flow schemas and priority levels that every cluster has: made at the server's start, and kept while it runs.

As upstream: mandatory ones always are what they must be; suggested ones follow the server's version unless an operator
has changed them or says, by annotation, that they are his.
"""

import asyncio
import copy
import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.flowcontrol.dangling import told
from pybernetes.apiserver.registry import Registry
from pybernetes.apiserver.validation.flowcontrol import CATCH_ALL, EXEMPT, GROUP

log = logging.getLogger(__name__)

AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
KEEP_SECONDS = 60.0
SCHEMAS, LEVELS = GroupResource(GROUP, "flowschemas"), GroupResource(GROUP, "prioritylevelconfigurations")
_ALL = ["*"]
_LEASES = ("coordination.k8s.io", "leases")
_EVERYBODY = ("group system:unauthenticated", "group system:authenticated")
_ACCOUNTS = "account kube-system/*"
_BOOLEANS = {text: True for text in ("1", "t", "T", "true", "TRUE", "True")}
_BOOLEANS |= {text: False for text in ("0", "f", "F", "false", "FALSE", "False")}
_CHANGING = ("get", "create", "update")


def _queued(shares: int, lendable: int, queues: int, hand: int = 6) -> Object:
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
    response = {"type": "Queue", "queuing": queuing}
    limited = {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lendable}
    return {"type": "Limited", "limited": limited}


@cache
def mandatory_levels() -> dict[str, Object]:
    """Specs of the levels without which a server cannot tell who goes first."""
    rejecting = {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}, "lendablePercent": 0}
    return {
        EXEMPT: {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
        CATCH_ALL: {"type": "Limited", "limited": rejecting},
    }


@cache
def suggested_levels() -> dict[str, Object]:
    """Specs of the levels that the suggested schemas name."""
    return {
        "system": _queued(30, 33, 64),
        "node-high": _queued(40, 25, 64),
        "leader-election": _queued(10, 0, 16, hand=4),
        "workload-high": _queued(40, 50, 128),
        "workload-low": _queued(100, 90, 128),
        "global-default": _queued(20, 50, 128),
    }


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind == "account":
        namespace, _, name = name.partition("/")
        return {"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}}
    return {"kind": kind.capitalize(), kind: {"name": name}}


def _resources(verbs: Iterable[str], groups: list[str], resources: list[str], *, cluster: bool = False) -> Object:
    rule: Object = {"verbs": list(verbs), "apiGroups": groups, "resources": resources}
    return {**rule, **({"clusterScope": True} if cluster else {}), "namespaces": _ALL}


def _urls(verbs: list[str], urls: list[str]) -> Object:
    return {"verbs": verbs, "nonResourceURLs": urls}


def _schema(level: str, precedence: int, by: str, subjects: Iterable[str], **rules: list[Object]) -> Object:
    """The spec of a schema; without rules it is about every request."""
    everything = {
        "resourceRules": [_resources(_ALL, _ALL, _ALL, cluster=True)],
        "nonResourceRules": [_urls(_ALL, _ALL)],
    }
    method: dict[str, Any] = {"distinguisherMethod": {"type": by}} if by else {}
    return {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        **method,
        "rules": [{"subjects": [_subject(text) for text in subjects], **(rules or everything)}],
    }


def _about_leases(verbs: Iterable[str]) -> Object:
    group, plural = _LEASES
    return _resources(verbs, [group], [plural])


@cache
def mandatory_schemas() -> dict[str, Object]:
    """Specs of the schemas that lead to the mandatory levels."""
    return {
        EXEMPT: _schema(EXEMPT, 1, "", ("group system:masters",)),
        CATCH_ALL: _schema(CATCH_ALL, 10000, "ByUser", _EVERYBODY),
    }


@cache
def suggested_schemas() -> dict[str, Object]:
    """Specs of the schemas for what a cluster usually does."""
    manager, scheduler = "user system:kube-controller-manager", "user system:kube-scheduler"
    nodes = ("group system:nodes",)
    of_nodes = [_resources(_ALL, [""], ["nodes", "nodes/status"], cluster=True), _about_leases(_ALL)]
    leading = [_about_leases(_CHANGING)]
    about_endpoints = [_resources(_CHANGING, [""], ["endpoints"])]
    mirrors = [f"account kube-system/{name}-controller" for name in ("endpoint", "endpointslicemirroring")]
    return {
        "system-nodes": _schema("system", 500, "ByUser", nodes),
        "system-node-high": _schema("node-high", 400, "ByUser", nodes, resourceRules=of_nodes),
        "probes": _schema(
            EXEMPT, 2, "", _EVERYBODY, nonResourceRules=[_urls(["get"], ["/healthz", "/readyz", "/livez"])]
        ),
        "system-leader-election": _schema(
            "leader-election", 100, "ByUser", (manager, scheduler, _ACCOUNTS), resourceRules=leading
        ),
        "endpoint-controller": _schema(
            "workload-high", 150, "ByUser", (manager, *mirrors), resourceRules=about_endpoints
        ),
        "workload-leader-election": _schema("leader-election", 200, "ByUser", (_ACCOUNTS,), resourceRules=leading),
        "kube-controller-manager": _schema("workload-high", 800, "ByNamespace", (manager,)),
        "kube-scheduler": _schema("workload-high", 800, "ByNamespace", (scheduler,)),
        "kube-system-service-accounts": _schema("workload-high", 900, "ByNamespace", (_ACCOUNTS,)),
        "service-accounts": _schema("workload-low", 9000, "ByUser", ("group system:serviceaccounts",)),
        "global-default": _schema("global-default", 9900, "ByUser", _EVERYBODY),
    }


async def keep(registry: Registry) -> None:
    """Runs until cancelled. A repair that fails is tried again."""
    while True:
        await registry.clock.sleep(KEEP_SECONDS)
        try:
            await ensure(registry)
        except ApiError as error:
            log.warning("flow control is not repaired cause=%s", error)


async def ensure(registry: Registry) -> None:
    """Makes all of them what they must be; those of other versions, which nobody took over, go. Raises ApiError."""
    # All at once: the store commits what comes together in one go, and a cold start waits for few of them.
    async with asyncio.TaskGroup() as group:
        for resource, mandatory, suggested in (
            (LEVELS, mandatory_levels(), suggested_levels()),
            (SCHEMAS, mandatory_schemas(), suggested_schemas()),
        ):
            if resource not in registry.resources:
                continue
            known = {obj["metadata"]["name"]: obj for obj in await registry.list(resource)}
            for name, spec in {**suggested, **mandatory}.items():
                fixed = name in mandatory
                if name not in known:
                    group.create_task(_create(registry, resource, name, spec), name="apiserver.flowcontrol")
                elif revised(known[name], spec, always=fixed) is not None:
                    group.create_task(_repair(registry, resource, name, spec, fixed), name="apiserver.flowcontrol")
            for name in sorted(known.keys() - mandatory.keys() - suggested.keys()):
                if _asked(known[name]):
                    group.create_task(_remove(registry, resource, name), name="apiserver.flowcontrol")


async def _create(registry: Registry, resource: GroupResource, name: str, spec: Object) -> None:
    made: Object = {"metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}}, "spec": copy.deepcopy(spec)}
    if resource == SCHEMAS:
        made = told(made, known=True, now=registry.clock.now()) or made  # its level is made beside it
    with suppress(AlreadyExists):  # another server of the same cluster was faster
        await registry.create(resource, made, standard=resource == LEVELS)  # schemas say when they were made


async def _repair(registry: Registry, resource: GroupResource, name: str, spec: Object, fixed: bool) -> None:
    log.info("repairing resource=%s name=%s", resource, name)
    with suppress(NotFound):  # the next round makes it anew
        await registry.update(resource, "", name, lambda obj: revised(obj, spec, always=fixed))


async def _remove(registry: Registry, resource: GroupResource, name: str) -> None:
    log.info("removing what no version suggests any more resource=%s name=%s", resource, name)
    with suppress(NotFound):
        await registry.delete(resource, "", name)


def revised(current: Object, spec: Object, *, always: bool) -> Object | None:
    """The stored object as it must be, or None when there is nothing to do."""
    metadata, stored, asked = current["metadata"], current.get("spec") or {}, _asked(current)
    follow = always or (metadata.get("generation") == 1 if asked is None else asked)
    wanted = copy.deepcopy(spec)
    if "exempt" in stored and "exempt" in wanted:
        wanted["exempt"] = stored["exempt"]  # how much it lends is for administrators to say
    changes = follow and stored != wanted
    if asked is follow and not changes:
        return None
    annotations = {**(metadata.get("annotations") or {}), AUTOUPDATE: "true" if follow else "false"}
    changed = {**current, "metadata": {**metadata, "annotations": annotations}}
    if changes:
        changed["spec"] = wanted
        changed["metadata"]["generation"] = (metadata.get("generation") or 0) + 1
    return changed


def _asked(obj: Object) -> bool | None:
    """What the annotation says, if it says something."""
    return _BOOLEANS.get((obj["metadata"].get("annotations") or {}).get(AUTOUPDATE, ""))
