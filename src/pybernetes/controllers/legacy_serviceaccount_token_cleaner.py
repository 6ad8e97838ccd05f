"""Legacy token cleaner: marks tokens in Secrets that were made for ServiceAccounts and are no longer used, then removes them.

Such a Secret is named by its account's `secrets`; those that people make are not, and stay (KEP-2799). The API server
notes uses and refuses what is marked. One look a day, which costs no request where no account names a Secret.
"""

import logging

from msgspec.structs import replace

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, rbac_v1
from pybernetes.client.rest import encode
from pybernetes.controllers.runtime import RACES, Again, Context, Controller, Outcome, Watch, allow, nothing
from pybernetes.controllers.serviceaccount_token import NAME, TYPE, UID
from pybernetes.rules.legacytokens import DAY, INVALID_SINCE, LAST_USED, SINCE, TRACKING, day_of, start_of
from pybernetes.rules.podreferences import secret_names

log = logging.getLogger(__name__)

_ALL = Key("", "")
_TRACKING = Key("kube-system", TRACKING)


async def begin(ctx: Context) -> None:
    """The first look."""
    ctx.queue.add(_ALL)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """All tokens that accounts name."""
    accounts = [account for account in ctx.cache(core_v1.ServiceAccount) if account.secrets]
    if not accounts or not await _tracked_long_enough(ctx):
        return Again(DAY)
    mounted: dict[str, set[str]] = {}
    for account in accounts:
        namespace = account.metadata.namespace or ""
        for name in dict.fromkeys(ref.name for ref in account.secrets):
            if namespace not in mounted:
                mounted[namespace] = _mounted(namespace, ctx)
            if not name or name in mounted[namespace]:
                continue
            try:
                await _judge(Key(namespace, name), account, ctx)
            except RACES:
                continue  # gone, or changed just now
            except ApiError as error:
                log.warning("a legacy token is not cleaned up secret=%s/%s cause=%s", namespace, name, error)
    return Again(DAY)


async def _tracked_long_enough(ctx: Context) -> bool:
    """Whether a token without a use noted has had none for the whole period."""
    try:
        found = await ctx.api(core_v1.ConfigMap).get(_TRACKING)
    except NotFound:
        return False
    since = start_of(found.data.get(SINCE, ""))
    if since is None:
        log.warning("configmap %s/%s says no day since when tokens are tracked", _TRACKING.namespace, _TRACKING.name)
        return False
    return ctx.clock.now() >= since + DAY + ctx.config.legacy_token_period


def _mounted(namespace: str, ctx: Context) -> set[str]:
    """Names of the Secrets that Pods of a namespace refer to."""
    return {name for pod in ctx.cache(core_v1.Pod).of(namespace) for name in secret_names(encode(pod.spec))}


async def _judge(key: Key, account: core_v1.ServiceAccount, ctx: Context) -> None:
    """Leaves, marks or removes one Secret. Raises ApiError; NotFound and Conflict are no faults."""
    now, api = ctx.clock.now(), ctx.api(core_v1.Secret)
    since = now - ctx.config.legacy_token_period
    secret = await api.get(key)
    if not _was_made_for(secret, account) or _is_used(secret, since):
        return
    marked = secret.metadata.labels.get(INVALID_SINCE, "")
    if start_of(marked) is None:
        log.info("marked a legacy token as invalid secret=%s/%s", key.namespace, key.name)
        labels = {**secret.metadata.labels, INVALID_SINCE: day_of(now)}
        await api.patch(secret, replace(secret, metadata=replace(secret.metadata, labels=labels)), lock=True)
    elif marked < day_of(since):
        log.info("removed a legacy token secret=%s/%s invalid_since=%s", key.namespace, key.name, marked)
        await api.delete(key, uid=secret.metadata.uid, revision=secret.metadata.resourceVersion)


def _was_made_for(secret: core_v1.Secret, account: core_v1.ServiceAccount) -> bool:
    notes = secret.metadata.annotations
    return (
        secret.type == TYPE
        and not secret.metadata.deletionTimestamp
        and notes.get(NAME) == account.metadata.name
        and notes.get(UID, "") in ("", account.metadata.uid)
    )


def _is_used(secret: core_v1.Secret, since: float) -> bool:
    """Whether it is younger than that, or its last use is; a day that cannot be read may be any."""
    meta = secret.metadata
    if not meta.creationTimestamp or parse_time(meta.creationTimestamp) >= since:
        return True
    last = meta.labels.get(LAST_USED)
    return last is not None and (start_of(last) is None or last >= day_of(since))


CONTROLLER = Controller(
    name="legacy-serviceaccount-token-cleaner-controller",
    account="legacy-service-account-token-cleaner",
    watches=(
        Watch(kind=core_v1.ServiceAccount, keys=nothing),
        Watch(kind=core_v1.Pod, keys=nothing),
    ),
    reconcile=reconcile,
    background=begin,
    workers=1,
    rules=(
        rbac_v1.PolicyRule(apiGroups=("",), resources=("configmaps",), resourceNames=(TRACKING,), verbs=("get",)),
        allow("get patch delete", "secrets"),
        allow("list watch", "serviceaccounts pods"),
    ),
)
