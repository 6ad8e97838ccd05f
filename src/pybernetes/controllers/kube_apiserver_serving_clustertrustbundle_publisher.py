"""Trust bundle of the API server: a ClusterTrustBundle with the authorities that its serving certificates come from.

Its name holds what is in it: a renewed bundle is another object, and the old one goes after the new one is there.
"""

import hashlib
from collections.abc import Iterable

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import rbac_v1
from pybernetes.api.types.certificates_v1 import ClusterTrustBundle, ClusterTrustBundleSpec
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.client.rest import key_of
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow

SIGNER = "kubernetes.io/kube-apiserver-serving"
_ONLY = Key("", "")


def name_of(bundle: bytes) -> str:
    """Of the object that holds these authorities (PEM)."""
    return f"{SIGNER.replace('/', ':')}:{hashlib.sha256(bundle).hexdigest()[:24]}"


def _all(bundle: ClusterTrustBundle, ctx: Context) -> Iterable[Key]:
    return (_ONLY,) if bundle.spec.signerName == SIGNER else ()


async def begin(ctx: Context) -> None:
    """There may be no bundle yet whose event would begin it."""
    ctx.queue.add(_ONLY)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """All bundles of the signer."""
    content = ctx.config.root_ca
    if not content:
        return Done()
    api, cache = ctx.api(ClusterTrustBundle), ctx.cache(ClusterTrustBundle)
    made = ClusterTrustBundle(
        metadata=ObjectMeta(name=name_of(content)),
        spec=ClusterTrustBundleSpec(signerName=SIGNER, trustBundle=content.decode()),
    )
    there = cache.get(key_of(made))
    if there is None:
        try:
            await api.create(made)
        except AlreadyExists:
            return Done()  # the cache is late, and its event will come
    elif there.spec != made.spec:
        await api.patch_raw(key_of(made), {"spec": {"trustBundle": made.spec.trustBundle}})
    for other in cache:
        if other.spec.signerName == SIGNER and other.metadata.name != made.metadata.name:
            try:
                await api.delete(key_of(other), uid=other.metadata.uid)
            except NotFound:
                continue
    return Done()


CONTROLLER = Controller(
    name="kube-apiserver-serving-clustertrustbundle-publisher-controller",
    account="kube-apiserver-serving-clustertrustbundle-publisher",
    watches=(Watch(kind=ClusterTrustBundle, keys=_all),),
    reconcile=reconcile,
    background=begin,
    workers=1,
    rules=(
        allow("list watch create update patch delete", "clustertrustbundles", "certificates.k8s.io"),
        rbac_v1.PolicyRule(
            apiGroups=("certificates.k8s.io",), resources=("signers",), resourceNames=(SIGNER,), verbs=("attest",)
        ),
        EVENTS,
    ),
)
