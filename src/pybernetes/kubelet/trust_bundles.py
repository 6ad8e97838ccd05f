"""Which certificates of ClusterTrustBundles a Pod sees in one file. volumes/projected.py writes it."""

import base64
import binascii
from collections.abc import Iterable

from pybernetes.api.selectors import of_label_selector
from pybernetes.api.types import certificates_v1, core_v1

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_LINE = 64


def anchors(
    asked: core_v1.ClusterTrustBundleProjection, bundles: Iterable[certificates_v1.ClusterTrustBundle]
) -> bytes:
    """The certificates in PEM, each once, in a settled order. Raises ValueError where there must be some and are none."""
    if asked.name is not None:
        chosen = [b for b in bundles if b.metadata.name == asked.name]
        missing = f'clustertrustbundles.certificates.k8s.io "{asked.name}" not found'
    elif asked.signerName is not None:
        # No selector selects nothing, an empty one all: as everywhere in the API.
        selector = None if asked.labelSelector is None else of_label_selector(asked.labelSelector)
        signed = [b for b in bundles if b.spec.signerName == asked.signerName]
        chosen = [b for b in signed if selector is not None and selector.matches(b.metadata.labels)]
        missing = "combination of signerName and labelSelector matched zero ClusterTrustBundles"
    else:
        raise ValueError("ClusterTrustBundle projection requires either name or signerName to be set")
    if not chosen and not asked.optional:
        raise ValueError(missing)
    found = {block for bundle in chosen for block in _certificates(bundle.spec.trustBundle)}
    return b"".join(sorted(found))


def _certificates(text: str) -> Iterable[bytes]:
    """The certificates of a PEM text without headers and comments. Raises ValueError for what is none."""
    for part in text.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        lines = [line.strip() for line in body.splitlines() if ":" not in line]
        try:
            der = base64.b64decode("".join(lines), validate=True)
        except binascii.Error:
            der = b""
        if not end or not der:
            raise ValueError("a ClusterTrustBundle holds what is no certificate in PEM")
        coded = base64.b64encode(der).decode()
        wrapped = "\n".join(coded[at : at + _LINE] for at in range(0, len(coded), _LINE))
        yield f"{_BEGIN}\n{wrapped}\n{_END}\n".encode()
