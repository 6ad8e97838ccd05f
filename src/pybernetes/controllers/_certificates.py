"""What a CertificateSigningRequest asks for, and whether a signer may give it. Approving and signing share it; pure."""

import base64
import binascii
from dataclasses import dataclass

from pybernetes.api.types import certificates_v1
from pybernetes.wire.pki.certificates import SigningRequest, parse_request
from pybernetes.wire.pki.keys import PkiError

CSR = certificates_v1.CertificateSigningRequest

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
API_CLIENT = "kubernetes.io/kube-apiserver-client"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"

_CLIENT = frozenset({"digital signature", "key encipherment", "client auth"})
_SERVER = frozenset({"digital signature", "key encipherment", "server auth"})


class Unfit(ValueError):
    """The request is not one that the signer signs; the text says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that its signer may sign."""

    request: SigningRequest
    usages: tuple[str, ...]
    """Extended ones."""

    @property
    def node(self) -> str:
        """The node that it is for."""
        return self.request.user.name.removeprefix(NODE_PREFIX)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names and addresses."""
        return (*self.request.dns_names, *self.request.ip_addresses)


def approved(csr: CSR) -> bool:
    """Approved and not denied."""
    kinds = {c.type for c in csr.status.conditions}
    return "Approved" in kinds and "Denied" not in kinds


def decided(csr: CSR) -> bool:
    """Approved, denied or failed."""
    return any(c.type in ("Approved", "Denied", "Failed") for c in csr.status.conditions)


def asked(csr: CSR) -> Asked:
    """Reads a request by the rules of its signer. Raises Unfit."""
    try:
        request = parse_request(base64.b64decode(csr.spec.request))
    except (PkiError, binascii.Error) as error:
        raise Unfit(f"unable to parse csr {csr.metadata.name!r}: {error}") from error
    usages = frozenset(csr.spec.usages)
    match csr.spec.signerName:
        case "kubernetes.io/kube-apiserver-client-kubelet":
            _node_names(request)
            if request.dns_names or request.ip_addresses or request.other_names:
                raise Unfit("subjectAltNames are not allowed")
            _usages(usages, _CLIENT, "client auth")
            return Asked(request, ("client auth",))
        case "kubernetes.io/kubelet-serving":
            _node_names(request)
            if request.other_names:
                raise Unfit("only DNS and IP subjectAltNames are allowed")
            if not request.dns_names and not request.ip_addresses:
                raise Unfit("DNS or IP subjectAltName is required")
            _usages(usages, _SERVER, "server auth")
            return Asked(request, ("server auth",))
        case "kubernetes.io/kube-apiserver-client":
            # Users' own requests: upstream asks them for `client auth` alone.
            if not {"client auth"} <= usages <= _CLIENT:
                raise Unfit("usages did not match expected values")
            return Asked(request, ("client auth",))
    raise Unfit(f"no signer here is called {csr.spec.signerName}")


def _node_names(request: SigningRequest) -> None:
    if request.user.groups != (NODES,):
        raise Unfit("subject organization is not system:nodes")
    if not request.user.name.startswith(NODE_PREFIX) or request.user.name == NODE_PREFIX:
        raise Unfit("subject common name does not begin with system:node:")


def _usages(found: frozenset[str], allowed: frozenset[str], needed: str) -> None:
    if not {needed, "digital signature"} <= found <= allowed:
        raise Unfit("usages did not match expected values")
