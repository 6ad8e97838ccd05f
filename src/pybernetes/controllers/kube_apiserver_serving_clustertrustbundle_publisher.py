"""Trust bundle of the API server: a ClusterTrustBundle with the authorities that its serving certificates come from.

Its name holds what is in it: a renewed bundle is another object, and the old one goes after the new one is there.
"""

import hashlib
from collections.abc import Iterable

from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import rbac_v1
from pybernetes.api.types.certificates_v1 import ClusterTrustBundle, ClusterTrustBundleSpec
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.client.rest import key_of
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.wire.metrics import Counter, Distribution, exponential

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


class Figures:
    """Upstream's metrics: by the HTTP code that a look ended with."""

    def __init__(self) -> None:
        name = "clustertrustbundle_publisher_sync"
        self.syncs = Counter(
            f"{name}_total", "Number of syncs that occurred in cluster trust bundle publisher.", "code"
        )
        self.seconds = Distribution(
            f"{name}_duration_seconds",
            "The time it took to sync a cluster trust bundle.",
            "code",
            bounds=exponential(0.001, 2, 15),
        )


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """All bundles of the signer."""
    if not ctx.config.root_ca:
        return Done()
    began, code = ctx.clock.monotonic(), 200
    try:
        return await _publish(ctx.config.root_ca, ctx)
    except ApiError as error:
        code = error.code
        raise
    finally:
        figures = ctx.metrics(Figures)
        figures.syncs.add(str(code))
        figures.seconds.observe(ctx.clock.monotonic() - began, str(code))


async def _publish(content: bytes, ctx: Context) -> Outcome:
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
    queue="ca_cert_publisher_cluster_trust_bundles",
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
