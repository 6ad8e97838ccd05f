"""Leader election by a Lease: of several processes one leads. cmd/ runs the scheduler and the controllers inside it.

As client-go's: the leader renews the Lease; who sees it unrenewed for its duration, on its own clock, takes it. Writes
are PUTs at the revision read, never patches, so that two can never both win. Losing the Lease ends the work at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339_micro
from pybernetes.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import coordination_v1, meta_v1
from pybernetes.client.rest import Client

log = logging.getLogger(__name__)

JITTER = 1.2
"""Those who wait try again after their retry period up to so many times it."""
TOLERANCE = 20.0
"""Seconds after the end of an unrenewed Lease until its leader counts as ill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Election:
    """What is elected and how fast; seconds, upstream's defaults."""

    name: str
    identity: str
    """Unique in the cluster: `<host>_<uuid>`."""
    namespace: str = "kube-system"
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


class LeaderLost(RuntimeError):
    """The Lease could not be renewed in time: another may lead now."""


class LeaderElector:
    """Waits for its turn, then runs `work` for as long as it leads."""

    def __init__(self, client: Client, election: Election, work: Callable[[], Awaitable[None]]) -> None:
        self._leases = client.of(coordination_v1.Lease)
        self._clock = client.clock
        self._election = election
        self._work = work
        self._seen: coordination_v1.Lease | None = None
        self._seen_at = 0.0
        self.leading = asyncio.Event()
        self._renewed = 0.0

    @property
    def lease(self) -> coordination_v1.Lease:
        """As it was when last seen or written; before that with its name alone."""
        meta = meta_v1.ObjectMeta(name=self._election.name, namespace=self._election.namespace)
        return self._seen or coordination_v1.Lease(metadata=meta)

    def fault(self) -> str:
        """Empty, or what a health check says of a leader that has not renewed its Lease for so long that it should have
        ended (client-go's leader election health adaptor)."""
        silent = self._clock.monotonic() - self._renewed
        if not self.leading.is_set() or silent <= self._election.lease_duration + TOLERANCE:
            return ""
        return f"failed election to renew leadership on lease {self._election.name}"

    async def run(self) -> None:
        """Until the work ends. Raises a group with LeaderLost when leadership is lost: the process should end then."""
        log.info("waiting for leadership lease=%s identity=%s", self._election.name, self._election.identity)
        while not await self._try():
            await self._clock.sleep(self._election.retry_period * self._clock.random.uniform(1, JITTER))
        log.info("leading lease=%s identity=%s", self._election.name, self._election.identity)
        self._renewed = self._clock.monotonic()
        self.leading.set()
        try:
            async with asyncio.TaskGroup() as group:
                renew = group.create_task(self._renew(), name=f"lease.{self._election.name}")
                await self._work()
                renew.cancel()
        finally:
            self.leading.clear()
            await self._release()

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._election.retry_period)
            left = self._election.renew_deadline - (self._clock.monotonic() - self._renewed)
            try:
                async with asyncio.timeout(max(left, 0)):
                    held = await self._try()
            except TimeoutError:
                held = False
            if held:
                self._renewed = self._clock.monotonic()
            elif self._clock.monotonic() - self._renewed >= self._election.renew_deadline or self._stolen():
                raise LeaderLost(f"lost the lease {self._election.namespace}/{self._election.name}")

    def _stolen(self) -> bool:
        return self._seen is not None and self._seen.spec.holderIdentity != self._election.identity

    async def _try(self) -> bool:
        """One attempt to get or to renew the Lease."""
        try:
            return await self._attempt()
        except (Conflict, AlreadyExists):
            return False
        except (ApiError, OSError) as error:
            log.warning("cannot use the lease lease=%s error=%s", self._election.name, error)
            return False

    async def _attempt(self) -> bool:
        election, now = self._election, self._clock.now()
        key = Key(election.namespace, election.name)
        try:
            lease = await self._leases.get(key)
        except NotFound:
            meta = meta_v1.ObjectMeta(name=key.name, namespace=key.namespace)
            self._keep(await self._leases.create(coordination_v1.Lease(metadata=meta, spec=self._spec(now, None))))
            return True
        if self._seen is None or self._seen.metadata.resourceVersion != lease.metadata.resourceVersion:
            self._keep(lease)
        mine = lease.spec.holderIdentity == election.identity
        duration = float(lease.spec.leaseDurationSeconds or 0)
        # Our own clock from when we saw it change: the holder's clock may differ from ours.
        if not mine and lease.spec.holderIdentity and self._clock.monotonic() < self._seen_at + duration:
            return False
        self._keep(await self._leases.update(replace(lease, spec=self._spec(now, lease.spec))))
        return True

    def _keep(self, lease: coordination_v1.Lease) -> None:
        self._seen, self._seen_at = lease, self._clock.monotonic()

    def _spec(self, now: float, old: coordination_v1.LeaseSpec | None) -> coordination_v1.LeaseSpec:
        mine = old is not None and old.holderIdentity == self._election.identity
        return replace(
            old or coordination_v1.LeaseSpec(),
            holderIdentity=self._election.identity,
            leaseDurationSeconds=int(self._election.lease_duration),
            acquireTime=old.acquireTime if old and mine else rfc3339_micro(now),
            renewTime=rfc3339_micro(now),
            leaseTransitions=((old.leaseTransitions or 0) + (0 if mine else 1)) if old else 0,
        )

    async def _release(self) -> None:
        """Gives the Lease back, so that the next need not wait for its end."""
        lease = self._seen
        if lease is None or lease.spec.holderIdentity != self._election.identity:
            return
        spec = replace(
            lease.spec, holderIdentity="", leaseDurationSeconds=1, renewTime=rfc3339_micro(self._clock.now())
        )
        try:
            async with asyncio.timeout(2):
                await self._leases.update(replace(lease, spec=spec))
        except (ApiError, OSError) as error:
            log.info("could not give back the lease lease=%s error=%s", self._election.name, error)
