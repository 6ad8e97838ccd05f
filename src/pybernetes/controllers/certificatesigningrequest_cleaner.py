"""CSR cleaner: removes requests that are done with (an hour after the decision) or that nobody decided on (a day)."""

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.controllers._certificates import CSR
from pybernetes.controllers.runtime import Again, Context, Controller, Done, Outcome, Watch, allow

DECIDED = 3600.0
PENDING = 24 * 3600.0


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One request."""
    csr = ctx.cache(CSR).get(key)
    if csr is None:
        return Done()
    stamps = [
        parse_time(c.lastUpdateTime)
        for c in csr.status.conditions
        if c.type in ("Approved", "Denied", "Failed") and c.lastUpdateTime
    ]
    created = parse_time(csr.metadata.creationTimestamp) if csr.metadata.creationTimestamp else ctx.clock.now()
    over = max(stamps) + DECIDED if stamps else created + PENDING
    left = over - ctx.clock.now()
    if left > 0:
        return Again(left)
    try:
        await ctx.api(CSR).delete(key, uid=csr.metadata.uid)
    except NotFound:
        return Done()
    return Done()


CONTROLLER = Controller(
    name="certificatesigningrequest-cleaner-controller",
    watches=(Watch(kind=CSR),),
    reconcile=reconcile,
    rules=(allow("delete get list watch", "certificatesigningrequests", "certificates.k8s.io"),),
)
