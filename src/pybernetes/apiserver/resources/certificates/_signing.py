"""Who may approve, sign and attest for a signer. The kinds of this group and admission ask it."""

from pybernetes.api.errors import forbidden
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.resource import Call

GROUP = "certificates.k8s.io"
_WORDS = {"approve": "approve requests with", "sign": "sign requests with", "attest": "attest for"}


def may(call: Call, verb: str, signer: str) -> bool:
    """Whether the caller has the verb on `signers` by this name or by `domain/*`."""
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        attributes = Attributes(call.user, verb, "", GROUP, "*", "signers", "", "", name)
        if call.registry.authorizer.authorize(attributes)[0] is Decision.ALLOW:
            return True
    return False


def refuse_unless(call: Call, verb: str, signer: str) -> None:
    """Raises Forbidden unless the caller `may`."""
    if not may(call, verb, signer):
        why = f'user not permitted to {_WORDS[verb]} signerName "{signer}"'
        raise forbidden(call.resource.group_resource, call.name, why)
