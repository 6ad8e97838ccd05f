"""Objects that every namespace has: the loop body that the ServiceAccount and root CA controllers share."""

from pybernetes.api.errors import ApiError, Conflict, Forbidden, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers.runtime import Context


def active(ctx: Context, key: Key) -> bool:
    """The namespace of that name is there and is not being deleted."""
    namespace = ctx.cache(core_v1.Namespace).get(key)
    return namespace is not None and namespace.metadata.deletionTimestamp is None


def is_ending(error: ApiError) -> bool:
    """The refusal says that the namespace is gone or going: nothing is to be made there any more."""
    if isinstance(error, NotFound):
        return True
    causes = [cause.get("reason") for cause in error.details.get("causes") or ()]
    being = "because it is being terminated" in error.message
    return isinstance(error, Forbidden | Conflict) and ("NamespaceTerminating" in causes or being)
