"""Discovery: how a machine comes to trust a cluster of which it knows an address, a token and a hash of the CA's key.

cluster-info is first read without trust. Two proofs are asked of it: the token's signature, and that its CA has the
pinned key; then it is read again over TLS checked with that CA, and must be the same.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence

import yaml
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError
from pybernetes.client import kubeconfig
from pybernetes.kubeadm.cluster import Cluster, wait_for
from pybernetes.kubeadm.config import JoinConfig
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.kubeadm.tokens import SIGNATURE_PREFIX, Token, verify
from pybernetes.wire.pki import certificates
from pybernetes.wire.pki.keys import PkiError

NAMESPACE = "kube-public"
NAME = "cluster-info"
KEY = "kubeconfig"


class Discovered(Struct, frozen=True, kw_only=True):
    """A cluster that has proved itself."""

    server: str
    """URL of its API server."""
    ca: bytes
    """Its certificate authority, PEM."""


class DiscoveryFailedError(KubeadmError):
    """The API server cannot be reached, or cannot be trusted."""


async def discover(config: JoinConfig, clock: Clock) -> Discovered:
    """Raises DiscoveryFailedError."""
    try:
        return await _discover(config, clock)
    except DiscoveryFailedError as error:
        raise DiscoveryFailedError(f"couldn't validate the identity of the API Server: {error}") from error


async def _discover(config: JoinConfig, clock: Clock) -> Discovered:
    url = f"https://{config.endpoint}"
    blind = kubeconfig.Cluster(server=url, insecure_skip_tls_verify=True)
    content = await _proven(config, blind, clock)
    found = cluster_of(content)
    if not config.ca_hashes:
        return found
    check_pins(found.ca, config.ca_hashes)
    trusting = kubeconfig.Cluster(server=url, certificate_authority_data=kubeconfig.encoded(found.ca))
    if await _proven(config, trusting, clock) != content:
        raise DiscoveryFailedError(
            "the second kubeconfig from the cluster-info ConfigMap (using validated TLS) was different from the first"
        )
    return found


async def _proven(config: JoinConfig, server: kubeconfig.Cluster, clock: Clock) -> str:
    """The content of cluster-info once it carries the token's signature."""
    cluster = Cluster.of(kubeconfig.new("kubernetes", server, "", kubeconfig.User()), clock)
    try:
        data = await wait_for(clock, config.discovery_timeout, lambda: cluster.config_map(NAMESPACE, NAME))
        signed = f"{SIGNATURE_PREFIX}{config.token.id}"
        if data is not None and signed not in data:

            async def look_again() -> dict[str, str] | None:
                found = await cluster.config_map(NAMESPACE, NAME)
                return found if signed in found else None

            data = await wait_for(clock, config.signature_timeout, look_again) or data
    except (ApiError, OSError) as error:
        raise DiscoveryFailedError(f"failed to request the cluster-info ConfigMap: {error}") from error
    finally:
        await cluster.aclose()
    return check_signature(data or {}, config.token)


def check_signature(data: Mapping[str, str], token: Token) -> str:
    """The kubeconfig in cluster-info. Raises DiscoveryFailedError unless the token signed it."""
    content = data.get(KEY)
    if not content:
        raise DiscoveryFailedError(
            "there is no kubeconfig key in the cluster-info ConfigMap. This API Server isn't set up for token "
            "bootstrapping, can't connect"
        )
    detached = data.get(f"{SIGNATURE_PREFIX}{token.id}")
    if not detached:
        raise DiscoveryFailedError(
            f'token id "{token.id}" is invalid for this cluster or it has expired. Use "kubeadm token create" on the '
            "control-plane node to create a new valid token"
        )
    if not verify(token, content, detached):
        raise DiscoveryFailedError(
            "failed to verify JWS signature of received cluster info object, can't trust this API Server "
            "(is the secret half of the token right?)"
        )
    return content


def cluster_of(content: str) -> Discovered:
    """The one cluster in a kubeconfig. Raises DiscoveryFailedError."""
    try:
        cluster = yaml.safe_load(content)["clusters"][0]["cluster"]
        found = Discovered(
            server=str(cluster["server"]), ca=base64.b64decode(cluster["certificate-authority-data"], validate=True)
        )
        certificates.parse_certificate(found.ca)
    except (yaml.YAMLError, KeyError, IndexError, TypeError, binascii.Error, PkiError) as error:
        raise DiscoveryFailedError(f"malformed kubeconfig in the cluster-info ConfigMap: {error!r}") from error
    return found


def check_pins(ca: bytes, pins: Sequence[str]) -> None:
    """Raises DiscoveryFailedError unless the authority's key has one of the hashes."""
    seen = certificates.public_key_hash(certificates.parse_certificate(ca))
    if seen not in {pin.lower() for pin in pins}:
        raise DiscoveryFailedError(
            f'cluster CA found in cluster-info ConfigMap is invalid: none of the public keys "{seen}" are pinned'
        )
