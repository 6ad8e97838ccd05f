"""Root CA publisher: every namespace has a ConfigMap `kube-root-ca.crt`, with which Pods verify the API server."""

from collections.abc import Iterable
from contextlib import suppress

from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, ApiError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.controllers._namespaces import active, is_ending
from pybernetes.controllers.runtime import Context, Controller, Done, Outcome, Watch, allow
from pybernetes.wire.metrics import Counter, Distribution, exponential

NAME = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def _of_config_map(config_map: core_v1.ConfigMap, ctx: Context) -> Iterable[Key]:
    return (Key("", config_map.metadata.namespace),)


class Figures:
    """Upstream's metrics: by the HTTP code that a namespace's turn ended with."""

    def __init__(self) -> None:
        name = "root_ca_cert_publisher_sync"
        self.syncs = Counter(f"{name}_total", "Number of namespace syncs happened in root ca cert publisher.", "code")
        self.seconds = Distribution(
            f"{name}_duration_seconds",
            "Number of namespace syncs happened in root ca cert publisher.",
            "code",
            bounds=exponential(0.001, 2, 15),
        )


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One namespace."""
    if not ctx.config.root_ca or not active(ctx, key):
        return Done()
    began, code = ctx.clock.monotonic(), 200
    try:
        await _publish(key, ctx)
    except ApiError as error:
        if not is_ending(error):
            code = error.code
            raise
    finally:
        figures = ctx.metrics(Figures)
        figures.syncs.add(str(code))
        figures.seconds.observe(ctx.clock.monotonic() - began, str(code))
    return Done()


async def _publish(key: Key, ctx: Context) -> None:
    data = {"ca.crt": ctx.config.root_ca.decode()}
    api = ctx.api(core_v1.ConfigMap)
    there = ctx.cache(core_v1.ConfigMap).get(Key(key.name, NAME))
    if there is not None:
        if there.data == data and there.metadata.annotations.get(DESCRIPTION):
            return  # whoever says it in words of their own may
        meta = replace(there.metadata, annotations={**there.metadata.annotations, DESCRIPTION: TEXT})
        await api.patch(there, replace(there, data=data, metadata=meta))
        return
    meta = meta_v1.ObjectMeta(name=NAME, namespace=key.name, annotations={DESCRIPTION: TEXT})
    with suppress(AlreadyExists):
        await api.create(core_v1.ConfigMap(metadata=meta, data=data))


CONTROLLER = Controller(
    name="root-ca-certificate-publisher-controller",
    queue="root_ca_cert_publisher",
    account="root-ca-cert-publisher",
    watches=(
        Watch(kind=core_v1.Namespace),
        Watch(kind=core_v1.ConfigMap, keys=_of_config_map, fields=f"metadata.name={NAME}"),
    ),
    reconcile=reconcile,
    rules=(allow("create update patch", "configmaps"), allow("list watch", "namespaces configmaps")),
)
