"""EndpointSlices as controllers write them: slices of 100 that are filled up rather than made anew.

The EndpointSlice controller and the mirroring one share it: they differ in where endpoints come from. A change of one
endpoint changes one slice, so that every node's proxy has little to read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
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
    deleted; of one that is being deleted none are made any more."""

    def __init__(
        self,
        ctx: Context,
        owner: Any,
        labels: Mapping[str, str],
        annotations: Mapping[str, str] | None = None,
        *,
        most: int = MOST,
    ) -> None:
        """`annotations`: all that slices have; None leaves them to whoever wrote them. Slices of another owner are then not
        ours either, and go: the garbage collector is about to take them. With annotations they become the owner's."""
        self.written: Counter[str] = Counter()
        """Slices by what was done to them: create, update, delete."""
        self.triggered = ""
        """When what is answered to has happened; what is written says so."""
        self.doing = ""
        """What is written at the moment, for who tells of a failure."""
        self._most = most
        self._ctx = ctx
        self._owner = owner
        self._reference = reference_to(type(owner), owner.metadata)
        self._key = key_of(owner)
        self._labels, self._annotations = labels, annotations
        self._api = ctx.api(Slice)

    async def run(self, there: Sequence[Slice], wanted: Wanted) -> None:
        """`there` are the slices as the cache has them."""
        mine = []
        for found in sorted(there, key=key_of):
            if found.addressType in wanted and (self._annotations is not None or self._owns(found)):
                mine.append(found)
            else:
                await self._delete(found)
        for family, by_ports in wanted.items():
            await self._family(family, by_ports, [s for s in mine if s.addressType == family])

    def _owns(self, found: Slice) -> bool:
        return any(
            (ref.uid, ref.kind, ref.apiVersion)
            == (self._reference.uid, self._reference.kind, self._reference.apiVersion)
            for ref in found.metadata.ownerReferences
        )

    async def _family(
        self, family: str, wanted: Mapping[Ports, Sequence[discovery_v1.Endpoint]], there: Sequence[Slice]
    ) -> None:
        mine = {ports: [s for s in there if _same(s.ports, ports)] for ports in wanted}
        kept = {key_of(s) for group in mine.values() for s in group}
        spare = [s for s in there if key_of(s) not in kept]
        plan = []
        for ports, listed in wanted.items():
            for found, content in filled(mine[ports], listed, self._most):
                if content is not None:
                    plan.append((found, ports, content))
                elif found is not None:
                    spare.append(found)
        for found, ports, content in plan:
            if found is None and spare:
                found = spare.pop(0)  # an update of an old one is cheaper for all watchers than delete and create
            if found is not None:
                await self._update(found, ports, content)
            elif self._owner.metadata.deletionTimestamp is None:
                await self._create(family, ports, content)
        for found in spare:
            await self._delete(found)

    async def _update(self, found: Slice, ports: Ports, content: tuple[discovery_v1.Endpoint, ...]) -> None:
        old = found.metadata
        owners = old.ownerReferences if self._owns(found) else (self._reference,)
        others = {name: text for name, text in old.annotations.items() if name != TRIGGERED}
        annotations = others if self._annotations is None else self._annotations
        before = {TRIGGERED: old.annotations[TRIGGERED]} if TRIGGERED in old.annotations else {}
        meta = replace(old, labels=self._labels, annotations={**annotations, **before}, ownerReferences=owners)
        wanted = replace(found, metadata=meta, ports=ports, endpoints=content)
        if wanted == found:
            return
        wanted = replace(wanted, metadata=replace(meta, annotations={**annotations, **self._told()}))
        self._do(f"update {old.name}")
        new = await self._api.patch(found, wanted, lock=True)
        self.written["update"] += new is not found

    async def _create(self, family: str, ports: Ports, content: tuple[discovery_v1.Endpoint, ...]) -> None:
        meta = meta_v1.ObjectMeta(
            namespace=self._key.namespace,
            generateName=f"{self._key.name}-",
            labels=self._labels,
            annotations={**(self._annotations or {}), **self._told()},
            ownerReferences=(self._reference,),
        )
        self._do("create")
        try:
            made = await self._api.create(Slice(metadata=meta, addressType=family, ports=ports, endpoints=content))
        except ApiError as error:
            if not is_ending(error):
                raise
            return
        self.written["create"] += 1
        self._ctx.state(Expectations).created(self._key, made, self._ctx.clock.now())

    async def _delete(self, found: Slice) -> None:
        self._do(f"delete {found.metadata.name}")
        try:
            await self._api.delete(key_of(found), uid=found.metadata.uid)
        except NotFound:
            return
        self.written["delete"] += 1
        self._ctx.state(Expectations).deleted(self._key, found, self._ctx.clock.now())

    def _told(self) -> Mapping[str, str]:
        return {TRIGGERED: self.triggered} if self.triggered else {}

    def _do(self, what: str) -> None:
        self.doing = f"{what} EndpointSlice for {self._reference.kind} {self._key.namespace}/{self._key.name}"


def _same(first: Ports, second: Ports) -> bool:
    return set(first) == set(second)


Content: TypeAlias = tuple[discovery_v1.Endpoint, ...] | None
"""Of a slice; None: delete it."""


def filled(
    there: Sequence[Slice], wanted: Sequence[discovery_v1.Endpoint], most: int = MOST
) -> list[tuple[Slice | None, Content]]:
    """Each slice with its new content, then new slices (None) with theirs.

    Endpoints stay in the slice they are in. New ones fill up the slices that change anyway; what is left then goes into one
    more slice, the fullest that has room for all of it, or else into new ones. One slice stays even when it is empty.
    """
    rest: dict[_Who, discovery_v1.Endpoint] = {identity(endpoint): endpoint for endpoint in wanted}
    contents: list[list[discovery_v1.Endpoint]] = [
        [rest.pop(who) for endpoint in found.endpoints if (who := identity(endpoint)) in rest] for found in there
    ]
    changed = [tuple(content) != found.endpoints for found, content in zip(there, contents, strict=True)]
    filling = sorted((one for one, new in zip(contents, changed, strict=True) if new and one), key=len, reverse=True)
    for content in filling:
        content.extend(_taken(rest, most - len(content)))
    full = [_taken(rest, most) for _ in range(len(rest) // most)]
    unchanged = (content for content, new in zip(contents, changed, strict=True) if not new)
    roomy = [content for content in unchanged if rest and len(content) + len(rest) <= most]
    if roomy:
        max(roomy, key=len).extend(_taken(rest, most))
    placeholder = not rest and not full and not any(contents)
    result: list[tuple[Slice | None, Content]] = []
    for found, content in zip(there, contents, strict=True):
        result.append((found, tuple(content) if content or placeholder else None))
        placeholder = placeholder and bool(content)
    result += [(None, tuple(content)) for content in (*full, _taken(rest, most)) if content]
    return [*result, (None, ())] if placeholder else result


def _taken(rest: "dict[_Who, discovery_v1.Endpoint]", count: int) -> list[discovery_v1.Endpoint]:
    """So many of what is left at most, in order."""
    return [rest.pop(who) for who in list(islice(rest, max(0, count)))]


_Who: TypeAlias = tuple[tuple[str, ...], str, str]


def identity(endpoint: discovery_v1.Endpoint) -> _Who:
    """What makes it the same endpoint as before: its addresses, and the Pod they are of."""
    ref = endpoint.targetRef
    return endpoint.addresses, (ref.namespace if ref else "") or "", ref.name if ref else ""
