"""Since when uses of tokens in Secrets are noted: a ConfigMap in kube-system (KEP-2799).

Without it nobody knows how long a token has not been used, and nobody removes one.
"""

import logging

from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.legacytokens import SINCE, TRACKING, day_of, start_of

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
RESOURCE = GroupResource("", "configmaps")
LOOK_SECONDS = 1800.0
"""How soon one that was deleted is made anew, at most."""
RETRY_SECONDS = 10.0


async def keep(registry: Registry) -> None:
    """The ConfigMap is there and says a day, until cancelled. What fails is tried again."""
    while True:
        pause = LOOK_SECONDS
        try:
            await ensure(registry)
        except ApiError as error:
            log.warning("nothing says since when tokens in secrets are tracked name=%s cause=%s", TRACKING, error)
            pause = RETRY_SECONDS
        await registry.clock.sleep(pause)


async def ensure(registry: Registry) -> None:
    """One look, which costs nothing where all is well. Raises ApiError."""
    today = day_of(registry.clock.now())

    def change(found: Object) -> Object | None:
        return None if _is_whole(found) else {**found, "data": {**(found.get("data") or {}), SINCE: today}}

    found = registry.look(RESOURCE, NAMESPACE, TRACKING)
    if found is None:
        made: Object = {"metadata": {"name": TRACKING, "namespace": NAMESPACE}, "data": {SINCE: today}}
        try:
            await registry.create(RESOURCE, made)
        except AlreadyExists:
            return  # another server was faster
    elif not _is_whole(found):
        try:
            await registry.update(RESOURCE, NAMESPACE, TRACKING, change)
        except NotFound:
            return  # it has just been deleted: the next look makes it


def _is_whole(found: Object) -> bool:
    return start_of((found.get("data") or {}).get(SINCE) or "") is not None
