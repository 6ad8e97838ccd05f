"""ServiceAccount tokens in Secrets: fills Secrets of type kubernetes.io/service-account-token, and removes them with the account.

A Secret asks for a token by its annotation, so the metadata of all Secrets says where to look; what is in them is read
when it matters, and kept nowhere. Without a key to sign with nothing is done.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.informer import Informer
from pybernetes.client.rest import key_of, target_of
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.wire.pki.jwks import algorithm, key_id, signed
from pybernetes.wire.pki.keys import PrivateKey

TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"
CLAIMS = "kubernetes.io/serviceaccount/"
_ACCOUNT = "account"


class _Filled:
    """Revisions of Secrets that had all they need."""

    def __init__(self) -> None:
        self.at: dict[Key, str] = {}


class _Gone:
    """Whose the tokens were in Secrets that are gone: account and uid, which may be empty."""

    def __init__(self) -> None:
        self.of: dict[Key, tuple[str, str]] = {}


def token(secret: core_v1.Secret, account: core_v1.ServiceAccount, key: PrivateKey) -> str:
    """A token that lives as long as the Secret holds it."""
    claims = {
        "iss": ISSUER,
        f"{CLAIMS}namespace": secret.metadata.namespace,
        f"{CLAIMS}secret.name": secret.metadata.name,
        f"{CLAIMS}service-account.name": account.metadata.name,
        f"{CLAIMS}service-account.uid": account.metadata.uid,
        "sub": f"system:serviceaccount:{account.metadata.namespace}:{account.metadata.name}",
    }
    public = key.public_key()
    return signed(claims, key, {"alg": algorithm(public), "kid": key_id(public)})


def _secrets(ctx: Context) -> Informer[Any]:
    return ctx.informers.metadata(target_of(core_v1.Secret))


def _by_account(secret: Any) -> Iterable[str]:
    name = secret.metadata.annotations.get(NAME)
    return (f"{secret.metadata.namespace}/{name}",) if name else ()


async def follow(ctx: Context) -> None:
    """Looks at Secrets that ask for a token."""
    if ctx.config.service_account_key is None:
        return
    informer = _secrets(ctx)
    informer.cache.add_index(_ACCOUNT, _by_account)

    def on_change(old: Any, new: Any) -> None:
        for secret in (old, new):
            if secret is not None and secret.metadata.annotations.get(NAME):
                ctx.queue.add(key_of(secret))
        if new is None and old.metadata.annotations.get(NAME):
            notes = old.metadata.annotations
            ctx.state(_Gone).of[key_of(old)] = (notes[NAME], notes.get(UID, ""))

    informer.on_change(on_change)


def _of_account(account: core_v1.ServiceAccount, ctx: Context) -> Iterable[Key]:
    if ctx.config.service_account_key is None:
        return ()
    cache = _secrets(ctx).cache
    cache.add_index(_ACCOUNT, _by_account)
    return [key_of(secret) for secret in cache.by(_ACCOUNT, f"{account.metadata.namespace}/{account.metadata.name}")]


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Secret."""
    signing, filled = ctx.config.service_account_key, ctx.state(_Filled).at
    if signing is None:
        return Done()
    seen = _secrets(ctx).cache.get(key)
    if seen is None:
        filled.pop(key, None)
        await _forget(key, ctx)
        return Done()
    account = await _account_of(seen.metadata.annotations, key.namespace, ctx)
    if account is not None and filled.get(key) == seen.metadata.resourceVersion:
        return Done()
    try:
        secret = await ctx.api(core_v1.Secret).get(key)
        if secret.type != TYPE or secret.metadata.uid != seen.metadata.uid:
            return Done()
        if account is None:
            await ctx.api(core_v1.Secret).delete(key, uid=secret.metadata.uid)
            return Done()
    except NotFound:
        return Done()
    wanted = _whole(secret, account, ctx.config.root_ca, signing)
    secret = await ctx.api(core_v1.Secret).patch(secret, wanted, lock=True)
    filled[key] = secret.metadata.resourceVersion or ""
    return Done()


async def _account_of(annotations: Mapping[str, str], namespace: str, ctx: Context) -> core_v1.ServiceAccount | None:
    """The account that is meant, by a live read where the cache does not have it."""
    key, uid = Key(namespace, annotations.get(NAME, "")), annotations.get(UID, "")
    found = ctx.cache(core_v1.ServiceAccount).get(key)
    if found is None or (uid and found.metadata.uid != uid):
        try:
            found = await ctx.api(core_v1.ServiceAccount).get(key)
        except NotFound:
            return None
    return found if not uid or found.metadata.uid == uid else None


def _whole(secret: core_v1.Secret, account: core_v1.ServiceAccount, root_ca: bytes, key: PrivateKey) -> core_v1.Secret:
    """The Secret with all that it is to have."""
    data = dict(secret.data)
    if root_ca:
        data["ca.crt"] = base64.b64encode(root_ca).decode()
    if not data.get("namespace"):
        data["namespace"] = base64.b64encode((secret.metadata.namespace or "").encode()).decode()
    if not data.get("token"):
        data["token"] = base64.b64encode(token(secret, account, key).encode()).decode()
    if data == secret.data:
        return secret
    names = {NAME: account.metadata.name or "", UID: account.metadata.uid or ""}
    meta = replace(secret.metadata, annotations={**secret.metadata.annotations, **names})
    return replace(secret, metadata=meta, data=data)


async def _forget(key: Key, ctx: Context) -> None:
    """The account whose token was in the Secret that is gone names it no more; what others name is theirs."""
    gone = ctx.state(_Gone).of
    name, uid = gone.get(key, ("", ""))
    account = ctx.cache(core_v1.ServiceAccount).get(Key(key.namespace, name))
    if account is not None and uid in ("", account.metadata.uid):
        kept = tuple(ref for ref in account.secrets if ref.name != key.name)
        if len(kept) < len(account.secrets):
            await ctx.api(core_v1.ServiceAccount).patch(account, replace(account, secrets=kept), lock=True)
    gone.pop(key, None)


CONTROLLER = Controller(
    name="serviceaccount-token-controller",
    watches=(Watch(kind=core_v1.ServiceAccount, keys=_of_account),),
    reconcile=reconcile,
    background=follow,
    rules=(
        allow("get list watch patch update delete", "secrets"),
        allow("get list watch patch update", "serviceaccounts"),
        EVENTS,
    ),
)
