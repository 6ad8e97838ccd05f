"""CSR cleaner: removes requests an hour after they were denied, failed, or approved and issued; those that nobody said
anything about after a day; and those whose certificate has ended. What is approved and waits for its signer stays.
"""

import base64
import binascii
import math
from contextlib import suppress

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.controllers._certificates import CSR
from pybernetes.controllers.runtime import Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.wire.pki.certificates import parse_certificate
from pybernetes.wire.pki.keys import PkiError

DECIDED = 3600.0
PENDING = 24 * 3600.0


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One request."""
    csr = ctx.cache(CSR).get(key)
    if csr is None:
        return Done()
    over = min(_over(csr), _end(csr))
    if over == math.inf:
        return Done()
    left = over - ctx.clock.now()
    if left > 0:
        return Again(left)
    with suppress(NotFound):
        await ctx.api(CSR).delete(key, uid=csr.metadata.uid)
    return Done()


def _over(csr: CSR) -> float:
    """When it is done with, seconds since 1970."""
    if not csr.status.conditions:
        return parse_time(csr.metadata.creationTimestamp or "") + PENDING
    ends = {"Denied", "Failed"} | ({"Approved"} if csr.status.certificate else set())
    stamps = [parse_time(c.lastUpdateTime) for c in csr.status.conditions if c.type in ends and c.lastUpdateTime]
    return min(stamps) + DECIDED if stamps else math.inf


def _end(csr: CSR) -> float:
    """When its certificate ends, seconds since 1970; never where it has none that can be read, or was not approved."""
    if not any(c.type == "Approved" for c in csr.status.conditions):
        return math.inf
    try:
        return parse_certificate(base64.b64decode(csr.status.certificate)).not_valid_after_utc.timestamp()
    except (PkiError, binascii.Error):
        return math.inf


CONTROLLER = Controller(
    name="certificatesigningrequest-cleaner-controller",
    account="certificate-controller",
    watches=(Watch(kind=CSR),),
    reconcile=reconcile,
    rules=(allow("delete get list watch", "certificatesigningrequests", "certificates.k8s.io"),),
)
