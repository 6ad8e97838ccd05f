"""How many Pods a controller of Pods wants: of built-in kinds from the caches, of any other by its scale subresource.

Where a kind is served comes from discovery, which is asked again for a kind that was not there.
"""

from typing import Any

import msgspec
from msgspec import Struct

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key, split_api_version
from pybernetes.api.types import apps_v1, autoscaling_v1, core_v1, meta_v1
from pybernetes.controllers._kinds import Kinds
from pybernetes.controllers.runtime import Context
from pybernetes.rules.ownership import controller_of

SCALED: dict[tuple[str, str], type[Any]] = {
    ("", "ReplicationController"): core_v1.ReplicationController,
    ("apps", "ReplicaSet"): apps_v1.ReplicaSet,
    ("apps", "Deployment"): apps_v1.Deployment,
    ("apps", "StatefulSet"): apps_v1.StatefulSet,
}
"""Kinds that are read from caches, by group and kind: whoever asks for scales watches them."""


class NoScaleError(Exception):
    """The kind of an owner says nowhere how many Pods it wants."""


class Scale(Struct, frozen=True):
    """Of the object with this uid."""

    uid: str
    replicas: int


async def scale_of(ref: meta_v1.OwnerReference, namespace: str, ctx: Context) -> Scale | None:
    """What the referenced controller wants; None where there is no such object.

    A ReplicaSet of a Deployment wants what its Deployment does: it is the Deployment that keeps its Pods. Raises
    NoScaleError, ApiError, OSError.
    """
    group = split_api_version(ref.apiVersion)[0]
    kind = SCALED.get((group, ref.kind))
    found = _cached(ref, kind, namespace, ctx) if kind else None
    return found or await _asked(ref, group, namespace, ctx)  # a cache may be late


def _cached(ref: meta_v1.OwnerReference, kind: type[Any], namespace: str, ctx: Context) -> Scale | None:
    found = ctx.cache(kind).get(Key(namespace, ref.name))
    if found is None or found.metadata.uid != ref.uid:
        return None
    above = controller_of(found.metadata) if kind is apps_v1.ReplicaSet else None
    if above is not None and above.kind == "Deployment":
        return _cached(above, apps_v1.Deployment, namespace, ctx)
    return Scale(ref.uid, 1 if found.spec.replicas is None else found.spec.replicas)


async def _asked(ref: meta_v1.OwnerReference, group: str, namespace: str, ctx: Context) -> Scale | None:
    found = await ctx.state(Kinds).find(ctx.client, group, ref.kind)
    served = found[-1] if found else None
    if served is None:
        raise NoScaleError(f'no matches for kind "{ref.kind}" in version "{ref.apiVersion}"')
    target = served.target
    if "scale" not in served.subresources:
        name = f"{target.plural}.{group}" if group else target.plural
        raise NoScaleError(f"{name} does not implement the scale subresource")
    try:
        answer = await ctx.client.raw("GET", target.path(namespace, ref.name, "scale"))
    except NotFound:
        return None
    scale = msgspec.convert(answer, autoscaling_v1.Scale)
    return Scale(ref.uid, scale.spec.replicas) if scale.metadata.uid == ref.uid else None
