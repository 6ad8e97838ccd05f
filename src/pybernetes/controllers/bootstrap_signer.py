"""Bootstrap signer: signs cluster-info with every bootstrap token, so that who holds a token can trust it (kubeadm join).

The ConfigMap kube-public/cluster-info gets one `jws-kubeconfig-<token id>` a token: a detached JWS (RFC 7515) over its
kubeconfig, HS256 with the token's secret.
"""

import hashlib
import hmac
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers._tokens import FIELDS, token_of
from pybernetes.controllers.runtime import Context, Controller, Done, Outcome, Watch, allow
from pybernetes.wire.pki.jwks import base64url

CLUSTER_INFO = Key("kube-public", "cluster-info")
SIGNATURE = "jws-kubeconfig-"
CONTENT = "kubeconfig"


def _cluster_info(obj: object, ctx: Context) -> Iterable[Key]:
    return (CLUSTER_INFO,)


def signature(content: str, token_id: str, secret: str) -> str:
    """The detached JWS: `<header>..<signature>`."""
    header = base64url(msgspec.json.encode({"alg": "HS256", "kid": token_id}))
    signed = f"{header}.{base64url(content.encode())}".encode()
    return f"{header}..{base64url(hmac.new(secret.encode(), signed, hashlib.sha256).digest())}"


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """cluster-info."""
    there = ctx.cache(core_v1.ConfigMap).get(CLUSTER_INFO)
    if there is None or CONTENT not in there.data:
        return Done()
    data = {name: text for name, text in there.data.items() if not name.startswith(SIGNATURE)}
    now = ctx.clock.now()
    for secret in ctx.cache(core_v1.Secret):
        token = token_of(secret)
        if token and token.signs and (token.expires is None or token.expires > now):
            data[SIGNATURE + token.id] = signature(data[CONTENT], token.id, token.secret)
    await ctx.api(core_v1.ConfigMap).patch(there, replace(there, data=data), lock=True)
    return Done()


CONTROLLER = Controller(
    name="bootstrap-signer-controller",
    queue="bootstrap_signer_queue",
    account="bootstrap-signer",
    watches=(
        Watch(kind=core_v1.ConfigMap, keys=_cluster_info, fields="metadata.name=cluster-info"),
        Watch(kind=core_v1.Secret, keys=_cluster_info, fields=FIELDS),
    ),
    reconcile=reconcile,
    rules=(allow("get list watch update patch", "configmaps"), allow("get list watch", "secrets")),
    workers=1,
    default_on=False,
)
