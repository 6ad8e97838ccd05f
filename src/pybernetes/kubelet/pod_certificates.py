"""Certificates of Pods (projected podCertificate): a key, a PodCertificateRequest, and what its signer answers.

Keys are never on a disk: they are in memory here and in the volume's tmpfs. A kubelet that starts anew asks for new
ones, and the files stay as they are until they come. See KEP-4317. volumes/projected.py writes the files.
"""

import asyncio
import base64
import logging
from collections.abc import Callable

from msgspec import Struct

from pybernetes.aio.clock import Clock, seconds_of
from pybernetes.api.objects import Key
from pybernetes.api.types import certificates_v1, core_v1, meta_v1
from pybernetes.client.informer import Informer, Informers
from pybernetes.client.rest import Client
from pybernetes.wire.pki.podkeys import empty_request, new_pod_key, pkcs8_pem

log = logging.getLogger(__name__)

_AGAIN = 600.0
"""Seconds after which a signer that has said no is asked again."""


class NotIssued(ValueError):
    """There is no certificate yet, or none will come; the message says which."""


class Credentials(Struct, frozen=True):
    """A private key and the chain that goes with it, both PEM."""

    key: bytes
    chain: bytes


class _Asked(Struct, frozen=True):
    """A request that is under way."""

    name: str
    key: bytes
    at: float


class _One:
    """The certificate of one source of one volume."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.current: Credentials | None = None
        self.renew_at = 0.0
        self.ends = 0.0
        self.asked: _Asked | None = None
        self.refused = ""


class PodCertificates:
    """Those of one node's Pods. `changed(uid)` is told when a signer has answered."""

    def __init__(self, client: Client, informers: Informers, node_name: str, changed: Callable[[str], None]) -> None:
        self._client = client
        self._informers = informers
        self._node_name = node_name
        self._changed = changed
        self._clock: Clock = client.clock
        self._known: dict[tuple[str, str], _One] = {}
        self._requests: Informer[certificates_v1.PodCertificateRequest] | None = None

    async def get(self, pod: core_v1.Pod, source: core_v1.PodCertificateProjection, place: str) -> Credentials:
        """What is issued for a source, named by its place in the Pod; asks for it, and anew when it is due.

        Raises NotIssued, ApiError, OSError, ValueError.
        """
        await self._follow()
        one = self._known.setdefault((pod.metadata.uid, place), _One())
        async with one.lock:
            self._take(one, pod.metadata.namespace)
            now = self._clock.now()
            free = one.asked is None or (one.refused and now >= one.asked.at + _AGAIN)
            if free and (one.current is None or now >= one.renew_at):
                one.refused = ""
                one.asked = await self._ask(pod, source)
        if one.current is not None and now < one.ends:
            return one.current
        raise NotIssued(one.refused or f'the signer "{source.signerName}" has not issued the certificate yet')

    def forget(self, uid: str) -> None:
        """That Pod is gone."""
        for key in [key for key in self._known if key[0] == uid]:
            del self._known[key]

    async def _follow(self) -> None:
        if self._requests is None:
            fields = f"spec.nodeName={self._node_name}"
            self._requests = self._informers.of(certificates_v1.PodCertificateRequest, fields=fields)
            self._requests.on_change(self._answered)
        try:
            async with asyncio.timeout(10):
                await self._requests.synced.wait()
        except TimeoutError:
            raise TimeoutError("PodCertificateRequests cannot be listed now") from None

    def _answered(
        self, old: certificates_v1.PodCertificateRequest | None, new: certificates_v1.PodCertificateRequest | None
    ) -> None:
        found = new or old
        if found is not None and (new is None or new.status.conditions):
            self._changed(found.spec.podUID)

    def _take(self, one: _One, namespace: str) -> None:
        """Looks whether the request under way is answered, or gone."""
        asked = one.asked
        if asked is None or self._requests is None:
            return
        found = self._requests.cache.get(Key(namespace, asked.name))
        if found is None:
            if self._clock.now() > asked.at + _AGAIN:
                one.asked = None  # cleaned away, unanswered
            return
        for condition in found.status.conditions:
            if condition.type == "Issued":
                one.current = Credentials(asked.key, found.status.certificateChain.encode())
                one.renew_at = seconds_of(found.status.beginRefreshAt or "")
                one.ends = seconds_of(found.status.notAfter or "")
                one.asked = None
            elif not one.refused:
                log.warning("no certificate request=%s/%s reason=%s", namespace, found.metadata.name, condition.reason)
                verdict = condition.type.lower()
                one.refused = (
                    f"PodCertificateRequest {found.metadata.name} was {verdict}, reason={condition.reason!r},"
                    f" message={condition.message!r}"
                )

    async def _ask(self, pod: core_v1.Pod, source: core_v1.PodCertificateProjection) -> _Asked:
        namespace, account = pod.metadata.namespace, pod.spec.serviceAccountName or "default"
        key = await asyncio.to_thread(new_pod_key, source.keyType)
        node = await self._client.of(core_v1.Node).get(self._node_name)
        owner = await self._client.of(core_v1.ServiceAccount).get(Key(namespace, account))
        reference = meta_v1.OwnerReference(
            apiVersion="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid, controller=True
        )  # fmt: skip
        made = await self._client.of(certificates_v1.PodCertificateRequest).create(
            certificates_v1.PodCertificateRequest(
                metadata=meta_v1.ObjectMeta(
                    generateName=f"req-{pod.metadata.name}-"[:50], namespace=namespace, ownerReferences=(reference,)
                ),
                spec=certificates_v1.PodCertificateRequestSpec(
                    signerName=source.signerName,
                    podName=pod.metadata.name,
                    podUID=pod.metadata.uid,
                    serviceAccountName=account,
                    serviceAccountUID=owner.metadata.uid,
                    nodeName=node.metadata.name,
                    nodeUID=node.metadata.uid,
                    maxExpirationSeconds=source.maxExpirationSeconds,
                    stubPKCS10Request=base64.b64encode(empty_request(key)).decode(),
                    unverifiedUserAnnotations=source.userAnnotations,
                ),
            )
        )
        return _Asked(made.metadata.name, pkcs8_pem(key), self._clock.now())
