"""ServiceAccount controller: every namespace has a ServiceAccount `default`, also after somebody deleted it."""

from collections.abc import Iterable

from pybernetes.api.errors import AlreadyExists, ApiError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.controllers._namespaces import active, is_ending
from pybernetes.controllers.runtime import Context, Controller, Done, Outcome, Watch, allow

DEFAULT = "default"


def _of_account(account: core_v1.ServiceAccount, ctx: Context) -> Iterable[Key]:
    return (Key("", account.metadata.namespace),)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One namespace."""
    if not active(ctx, key) or ctx.cache(core_v1.ServiceAccount).get(Key(key.name, DEFAULT)):
        return Done()
    account = core_v1.ServiceAccount(metadata=meta_v1.ObjectMeta(name=DEFAULT, namespace=key.name))
    try:
        await ctx.api(core_v1.ServiceAccount).create(account)
    except AlreadyExists:
        return Done()
    except ApiError as error:
        if not is_ending(error):
            raise
    return Done()


CONTROLLER = Controller(
    name="serviceaccount-controller",
    account="service-account-controller",
    watches=(
        Watch(kind=core_v1.Namespace),
        Watch(kind=core_v1.ServiceAccount, keys=_of_account, fields=f"metadata.name={DEFAULT}"),
    ),
    reconcile=reconcile,
    rules=(allow("create", "serviceaccounts"), allow("list watch", "namespaces serviceaccounts")),
)
