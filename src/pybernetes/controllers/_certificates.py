"""What a CertificateSigningRequest asks for, and whether a signer may give it. Approving and signing share it; pure."""

import base64
import binascii
from collections.abc import Sequence
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

_KEYS = frozenset({"digital signature", "key encipherment"})
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
    key_usages: tuple[str, ...]

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
    """Reads a request by the rules of its signer, in upstream's order and words. Raises Unfit."""
    try:
        request = parse_request(base64.b64decode(csr.spec.request))
    except (PkiError, binascii.Error) as error:
        raise Unfit(f"unable to parse csr {csr.metadata.name!r}: {error}") from error
    usages = frozenset(csr.spec.usages)
    keys = tuple(sorted(usages & _KEYS))
    match csr.spec.signerName:
        case "kubernetes.io/kube-apiserver-client-kubelet":
            _organization(request)
            _no_names("DNS", request.dns_names)
            _no_names("Email", request.emails)
            _no_names("IP", request.ip_addresses)
            _no_names("URI", request.uris)
            _common_name(request)
            _usages(usages, _CLIENT, "client auth")
            return Asked(request, ("client auth",), keys)
        case "kubernetes.io/kubelet-serving":
            _organization(request)
            if not request.dns_names and not request.ip_addresses:
                raise Unfit("DNS or IP subjectAltName is required")
            _no_names("Email", request.emails)
            _no_names("URI", request.uris)
            _usages(usages, _SERVER, "server auth")
            _common_name(request)
            return Asked(request, ("server auth",), keys)
        case "kubernetes.io/kube-apiserver-client":
            # Users' own requests: upstream asks them for `client auth` alone.
            for usage in csr.spec.usages:
                if usage not in _CLIENT:
                    raise Unfit(f"invalid usage for client certificate: {usage}")
            if "client auth" not in usages:
                raise Unfit("missing required usage for client certificate: client auth")
            return Asked(request, ("client auth",), keys)
    raise Unfit(f"no signer here is called {csr.spec.signerName}")


def _organization(request: SigningRequest) -> None:
    if request.user.groups != (NODES,):
        raise Unfit("subject organization is not system:nodes")


def _common_name(request: SigningRequest) -> None:
    if not request.user.name.startswith(NODE_PREFIX) or request.user.name == NODE_PREFIX:
        raise Unfit("subject common name does not begin with system:node:")


def _no_names(kind: str, names: Sequence[str]) -> None:
    if names:
        raise Unfit(f"{kind} subjectAltNames are not allowed")


def _usages(found: frozenset[str], allowed: frozenset[str], needed: str) -> None:
    if not {needed, "digital signature"} <= found <= allowed:
        raise Unfit(f"usages did not match [{' '.join(sorted(allowed))}]")
