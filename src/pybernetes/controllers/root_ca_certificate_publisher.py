"""Root CA publisher: every namespace has a ConfigMap `kube-root-ca.crt`, with which Pods verify the API server."""

from collections.abc import Iterable

from msgspec.structs import replace

from pybernetes.api.errors import AlreadyExists, ApiError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.controllers._namespaces import active, is_ending
from pybernetes.controllers.runtime import Context, Controller, Done, Outcome, Watch, allow

NAME = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def _of_config_map(config_map: core_v1.ConfigMap, ctx: Context) -> Iterable[Key]:
    return (Key("", config_map.metadata.namespace),)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One namespace."""
    if not ctx.config.root_ca or not active(ctx, key):
        return Done()
    data = {"ca.crt": ctx.config.root_ca.decode()}
    api = ctx.api(core_v1.ConfigMap)
    there = ctx.cache(core_v1.ConfigMap).get(Key(key.name, NAME))
    if there is not None:
        meta = replace(there.metadata, annotations={**there.metadata.annotations, DESCRIPTION: TEXT})
        await api.patch(there, replace(there, data=data, metadata=meta))
        return Done()
    meta = meta_v1.ObjectMeta(name=NAME, namespace=key.name, annotations={DESCRIPTION: TEXT})
    try:
        await api.create(core_v1.ConfigMap(metadata=meta, data=data))
    except AlreadyExists:
        return Done()
    except ApiError as error:
        if not is_ending(error):
            raise
    return Done()


CONTROLLER = Controller(
    name="root-ca-certificate-publisher-controller",
    queue="root_ca_cert_publisher",
    watches=(
        Watch(kind=core_v1.Namespace),
        Watch(kind=core_v1.ConfigMap, keys=_of_config_map, fields=f"metadata.name={NAME}"),
    ),
    reconcile=reconcile,
    rules=(allow("create update patch", "configmaps"), allow("list watch", "namespaces configmaps")),
)
