"""Finalizers: put on, taken off, and kept for as long as something uses an object."""

from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.controllers.runtime import Context

T = TypeVar("T", bound=Struct)


def with_finalizer(obj: T, finalizer: str) -> T:
    """The object, kept until the finalizer is taken off; itself where it has it."""
    meta = _meta(obj)
    if finalizer in meta.finalizers:
        return obj
    return _with_meta(obj, replace(meta, finalizers=(*meta.finalizers, finalizer)))


def without_finalizer(obj: T, finalizer: str) -> T:
    """The object without it; itself where it has none such."""
    meta = _meta(obj)
    if finalizer not in meta.finalizers:
        return obj
    return _with_meta(obj, replace(meta, finalizers=tuple(name for name in meta.finalizers if name != finalizer)))


def _meta(obj: Any) -> ObjectMeta:
    found: ObjectMeta = obj.metadata
    return found


def _with_meta(obj: T, meta: ObjectMeta) -> T:
    return replace(obj, metadata=meta)


async def protect(obj: T, finalizer: str, in_use: bool, ctx: Context) -> None:
    """Gives a living object the finalizer, and takes it from one that is being deleted and no longer used."""
    meta = _meta(obj)
    ending = meta.deletionTimestamp is not None
    if ending == (finalizer not in meta.finalizers) or (ending and in_use):
        return
    wanted = without_finalizer(obj, finalizer) if ending else with_finalizer(obj, finalizer)
    await ctx.api(type(obj)).patch(obj, wanted, lock=True)
