"""What a HorizontalPodAutoscaler scales: any kind with a subresource `scale`, found by discovery."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.objects import Key, Object, split_api_version
from pybernetes.api.types.autoscaling_v1 import Scale
from pybernetes.api.types.autoscaling_v2 import CrossVersionObjectReference
from pybernetes.client.discovery import discover
from pybernetes.client.rest import Client, Target

REFRESH = 30.0
"""Seconds between two looks at discovery, which has no watch; none is taken while all kinds asked for are known."""
TRIES = 5
"""Of a write that meets another writer of the same object."""


class NoTarget(Exception):
    """There is no scale to be had; the text says why, in upstream's words."""


@dataclass(slots=True)
class Kinds:
    """Which resources there are, by (group, kind)."""

    known: dict[tuple[str, str], list[Target]] = field(default_factory=dict)
    at: float = float("-inf")

    async def find(self, client: Client, api_version: str, kind: str, *, again: bool = False) -> Sequence[Target]:
        """The resources of a kind in any version of its group. Raises NoTarget, ApiError, OSError.

        `again`: what is known may be outdated, as it could not be found where it was.
        """
        group = split_api_version(api_version)[0]
        now = client.clock.monotonic()
        if (again or (group, kind) not in self.known) and now - self.at > REFRESH:
            found: dict[tuple[str, str], list[Target]] = {}
            for resource in (await discover(client)).resources:
                found.setdefault((resource.target.group, resource.target.kind), []).append(resource.target)
            self.known, self.at = found, now
        if (group, kind) not in self.known:
            raise NoTarget(f'no matches for kind "{kind}" in group "{group}"')
        return self.known[group, kind]


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
            raise NoTarget(f"unexpected GroupVersion string: {ref.apiVersion}")
        key = Key(namespace, ref.name)
        try:
            try:
                return await self._first(await self._kinds.find(self._client, ref.apiVersion, ref.kind), key)
            except NotFound:
                targets = await self._kinds.find(self._client, ref.apiVersion, ref.kind, again=True)
                return await self._first(targets, key)
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
