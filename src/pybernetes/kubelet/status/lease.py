"""The heartbeat of a node: a Lease in kube-node-lease, renewed four times in its duration. The node controller reads it."""

import logging

from msgspec.structs import replace

from pybernetes.aio.clock import Clock, rfc3339_micro
from pybernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import coordination_v1, core_v1, meta_v1
from pybernetes.client.rest import Client

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
_PART = 0.25
_RETRY = 1.0


class NodeLease:
    """Renews the Lease of one node. `duration`: nodeLeaseDurationSeconds."""

    def __init__(self, client: Client, node_name: str, clock: Clock, duration: int = 40) -> None:
        self._leases = client.of(coordination_v1.Lease)
        self._nodes = client.of(core_v1.Node)
        self._name = node_name
        self._clock = clock
        self._duration = duration
        self._lease: coordination_v1.Lease | None = None

    async def run(self) -> None:
        """Renews until cancelled."""
        while True:
            try:
                await self.renew()
                await self._clock.sleep(self._duration * _PART)
            except (ApiError, OSError) as error:
                log.warning("cannot renew lease node=%s error=%s", self._name, error)
                await self._clock.sleep(_RETRY)

    async def renew(self) -> None:
        """Once; makes the Lease where it is not there. Raises ApiError, OSError."""
        try:
            self._lease = await self._renewed()
        except (ApiError, OSError):
            self._lease = None
            raise

    async def _renewed(self) -> coordination_v1.Lease:
        now = rfc3339_micro(self._clock.now())
        spec = coordination_v1.LeaseSpec(holderIdentity=self._name, leaseDurationSeconds=self._duration, renewTime=now)
        if self._lease is None:
            try:
                self._lease = await self._leases.get(Key(NAMESPACE, self._name))
            except NotFound:
                return await self._create(spec)
        meta = self._lease.metadata
        if not meta.ownerReferences:
            meta = replace(meta, ownerReferences=(await self._owner(),))
        return await self._leases.update(replace(self._lease, metadata=meta, spec=spec))

    async def _create(self, spec: coordination_v1.LeaseSpec) -> coordination_v1.Lease:
        meta = meta_v1.ObjectMeta(name=self._name, namespace=NAMESPACE, ownerReferences=(await self._owner(),))
        try:
            return await self._leases.create(coordination_v1.Lease(metadata=meta, spec=spec))
        except AlreadyExists as error:
            raise Conflict(error.message) from None

    async def _owner(self) -> meta_v1.OwnerReference:
        """The Node: with it the Lease goes."""
        node = await self._nodes.get(self._name)
        return meta_v1.OwnerReference(apiVersion="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid)
