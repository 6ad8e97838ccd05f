"""CSR approver: lets kubelets have their client certificates, and serving certificates for their own addresses.

Client certificates as upstream: a SubjectAccessReview asks whether the requester may create
certificatesigningrequests/nodeclient (a bootstrap token) or .../selfnodeclient (a renewal). Serving certificates are
left to an admin upstream; here they are approved when a node asks for itself and every name is an address of its Node.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import Key
from pybernetes.api.types import authorization_v1, certificates_v1, core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers._certificates import CSR, KUBELET_CLIENT, KUBELET_SERVING, Asked, Unfit, asked, decided
from pybernetes.controllers.runtime import Again, Context, Controller, Done, Outcome, Watch, allow

WAIT = 10.0
"""Seconds until a request that may not be approved yet is looked at again: roles may come later."""


def _of_node(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    """Serving requests that wait for the node's addresses."""
    return [
        key_of(csr)
        for csr in ctx.cache(CSR)
        if csr.spec.signerName == KUBELET_SERVING
        and csr.spec.username == f"system:node:{node.metadata.name}"
        and not decided(csr)
    ]


def _addresses_changed(old: core_v1.Node, new: core_v1.Node) -> bool:
    return old.status.addresses != new.status.addresses


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One request."""
    csr = ctx.cache(CSR).get(key)
    if csr is None or csr.status.certificate or decided(csr):
        return Done()
    if csr.spec.signerName not in (KUBELET_CLIENT, KUBELET_SERVING):
        return Done()
    try:
        found = asked(csr)
    except Unfit:
        return Done()  # an admin may still look at it; the signer refuses it in any case
    if csr.spec.signerName == KUBELET_SERVING:
        return await _serving(csr, found, ctx)
    own = csr.spec.username == found.request.user.name
    ways = (("selfnodeclient", "self kubelet"),) if own else ()
    for subresource, what in (*ways, ("nodeclient", "kubelet")):
        if await _may(csr, subresource, ctx):
            await _approve(csr, f"Auto approving {what} client certificate after SubjectAccessReview.", ctx)
            return Done()
    return Again(WAIT)


async def _serving(csr: CSR, found: Asked, ctx: Context) -> Outcome:
    if csr.spec.username != found.request.user.name:
        return Done()
    node = ctx.cache(core_v1.Node).get(Key("", found.node))
    known = {address.address for address in node.status.addresses} if node else set()
    if set(found.hosts) <= known:
        await _approve(csr, "Auto approving kubelet serving certificate for the addresses of its Node.", ctx)
    return Done()


async def _may(csr: CSR, subresource: str, ctx: Context) -> bool:
    review = authorization_v1.SubjectAccessReview(
        spec=authorization_v1.SubjectAccessReviewSpec(
            user=csr.spec.username,
            uid=csr.spec.uid,
            groups=csr.spec.groups,
            extra=csr.spec.extra,
            resourceAttributes=authorization_v1.ResourceAttributes(
                group="certificates.k8s.io",
                resource="certificatesigningrequests",
                verb="create",
                subresource=subresource,
                version="*",
            ),
        )
    )
    answer = await ctx.api(authorization_v1.SubjectAccessReview).create(review)
    return answer.status.allowed


async def _approve(csr: CSR, message: str, ctx: Context) -> None:
    now = rfc3339(ctx.clock.now())
    made = certificates_v1.CertificateSigningRequestCondition(
        type="Approved",
        status="True",
        reason="AutoApproved",
        message=message,
        lastUpdateTime=now,
        lastTransitionTime=now,
    )
    changed = replace(csr, status=replace(csr.status, conditions=(*csr.status.conditions, made)))
    await ctx.api(CSR).patch(csr, changed, subresource="approval", lock=True)


CONTROLLER = Controller(
    name="certificatesigningrequest-approving-controller",
    queue="certificate",
    account="certificate-controller",
    watches=(
        Watch(kind=CSR),
        Watch(kind=core_v1.Node, keys=_of_node, changed=_addresses_changed),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "certificatesigningrequests", "certificates.k8s.io"),
        allow("update patch", "certificatesigningrequests/approval", "certificates.k8s.io"),
        allow("approve", "signers", "certificates.k8s.io"),
        allow("create", "subjectaccessreviews", "authorization.k8s.io"),
        allow("get list watch", "nodes"),
    ),
)
