"""What control planes of one cluster have in common on disk, and the Secret `kubeadm-certs` that carries it between them.

Each file is sealed with the certificate key (AES-256-GCM, the nonce before it), as upstream's kubeadm does, so that the
Secret alone is worth nothing. It belongs to the Secret of a token that lives two hours, and goes with it.
"""

import base64
import os
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pybernetes.api.objects import Object
from pybernetes.kubeadm.config import CERTIFICATE_KEY_BYTES, PKI, ExternalEtcd, Paths
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.wire.pki import certificates, keys
from pybernetes.wire.pki.files import write_private, write_public

SECRET = "kubeadm-certs"
NAMESPACE = "kube-system"
TTL_SECONDS = 2 * 3600.0
_NONCE_BYTES = 12


def new_key() -> str:
    """A certificate key, hexadecimal."""
    return secrets.token_hex(CERTIFICATE_KEY_BYTES)


def files(etcd: ExternalEtcd | None) -> dict[str, str]:
    """Keys in the Secret -> paths on the machine."""
    names = ("ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.pub", "sa.key")
    shared = {name: f"{PKI}/{name}" for name in names}
    if etcd is not None:
        shared |= {
            "external-etcd-ca.crt": etcd.ca_file,
            "external-etcd.crt": etcd.cert_file,
            "external-etcd.key": etcd.key_file,
        }
    return {name: path for name, path in shared.items() if path}


def sealed(paths: Paths, shared: Mapping[str, str], key: str, owner: Object) -> Object:
    """The Secret with the files of this machine; `owner` is the token's Secret. Raises OSError."""
    cipher = AESGCM(bytes.fromhex(key))
    data = {}
    for name, path in shared.items():
        nonce = os.urandom(_NONCE_BYTES)
        data[name] = base64.b64encode(nonce + cipher.encrypt(nonce, paths.at(path).read_bytes(), None)).decode()
    reference = {
        "apiVersion": "v1",
        "kind": "Secret",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE, "ownerReferences": [reference]},
        "type": "Opaque",
        "data": data,
    }


def unseal(paths: Paths, shared: Mapping[str, str], key: str, secret: Object) -> None:
    """Writes the files out of the Secret; none of them if one is missing or the key is wrong. Raises KubeadmError, OSError."""
    cipher, data = AESGCM(bytes.fromhex(key)), secret.get("data") or {}
    opened = {}
    for name, path in shared.items():
        if not data.get(name):
            raise KubeadmError(
                f"the Secret does not include the required certificate or key - name: {name}, path: {path}"
            )
        raw = base64.b64decode(data[name])
        try:
            opened[name] = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError) as error:
            raise KubeadmError(
                "error decoding secret data with provided key: is --certificate-key the one that was printed last?"
            ) from error
    for name, path in shared.items():
        write = write_private if name.endswith(".key") else write_public
        write(paths.at(path), opened[name])


def faults(paths: Paths, shared: Mapping[str, str]) -> list[str]:
    """What is missing or does not fit among the files, if they are to be on this machine already."""
    found = [f"{path}: the file does not exist" for path in shared.values() if not paths.at(path).is_file()]
    if found:
        return found
    pki = paths.at(PKI)
    for name in ("ca", "front-proxy-ca"):
        try:
            certificates.parse_authority((pki / f"{name}.crt").read_bytes(), (pki / f"{name}.key").read_bytes())
        except keys.PkiError as error:
            found.append(f"{PKI}/{name}.crt: {error}")
    return found
