"""EndpointSlices as controllers write them: slices of 100 that are filled up rather than made anew.

The EndpointSlice controller and the mirroring one share it: they differ in where endpoints come from. A change of one
endpoint changes one slice, so that every node's proxy has little to read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import discovery_v1, meta_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._claim import reference_to
from pybernetes.controllers._endpoints import TRIGGERED
from pybernetes.controllers._expectations import Expectations
from pybernetes.controllers._namespaces import is_ending
from pybernetes.controllers.runtime import Context

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MOST = 100
"""Endpoints in a slice, where nothing else is said."""

Slice = discovery_v1.EndpointSlice
Ports: TypeAlias = tuple[discovery_v1.EndpointPort, ...]
Wanted: TypeAlias = Mapping[str, Mapping[Ports, Sequence[discovery_v1.Endpoint]]]
"""By address family, by ports: named ports differ between Pods."""


def of_slice(manager: str) -> Callable[[Slice, Context], Iterable[Key]]:
    """Mapping of a slice of that manager to its Service's name."""

    def keys(found: Slice, ctx: Context) -> Iterable[Key]:
        name = found.metadata.labels.get(SERVICE_NAME)
        return (Key(found.metadata.namespace, name),) if name and _managed(found, manager) else ()

    return keys


def by_service(manager: str) -> Callable[[Slice], Iterable[str]]:
    """Index function: `namespace/name` of the Service, for slices of that manager. The manager names the index, too."""

    def values(found: Slice) -> Iterable[str]:
        name = found.metadata.labels.get(SERVICE_NAME, "")
        return (f"{found.metadata.namespace}/{name}",) if _managed(found, manager) else ()

    return values


def _managed(found: Slice, manager: str) -> bool:
    return found.metadata.labels.get(MANAGED_BY) == manager


class SliceWriter:
    """Brings the slices of one Service to what is wanted, `most` endpoints in each. `owner` takes them along when it is
    deleted."""

    def __init__(
        self, ctx: Context, owner: Any, labels: Mapping[str, str], annotations: Mapping[str, str], *, most: int = MOST
    ) -> None:
        self.written: Counter[str] = Counter()
        """Slices by what was done to them: create, update, delete."""
        self.triggered = ""
        """When what is answered to has happened; what is written says so."""
        self._most = most
        self._ctx = ctx
        self._owner = owner
        self._key = key_of(owner)
        self._labels, self._annotations = labels, annotations
        self._api = ctx.api(Slice)

    async def run(self, there: Sequence[Slice], wanted: Wanted) -> None:
        """`there` are the slices as the cache has them."""
        for found in there:
            if found.addressType not in wanted:
                await self._delete(found)
        for family, by_ports in wanted.items():
            await self._family(family, by_ports, sorted((s for s in there if s.addressType == family), key=key_of))

    async def _family(
        self, family: str, wanted: Mapping[Ports, Sequence[discovery_v1.Endpoint]], there: Sequence[Slice]
    ) -> None:
        mine = {ports: [s for s in there if _same(s.ports, ports)] for ports in wanted}
        kept = {key_of(s) for group in mine.values() for s in group}
        spare = [s for s in there if key_of(s) not in kept]
        for ports, listed in wanted.items():
            for found, content in filled(mine[ports], listed, self._most):
                if found is None and spare:
                    found = spare.pop(0)  # an update of an old one is cheaper for all watchers than delete and create
                await self._write(found, family, ports, content)
        for found in spare:
            await self._delete(found)

    async def _write(
        self, found: Slice | None, family: str, ports: Ports, content: tuple[discovery_v1.Endpoint, ...] | None
    ) -> None:
        if content is None:
            assert found is not None
            await self._delete(found)
            return
        told = {TRIGGERED: self.triggered} if self.triggered else {}
        if found is not None:
            before = {name: text for name, text in found.metadata.annotations.items() if name == TRIGGERED}
            meta = replace(found.metadata, labels=self._labels, annotations={**self._annotations, **before})
            wanted = replace(found, metadata=meta, ports=ports, endpoints=content)
            if wanted == found:
                return
            wanted = replace(wanted, metadata=replace(meta, annotations={**self._annotations, **told}))
            new = await self._api.patch(found, wanted, lock=True)
            self.written["update"] += new is not found
            return
        meta = meta_v1.ObjectMeta(
            namespace=self._key.namespace,
            generateName=f"{self._key.name}-",
            labels=self._labels,
            annotations={**self._annotations, **told},
            ownerReferences=(reference_to(type(self._owner), self._owner.metadata),),
        )
        try:
            made = await self._api.create(Slice(metadata=meta, addressType=family, ports=ports, endpoints=content))
        except ApiError as error:
            if not is_ending(error):
                raise
            return
        self.written["create"] += 1
        self._ctx.state(Expectations).created(self._key, made, self._ctx.clock.now())

    async def _delete(self, found: Slice) -> None:
        try:
            await self._api.delete(key_of(found), uid=found.metadata.uid)
        except NotFound:
            return
        self.written["delete"] += 1
        self._ctx.state(Expectations).deleted(self._key, found, self._ctx.clock.now())


def _same(first: Ports, second: Ports) -> bool:
    return set(first) == set(second)


def filled(
    there: Sequence[Slice], wanted: Sequence[discovery_v1.Endpoint], most: int = MOST
) -> list[tuple[Slice | None, tuple[discovery_v1.Endpoint, ...] | None]]:
    """Each slice with its new content (None: delete it), then new slices (None) with theirs.

    Endpoints stay in the slice they are in; new ones fill up the fullest slice that has room. One slice stays even
    when it is empty.
    """
    left: Mapping[str, discovery_v1.Endpoint] = {_identity(e): e for e in wanted}
    rest = dict(left)
    contents: list[tuple[Slice, list[discovery_v1.Endpoint]]] = []
    for found in there:
        kept = [rest.pop(_identity(e)) for e in found.endpoints if _identity(e) in rest]
        rest |= {_identity(e): e for e in kept[most:]}  # there may have been more before
        del kept[most:]
        contents.append((found, kept))
    for _, content in sorted(contents, key=lambda pair: -len(pair[1])):
        while rest and len(content) < most:
            content.append(rest.pop(next(iter(rest))))
    result: list[tuple[Slice | None, tuple[discovery_v1.Endpoint, ...] | None]] = []
    full = [pair for pair in contents if pair[1]]
    empty = [pair for pair in contents if not pair[1]]
    placeholder = not full and not rest
    result += [(found, tuple(content)) for found, content in full]
    result += [(found, () if placeholder and not n else None) for n, (found, _) in enumerate(empty)]
    new = list(rest.values())
    result += [(None, tuple(new[i : i + most])) for i in range(0, len(new), most)]
    if placeholder and not empty:
        result.append((None, ()))
    return result


def _identity(endpoint: discovery_v1.Endpoint) -> str:
    return endpoint.targetRef.uid if endpoint.targetRef else ",".join(endpoint.addresses)
