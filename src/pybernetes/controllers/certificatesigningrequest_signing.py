"""CSR signer: signs approved requests with the cluster's authority, for the signers of kubelets and API clients."""

import base64
from datetime import timedelta

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.objects import Key
from pybernetes.api.types import certificates_v1
from pybernetes.controllers._certificates import (
    API_CLIENT,
    CSR,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    Asked,
    Unfit,
    approved,
    asked,
)
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.wire.pki.certificates import BACKDATE, Authority, Leaf, certificate_pem, sign
from pybernetes.wire.pki.keys import PkiError

SIGNERS = frozenset({KUBELET_CLIENT, KUBELET_SERVING, API_CLIENT})
SHORTEST = 600.0
"""Seconds that a certificate lives at least (certificates.k8s.io)."""
SHORT = 8 * 3600.0
"""Seconds: what lives longer ends as much earlier as it begins, so that its whole life is as long as was asked for."""


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One request."""
    csr = ctx.cache(CSR).get(key)
    if csr is None or csr.spec.signerName not in SIGNERS:
        return Done()
    failed = any(c.type == "Failed" for c in csr.status.conditions)
    if csr.status.certificate or failed or not approved(csr):
        return Done()
    authority = ctx.config.signing_authority(csr.spec.signerName)
    if authority is None:
        return Done()
    try:
        found = asked(csr)
    except Unfit as error:
        now = rfc3339(ctx.clock.now())
        made = certificates_v1.CertificateSigningRequestCondition(
            type="Failed", status="True", reason="SignerValidationFailure", message=str(error),
            lastUpdateTime=now, lastTransitionTime=now,
        )  # fmt: skip
        changed = replace(csr, status=replace(csr.status, conditions=(*csr.status.conditions, made)))
    else:
        pem = base64.b64encode(_sign(csr, found, authority, ctx)).decode()
        changed = replace(csr, status=replace(csr.status, certificate=pem))
    await ctx.api(CSR).patch(csr, changed, subresource="status", lock=True)
    return Done()


def _sign(csr: CSR, found: Asked, authority: Authority, ctx: Context) -> bytes:
    """What was asked for, signed: subject, names and usages. Raises PkiError when the authority's own time is over."""
    seconds = ctx.config.cluster_signing_duration
    if csr.spec.expirationSeconds is not None:
        seconds = min(seconds, max(SHORTEST, float(csr.spec.expirationSeconds)))
    lifetime, request, now = timedelta(seconds=seconds), found.request, ctx.clock.now()
    if now >= authority.certificate.not_valid_after_utc.timestamp():
        raise PkiError("refusing to sign a certificate that expired in the past")
    leaf = Leaf(
        request.user.name,
        request.user.groups,
        found.hosts,
        found.usages,
        lifetime if seconds < SHORT else lifetime - BACKDATE,
        found.key_usages,
        request.emails,
        request.uris,
    )
    return certificate_pem(sign(authority, leaf, request.key, now, subject=request.subject))


CONTROLLER = Controller(
    name="certificatesigningrequest-signing-controller",
    queue="certificate",
    account="certificate-controller",
    watches=(Watch(kind=CSR),),
    reconcile=reconcile,
    rules=(
        allow("get list watch", "certificatesigningrequests", "certificates.k8s.io"),
        allow("update patch", "certificatesigningrequests/status", "certificates.k8s.io"),
        allow("sign", "signers", "certificates.k8s.io"),
        allow("create", "subjectaccessreviews", "authorization.k8s.io"),
        EVENTS,
    ),
)
