"""What a HorizontalPodAutoscaler scales: any kind with a subresource `scale`, found by discovery."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.objects import Key, Object, split_api_version
from pybernetes.api.types.autoscaling_v1 import Scale
from pybernetes.api.types.autoscaling_v2 import CrossVersionObjectReference
from pybernetes.client.rest import Client, Target
from pybernetes.controllers._kinds import Kinds

TRIES = 5
"""Of a write that meets another writer of the same object."""


class NoTarget(Exception):
    """There is no scale to be had; the text says why, in upstream's words. `senseless`: the autoscaler itself makes no sense."""

    def __init__(self, told: str, *, senseless: bool = False) -> None:
        super().__init__(told)
        self.senseless = senseless


async def targets_of(
    client: Client, kinds: Kinds, ref: CrossVersionObjectReference, *, again: bool = False
) -> Sequence[Target]:
    """Where a kind is served, in any version of its group. Raises NoTarget, ApiError, OSError."""
    group = split_api_version(ref.apiVersion)[0]
    found = await kinds.find(client, group, ref.kind, again=again)
    if not found:
        raise NoTarget(f'no matches for kind "{ref.kind}" in group "{group}"')
    return [one.target for one in found]


@dataclass(frozen=True, slots=True)
class Found:
    """A scale as it was read."""

    target: Target
    raw: Object
    scale: Scale


class Targets:
    """Reads and writes scales."""

    def __init__(self, client: Client, kinds: Kinds) -> None:
        self._client = client
        self._kinds = kinds

    async def read(self, ref: CrossVersionObjectReference, namespace: str) -> Found:
        """The scale of what an autoscaler names. Raises NoTarget, OSError."""
        if ref.apiVersion.count("/") > 1:
            raise NoTarget(f"unexpected GroupVersion string: {ref.apiVersion}", senseless=True)
        key = Key(namespace, ref.name)
        try:
            try:
                return await self._first(await targets_of(self._client, self._kinds, ref), key)
            except NotFound:
                return await self._first(await targets_of(self._client, self._kinds, ref, again=True), key)
        except NotFound as error:
            told = "" if error.details.get("kind") else "the server could not find the requested resource"
            raise NoTarget(told or error.message) from None
        except ApiError as error:
            raise NoTarget(error.message) from None

    async def _first(self, targets: Sequence[Target], key: Key) -> Found:
        """The scale of the first that has one; if none has, the first one's refusal."""
        refusals: list[ApiError] = []
        for target in targets:
            try:
                return _found(target, await self._client.raw("GET", _path(target, key)))
            except ApiError as error:
                refusals.append(error)
            except msgspec.MsgspecError as error:
                raise NoTarget(f"the scale of {target.plural} {key.name} cannot be read: {error}") from None
        raise refusals[0]

    async def write(self, found: Found, key: Key, replicas: int) -> bool:
        """Sets the replicas at the revision that was read, or at a later one (every status of the target makes one).

        Says whether it did: not where somebody else changed the replicas meanwhile, or always was faster. Raises ApiError,
        OSError.
        """
        raw = found.raw
        for _ in range(TRIES):
            body = {**raw, "spec": {**(raw.get("spec") or {}), "replicas": replicas}}
            try:
                await self._client.raw("PUT", _path(found.target, key), body)
            except Conflict:
                raw = await self._client.raw("GET", _path(found.target, key))
                if _replicas(raw) != _replicas(found.raw):
                    return False
            else:
                return True
        return False


def _path(target: Target, key: Key) -> str:
    # Whatever the kind: nobody scales what is outside their namespace.
    return replace(target, namespaced=True).path(key.namespace, key.name, "scale")


def _found(target: Target, raw: Object) -> Found:
    return Found(target, raw, msgspec.convert(raw, Scale))


def _replicas(raw: Object) -> Any:
    return (raw.get("spec") or {}).get("replicas", 0)
