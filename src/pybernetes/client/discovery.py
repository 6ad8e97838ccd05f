"""Discovery: which resources an API server has, custom ones included. Generic controllers ask it.

Reads the aggregated form (apidiscovery.k8s.io/v2): two requests, whatever the number of groups.
"""

import asyncio

import msgspec
from msgspec import Struct

from pybernetes.api.errors import ServiceUnavailable
from pybernetes.api.types import apidiscovery_v2
from pybernetes.client.rest import Client, Target
from pybernetes.wire.http import read_body

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


class Served(Struct, frozen=True):
    """A resource in the version to use: the first of its group that has it."""

    target: Target
    verbs: frozenset[str]
    subresources: frozenset[str]


class Discovered(Struct, frozen=True):
    """What was found. `stale` names groups whose server did not answer: what they have is not known."""

    resources: tuple[Served, ...]
    stale: tuple[str, ...] = ()


async def discover(client: Client) -> Discovered:
    """Asks the server. Raises ApiError, OSError."""
    groups = [group for part in await asyncio.gather(_part(client, "/api"), _part(client, "/apis")) for group in part]
    found: list[Served] = []
    stale: list[str] = []
    for group in groups:
        name = group.metadata.name if group.metadata else ""
        seen: set[str] = set()
        for version in group.versions:
            if version.freshness == "Stale":
                stale.append(f"{name}/{version.version}")
            for resource in version.resources:
                if resource.resource in seen or resource.responseKind is None:
                    continue
                seen.add(resource.resource)
                target = Target(
                    resource.responseKind.group or name,
                    resource.responseKind.version or version.version,
                    resource.resource,
                    resource.responseKind.kind,
                    resource.scope == "Namespaced",
                )
                subresources = frozenset(s.subresource for s in resource.subresources)
                found.append(Served(target, frozenset(resource.verbs), subresources))
    return Discovered(tuple(found), tuple(stale))


async def _part(client: Client, path: str) -> tuple[apidiscovery_v2.APIGroupDiscovery, ...]:
    response = await client.send("GET", path, headers={"accept": ACCEPT})
    body = await read_body(response)
    kind = msgspec.json.decode(body, type=_Kind)
    if kind.kind != "APIGroupDiscoveryList":
        raise ServiceUnavailable(f"{path} has no aggregated discovery (it answered {kind.kind})")
    return msgspec.json.decode(body, type=apidiscovery_v2.APIGroupDiscoveryList).items


class _Kind(Struct):
    kind: str = ""
