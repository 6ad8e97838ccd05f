"""The Service `kubernetes` in `default`, with its Endpoints and EndpointSlice: how Pods find the API server.

bootstrap.py makes it before the server says it is ready; `keep` repairs it while the server runs.
"""

import logging
from collections.abc import Callable, Sequence

from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver import masters
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.storage import Storage

log = logging.getLogger(__name__)

NAME, NAMESPACE = "kubernetes", "default"
REPAIR_SECONDS = 10.0
_SERVICES = GroupResource("", "services")
_ENDPOINTS = GroupResource("", "endpoints")
_SLICES = GroupResource("discovery.k8s.io", "endpointslices")


async def keep(storage: Storage, config: Config) -> None:
    """Runs until cancelled. A repair that fails is tried again."""
    while True:
        await storage.clock.sleep(REPAIR_SECONDS)
        try:
            await ensure(storage, config)
        except ApiError as error:
            log.warning("service kubernetes is not repaired cause=%s", error)


async def leave(storage: Storage, config: Config) -> None:
    """This server takes no more requests: the others stay. Call it once `keep` has ended. Raises ApiError."""
    if not storage.store.shared:
        return
    await masters.withdraw(storage, config.advertise_address)
    if left := await masters.addresses(storage, config.advertise_address):
        await _show(storage, config, left)


async def ensure(storage: Storage, config: Config) -> None:
    """Makes the three objects what they must be. Raises ApiError."""
    await masters.announce(storage, config.advertise_address)
    await _show(storage, config, await masters.addresses(storage, config.advertise_address))


async def _show(storage: Storage, config: Config, addresses: Sequence[str]) -> None:
    address, port = config.advertise_address, config.secure_port
    family = "IPv6" if ":" in address else "IPv4"
    cluster_ip = str(config.service_networks[0][1])  # the range's first address

    def service(obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        obj["metadata"]["labels"] = {
            **(obj["metadata"].get("labels") or {}),
            "component": "apiserver",
            "provider": NAME,
        }
        spec.setdefault("clusterIP", cluster_ip)
        spec.setdefault("clusterIPs", [cluster_ip])
        spec["type"] = "ClusterIP"
        spec["ports"] = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
        spec.setdefault("sessionAffinity", "None")

    def endpoints(obj: Object) -> None:
        labels = obj["metadata"].get("labels") or {}
        obj["metadata"]["labels"] = {**labels, "endpointslice.kubernetes.io/skip-mirror": "true"}
        ports = [{"name": "https", "port": port, "protocol": "TCP"}]
        obj["subsets"] = [{"addresses": [{"ip": one} for one in addresses], "ports": ports}]

    def slice_(obj: Object) -> None:
        labels = obj["metadata"].get("labels") or {}
        obj["metadata"]["labels"] = {**labels, "kubernetes.io/service-name": NAME}
        obj["addressType"] = family
        obj["endpoints"] = [
            {"addresses": [one], "conditions": {"ready": True}} for one in addresses if (":" in one) == (":" in address)
        ]
        obj["ports"] = [{"name": "https", "port": port, "protocol": "TCP"}]

    for resource, change in ((_SERVICES, service), (_ENDPOINTS, endpoints), (_SLICES, slice_)):
        if resource in storage.resources:
            await _apply(storage, resource, change)


async def _apply(storage: Storage, resource: GroupResource, change: Callable[[Object], None]) -> None:
    def changed(obj: Object) -> Object | None:
        change(obj)
        return obj

    try:
        await storage.update(resource, NAMESPACE, NAME, changed)
    except NotFound:
        obj: Object = {"metadata": {"name": NAME, "namespace": NAMESPACE}}
        change(obj)
        try:
            await storage.create(resource, obj)
        except AlreadyExists:  # another server of the same cluster was faster
            await storage.update(resource, NAMESPACE, NAME, changed)
