"""What the protections of storage share: a finalizer that an object keeps for as long as something uses it."""

from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.controllers.runtime import Context

T = TypeVar("T", bound=Struct)


async def protect(obj: T, finalizer: str, in_use: bool, ctx: Context) -> None:
    """Gives a living object the finalizer, and takes it from one that is being deleted and no longer used."""
    found: Any = obj
    meta = found.metadata
    ending = meta.deletionTimestamp is not None
    if ending == (finalizer not in meta.finalizers) or (ending and in_use):
        return
    kept = tuple(one for one in meta.finalizers if one != finalizer)
    wanted = replace(meta, finalizers=kept if ending else (*kept, finalizer))
    await ctx.api(type(obj)).patch(obj, replace(found, metadata=wanted), lock=True)
