"""Token cleaner: deletes bootstrap tokens when they expire, malformed ones too."""

from contextlib import suppress

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers._tokens import FIELDS, expires
from pybernetes.controllers.runtime import Again, Context, Controller, Done, Outcome, Watch, allow


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Secret."""
    secret = ctx.cache(core_v1.Secret).get(key)
    end = expires(secret) if secret else None
    if secret is None or end is None:
        return Done()
    left = end - ctx.clock.now()
    if left > 0:
        return Again(left)
    with suppress(NotFound):
        await ctx.api(core_v1.Secret).delete(key, uid=secret.metadata.uid)
    return Done()


CONTROLLER = Controller(
    name="token-cleaner-controller",
    account="token-cleaner",
    watches=(Watch(kind=core_v1.Secret, fields=FIELDS),),
    reconcile=reconcile,
    rules=(allow("delete get list watch", "secrets"),),
    workers=1,
    default_on=False,
)
