"""Who may approve and sign for a signer. The approval subresource and admission ask it."""

from pybernetes.api.errors import forbidden
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.resource import Call

GROUP = "certificates.k8s.io"


def refuse_unless(call: Call, verb: str, signer: str) -> None:
    """The verb on `signers` by this name or by `domain/*`. Raises Forbidden."""
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        attributes = Attributes(call.user, verb, "", GROUP, "*", "signers", "", "", name)
        if call.registry.authorizer.authorize(attributes)[0] is Decision.ALLOW:
            return
    words = {"approve": "approve requests", "sign": "update"}[verb]
    why = f'user not permitted to {words} with signerName "{signer}"'
    raise forbidden(call.resource.group_resource, call.name, why)
