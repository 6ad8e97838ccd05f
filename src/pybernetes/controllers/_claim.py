"""Adoption and release: which objects a controller owns, by selector and controller reference. For workloads."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api import facts
from pybernetes.api.errors import Conflict, Invalid, NotFound
from pybernetes.api.objects import Key, split_api_version
from pybernetes.api.selectors import Selector, of_label_selector
from pybernetes.api.types import meta_v1
from pybernetes.client.informer import Cache, Index
from pybernetes.client.rest import ResourceClient, key_of
from pybernetes.controllers.runtime import Context, Watch
from pybernetes.rules.ownership import controller_of, controller_reference, without_owner

S = TypeVar("S", bound=Struct)
T = TypeVar("T", bound=Struct)

INDEX = "controller"
ADOPTS = "adopts"
"""Index of owners by a label that all they select has; made when there is the first orphan."""


def by_controller(obj: Any) -> Iterable[str]:
    """Index function: the uid of the controller, or `orphans/<namespace>`, also with each label of the orphan."""
    meta = _meta(obj)
    ref = controller_of(meta)
    if ref is not None:
        return (ref.uid,)
    return (_orphans(meta.namespace), *(_orphans(meta.namespace, label) for label in meta.labels.items()))


def _orphans(namespace: str | None, label: tuple[str, str] | None = None) -> str:
    return f"orphans/{namespace}" if label is None else f"orphans/{namespace}/{label[0]}={label[1]}"


def names_kind(ref: meta_v1.OwnerReference, kind: type[Struct]) -> bool:
    """Whether the reference is to an object of that kind, in any version of its group."""
    known = facts.of_struct(kind)
    return ref.kind == known.kind and split_api_version(ref.apiVersion)[0] == known.group


def selector_of(owner: Any) -> Selector:
    """The selector of an owner that has a whole one."""
    return of_label_selector(owner.spec.selector)


def adopters(kind: type[T], obj: Any, ctx: Context, selector: Callable[[T], Selector] = selector_of) -> list[T]:
    """All of that kind that could adopt an orphan. Without labels it is nobody's, as upstream."""
    meta = _meta(obj)
    if not meta.labels:
        return []
    known = ctx.cache(kind)
    known.add_index(ADOPTS, _by_selector(selector))
    labels = [None, *meta.labels.items()]
    owners = [owner for label in labels for owner in known.by(ADOPTS, _adopts(meta.namespace, label))]
    return [owner for owner in owners if selector(owner).matches(meta.labels)]


@cache
def _by_selector(selector: Callable[[T], Selector]) -> Index[T]:
    """The index function of ADOPTS: the same one each time, for the cache knows indexes by their functions."""
    return lambda owner: (_adopts(_meta(owner).namespace, selector(owner).exact),)


def _adopts(namespace: str | None, label: tuple[str, str] | None) -> str:
    return f"{namespace}/" if label is None else f"{namespace}/{label[0]}={label[1]}"


def owned_watch(owned: type[S], kind: type[T], selector: Callable[[T], Selector] = selector_of) -> Watch[S]:
    """The watch that an owner needs of what it owns: an object concerns its controller, an orphan all that could adopt it."""

    def keys(obj: S, ctx: Context) -> Iterable[Key]:
        meta = _meta(obj)
        ref = controller_of(meta)
        if ref is not None:
            return (Key(meta.namespace, ref.name),) if names_kind(ref, kind) else ()
        return [key_of(owner) for owner in adopters(kind, obj, ctx, selector)]

    return Watch(kind=owned, keys=keys, indexes={INDEX: by_controller})


def reference_to(kind: type[Struct], meta: meta_v1.ObjectMeta) -> meta_v1.OwnerReference:
    """A reference that makes the object of `meta` the controller."""
    known = facts.of_struct(kind)
    return controller_reference(known.api_version, known.kind, meta)


class Claim(Generic[T]):
    """What `owner` owns of one kind, after adopting and releasing."""

    def __init__(
        self,
        ctx: Context,
        owner: Any,
        selector: Selector,
        kind: type[T],
        *,
        finalizer: str = "",
        fits: Callable[[T], bool] = lambda obj: True,
    ) -> None:
        """`finalizer` comes with adoption and goes with release. `fits`: what an object must be beside the selector's."""
        self._ctx = ctx
        self._fits = fits
        self._owner, self._owner_kind = owner, type(owner)
        self._meta: meta_v1.ObjectMeta = owner.metadata
        self._selector = selector
        self._finalizer = finalizer
        self._cache: Cache[T] = ctx.cache(kind)
        self._api: ResourceClient[T] = ctx.api(kind)

    async def run(self, wanted: Callable[[T], bool] = lambda obj: True) -> list[T]:
        """Releases what no longer matches, adopts orphans that do; returns what is owned. Skips what is not `wanted`. Raises
        Conflict where one that was to be adopted is not as the cache has it."""
        owned: list[T] = []
        deleting = self._meta.deletionTimestamp is not None
        for obj in self._cache.by(INDEX, self._meta.uid):
            if not wanted(obj):
                continue
            if self._matches(obj):
                owned.append(obj)
            elif not deleting:
                await self._release(obj)
        orphans = self._cache.by(INDEX, _orphans(self._meta.namespace, self._selector.exact))
        candidates = [o for o in orphans if wanted(o) and self._matches(o) and _meta(o).deletionTimestamp is None]
        if candidates and not deleting and await self._may_adopt():
            for obj in candidates:
                adopted = await self._adopt(obj)
                if adopted is not None:
                    owned.append(adopted)
        return owned

    def _matches(self, obj: T) -> bool:
        return self._selector.matches(_meta(obj).labels) and self._fits(obj)

    async def _may_adopt(self) -> bool:
        """The owner, read live, is still the same and is not being deleted."""
        try:
            live: Any = await self._ctx.api(self._owner_kind).get(key_of(self._owner))
        except NotFound:
            return False
        return bool(live.metadata.uid == self._meta.uid and live.metadata.deletionTimestamp is None)

    async def _adopt(self, obj: T) -> T | None:
        meta = _meta(obj)
        ref = reference_to(self._owner_kind, self._meta)
        finalizers = meta.finalizers
        if self._finalizer and self._finalizer not in finalizers:
            finalizers = (*finalizers, self._finalizer)
        # One that the object has already as a mere owner becomes its controller where it stands.
        owners = tuple(ref if owner.uid == ref.uid else owner for owner in meta.ownerReferences)
        owners = owners if ref in owners else (*owners, ref)
        # Only as it was seen: by labels that it has no longer it would be adopted, and be removed as one too many. A Conflict
        # is raised: the cache is late, and who went on would count too few.
        return await self._write(obj, replace(meta, ownerReferences=owners, finalizers=finalizers), lock=True)

    async def _release(self, obj: T) -> None:
        meta = _meta(obj)
        kept = without_owner(meta.ownerReferences, self._meta.uid)
        finalizers = tuple(name for name in meta.finalizers if name != self._finalizer)
        with suppress(Conflict):
            await self._write(obj, replace(meta, ownerReferences=kept, finalizers=finalizers))

    async def _write(self, obj: T, meta: meta_v1.ObjectMeta, *, lock: bool = False) -> T | None:
        try:
            return await self._api.patch(obj, replace(obj, metadata=meta), lock=lock)
        except (NotFound, Invalid):
            return None  # it is gone, or another controller was faster


def _meta(obj: Any) -> meta_v1.ObjectMeta:
    meta: meta_v1.ObjectMeta = obj.metadata
    return meta
