"""What Pods refer to: ConfigMaps, Secrets, Services, tokens. Environments (environment.py) and volumes read it."""

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from pybernetes.api.errors import not_found
from pybernetes.api.objects import GroupResource, Key
from pybernetes.api.types import authentication_v1 as authn
from pybernetes.api.types import core_v1, node_v1
from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client


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


class ApiSources:
    """Sources of a cluster. ConfigMaps and Secrets are read when needed: a node may get what its Pods name, not list."""

    def __init__(
        self, client: Client, services: Informer[core_v1.Service], classes: Informer[node_v1.RuntimeClass]
    ) -> None:
        self._config_maps = client.of(core_v1.ConfigMap)
        self._secrets = client.of(core_v1.Secret)
        self._accounts = client.of(core_v1.ServiceAccount)
        self._services = services
        self._classes = classes

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap:
        return await self._config_maps.get(Key(namespace, name))

    async def secret(self, namespace: str, name: str) -> core_v1.Secret:
        return await self._secrets.get(Key(namespace, name))

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
        account = pod.spec.serviceAccountName or "default"
        given = await self._accounts.create_subresource(Key(pod.metadata.namespace, account), "token", asked)
        return Token(given.status.token, given.status.expirationTimestamp or "")

    def services(self) -> Iterable[core_v1.Service]:
        return self._services.cache

    def runtime_class(self, name: str) -> node_v1.RuntimeClass:
        found = self._classes.cache.get(Key("", name))
        if found is None:
            raise not_found(GroupResource("node.k8s.io", "runtimeclass"), name)
        return found
