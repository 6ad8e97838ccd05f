"""Cleaner of PodCertificateRequests: a kubelet asks anew if it still wants one, so all go after a quarter of an hour (KEP-4317)."""

from contextlib import suppress

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types.certificates_v1 import PodCertificateRequest
from pybernetes.controllers.runtime import Again, Context, Controller, Done, Outcome, Watch, allow

LIFE = 900.0
"""Seconds."""


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One request."""
    request = ctx.cache(PodCertificateRequest).get(key)
    if request is None:
        return Done()
    left = parse_time(request.metadata.creationTimestamp or "") + LIFE - ctx.clock.now()
    if left > 0:
        return Again(left)
    with suppress(NotFound):
        await ctx.api(PodCertificateRequest).delete(key, uid=request.metadata.uid)
    return Done()


CONTROLLER = Controller(
    name="podcertificaterequest-cleaner-controller",
    account="podcertificaterequestcleaner",
    watches=(Watch(kind=PodCertificateRequest, changed=lambda old, new: False),),
    reconcile=reconcile,
    rules=(allow("delete get list watch", "podcertificaterequests", "certificates.k8s.io"),),
)
