"""What Pods refer to: ConfigMaps, Secrets, Services, tokens, claims. Environments (environment.py) and volumes read it.

What a volume reads is followed from then on (followed.py), so that the volume is written anew soon after a change.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from pybernetes.api.errors import not_found
from pybernetes.api.objects import GroupResource, Key
from pybernetes.api.types import authentication_v1 as authn
from pybernetes.api.types import certificates_v1, core_v1, node_v1
from pybernetes.client.informer import Informer, Informers
from pybernetes.client.rest import Client
from pybernetes.kubelet.followed import Followed
from pybernetes.kubelet.pod_certificates import Credentials, PodCertificates

_PATIENCE = 10.0
"""Seconds to wait for the first list of all trust bundles."""


class Token(Struct, frozen=True):
    """A ServiceAccount token and when it ends, RFC 3339."""

    token: str
    expires: str


class Sources(Protocol):
    """Reads of the API on behalf of one Pod. Raises api.errors (NotFound above all) and OSError."""

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap: ...
    async def secret(self, namespace: str, name: str) -> core_v1.Secret: ...
    async def token(self, pod: core_v1.Pod, audience: str, seconds: int) -> Token: ...
    def services(self) -> Iterable[core_v1.Service]: ...
    def runtime_class(self, name: str) -> node_v1.RuntimeClass: ...


class VolumeSources(Sources, Protocol):
    """What volumes read beside it."""

    async def trust_bundles(self) -> Iterable[certificates_v1.ClusterTrustBundle]: ...
    async def certificate(
        self, pod: core_v1.Pod, source: core_v1.PodCertificateProjection, place: str
    ) -> Credentials: ...
    async def claim(self, namespace: str, name: str) -> core_v1.PersistentVolumeClaim: ...
    async def persistent_volume(self, name: str) -> core_v1.PersistentVolume: ...
    async def node(self) -> core_v1.Node: ...


class PodSources(Protocol):
    """Sources that remember who reads: the Pod is told of changes until it is forgotten."""

    def of(self, uid: str) -> VolumeSources: ...
    def forget(self, uid: str) -> None: ...


class ApiSources:
    """Sources of a cluster. ConfigMaps and Secrets are read one by one: a node may get what its Pods name, not list.

    `changed(uid)` is told when something has changed that a volume of that Pod has read.
    """

    def __init__(self, client: Client, informers: Informers, node_name: str, changed: Callable[[str], None]) -> None:
        self._client = client
        self._informers = informers
        self._node_name = node_name
        self._changed = changed
        self._followed = Followed(client, changed)
        self._services = informers.of(core_v1.Service)
        self._classes = informers.of(node_v1.RuntimeClass)
        self._bundles: Informer[certificates_v1.ClusterTrustBundle] | None = None
        self._bundle_users: set[str] = set()
        self._certificates = PodCertificates(client, informers, node_name, changed)
        self.certificate = self._certificates.get

    def of(self, uid: str) -> VolumeSources:
        """The sources as the volumes of one Pod read them."""
        return _PodView(self, uid)

    def forget(self, uid: str) -> None:
        """That Pod needs to hear of nothing any more."""
        self._followed.forget(uid)
        self._bundle_users.discard(uid)
        self._certificates.forget(uid)

    def sweep(self) -> None:
        """Follows no longer what nobody has used since the last sweep. Now and then."""
        self._followed.sweep()

    async def run(self) -> None:
        """Follows until cancelled."""
        await self._followed.run()

    async def config_map(self, namespace: str, name: str, uid: str = "") -> core_v1.ConfigMap:
        return await self._followed.read(core_v1.ConfigMap, Key(namespace, name), uid)

    async def secret(self, namespace: str, name: str, uid: str = "") -> core_v1.Secret:
        return await self._followed.read(core_v1.Secret, Key(namespace, name), uid)

    async def token(self, pod: core_v1.Pod, audience: str, seconds: int) -> Token:
        """A token bound to the Pod (TokenRequest): it dies with it."""
        bound = authn.BoundObjectReference(
            kind="Pod", apiVersion="v1", name=pod.metadata.name, uid=pod.metadata.uid
        )  # fmt: skip
        asked = authn.TokenRequest(
            spec=authn.TokenRequestSpec(
                audiences=(audience,) if audience else (), expirationSeconds=seconds, boundObjectRef=bound
            )
        )
        accounts = self._client.of(core_v1.ServiceAccount)
        account = pod.spec.serviceAccountName or "default"
        given = await accounts.create_subresource(Key(pod.metadata.namespace, account), "token", asked)
        return Token(given.status.token, given.status.expirationTimestamp or "")

    def services(self) -> Iterable[core_v1.Service]:
        return self._services.cache

    def runtime_class(self, name: str) -> node_v1.RuntimeClass:
        found = self._classes.cache.get(Key("", name))
        if found is None:
            raise not_found(GroupResource("node.k8s.io", "runtimeclass"), name)
        return found

    async def trust_bundles(self, uid: str = "") -> Iterable[certificates_v1.ClusterTrustBundle]:
        """All of the cluster: they are followed as a whole from the first Pod on that wants some. Raises TimeoutError."""
        self._bundle_users.add(uid)
        if self._bundles is None:
            self._bundles = self._informers.of(certificates_v1.ClusterTrustBundle)
            self._bundles.on_change(self._bundle_changed)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._bundles.synced.wait()
        except TimeoutError:
            raise TimeoutError("ClusterTrustBundles cannot be listed now") from None
        return self._bundles.cache

    def _bundle_changed(self, old: object, new: object) -> None:
        for uid in self._bundle_users:
            self._changed(uid)

    async def claim(self, namespace: str, name: str) -> core_v1.PersistentVolumeClaim:
        return await self._client.of(core_v1.PersistentVolumeClaim).get(Key(namespace, name))

    async def persistent_volume(self, name: str) -> core_v1.PersistentVolume:
        return await self._client.of(core_v1.PersistentVolume).get(name)

    async def node(self) -> core_v1.Node:
        """This node as the API has it."""
        return await self._client.of(core_v1.Node).get(self._node_name)


class _PodView:
    """ApiSources in the name of one Pod."""

    def __init__(self, sources: ApiSources, uid: str) -> None:
        self._uid = uid
        self._sources = sources
        self.token = sources.token
        self.services = sources.services
        self.runtime_class = sources.runtime_class
        self.certificate = sources.certificate
        self.claim = sources.claim
        self.persistent_volume = sources.persistent_volume
        self.node = sources.node

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap:
        return await self._sources.config_map(namespace, name, self._uid)

    async def secret(self, namespace: str, name: str) -> core_v1.Secret:
        return await self._sources.secret(namespace, name, self._uid)

    async def trust_bundles(self) -> Iterable[certificates_v1.ClusterTrustBundle]:
        return await self._sources.trust_bundles(self._uid)
