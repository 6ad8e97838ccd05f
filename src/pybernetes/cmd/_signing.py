"""The authorities that sign CertificateSigningRequests, from files that may be renewed while the controllers run.

Flags as kube-controller-manager's: one pair for all signers, or one pair for each (--cluster-signing-*-file).
"""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pybernetes.cmd._daemon import StartError
from pybernetes.wire.pki.certificates import Authority, parse_authority
from pybernetes.wire.pki.keys import PkiError

log = logging.getLogger(__name__)

SIGNERS = ("kubelet-serving", "kubelet-client", "kube-apiserver-client")
"""Signers as the flags call them."""
_NAMES = {
    "kubelet-serving": "kubernetes.io/kubelet-serving",
    "kubelet-client": "kubernetes.io/kube-apiserver-client-kubelet",
    "kube-apiserver-client": "kubernetes.io/kube-apiserver-client",
}


@dataclass(slots=True)
class AuthorityFiles:
    """An authority in two PEM files, read anew when one of them changes."""

    certificate: Path
    key: Path
    _stamp: tuple[tuple[int, int], ...] = ()
    _found: Authority | None = field(default=None, repr=False)

    def load(self) -> Authority:
        """The authority as it is in the files. Raises StartError."""
        try:
            self._stamp = self._stamps()
            self._found = parse_authority(self.certificate.read_bytes(), self.key.read_bytes())
        except OSError as error:
            raise StartError(f"cannot read {error.filename}: {error.strerror}") from None
        except PkiError as error:
            raise StartError(f"cannot sign with {self.certificate}: {error}") from None
        return self._found

    def current(self) -> Authority | None:
        """As `load`; files that are gone or half written leave the last good one, and a warning."""
        try:
            if self._stamps() != self._stamp:
                return self.load()
        except (OSError, StartError) as error:
            log.warning("the signing authority stays as it was: %s", error)
        return self._found

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        return tuple((found.st_mtime_ns, found.st_ino) for found in (self.certificate.stat(), self.key.stat()))


class SigningFiles:
    """Which authority signs for a signer. Call it with the signer's name."""

    def __init__(self, default: AuthorityFiles | None, of_signer: Mapping[str, AuthorityFiles]) -> None:
        self._default = default
        self._of_signer = of_signer

    def __call__(self, signer: str) -> Authority | None:
        """The authority as it is now; None where nobody signs here."""
        files = self._of_signer.get(signer, self._default)
        return files.current() if files else None


def add_flags(parser: argparse._ActionsContainer) -> None:
    """--cluster-signing-cert-file, --cluster-signing-key-file and those of each signer."""
    add = parser.add_argument
    add(
        "--cluster-signing-cert-file", type=Path, help="the authority that signs requests, PEM; read anew if it changes"
    )
    add("--cluster-signing-key-file", type=Path, help="its key, PEM")
    for name in SIGNERS:
        add(f"--cluster-signing-{name}-cert-file", type=Path, help=f"the same for {_NAMES[name]} alone")
        add(f"--cluster-signing-{name}-key-file", type=Path, help="its key, PEM")


def signing_files(options: argparse.Namespace) -> SigningFiles:
    """The files that the flags name, read once. Raises StartError."""
    default = _pair(options, "cluster-signing")
    of_signer = {_NAMES[name]: pair for name in SIGNERS if (pair := _pair(options, f"cluster-signing-{name}"))}
    if default and of_signer:
        raise StartError("cannot specify default and per controller certs at the same time: --cluster-signing-*-file")
    return SigningFiles(default, of_signer)


def _pair(options: argparse.Namespace, prefix: str) -> AuthorityFiles | None:
    certificate, key = (getattr(options, f"{prefix}-{part}-file".replace("-", "_")) for part in ("cert", "key"))
    if bool(certificate) != bool(key):
        raise StartError(f"--{prefix}-cert-file and --{prefix}-key-file go together")
    if not certificate:
        return None
    files = AuthorityFiles(certificate, key)
    files.load()
    return files
