"""Registry: reads and writes of any resource inside the server. handlers.py and the hooks of resources stand on it."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from pybernetes.aio.clock import Clock
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.extension import Authorizer, Reviewer, RuleResolver
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.service_addresses import ServiceAddresses
from pybernetes.wire.http import Transport

Listener: TypeAlias = Callable[[Literal["ADDED", "MODIFIED", "DELETED"], Object], None]
"""Told of changes. The object is shared: it must not be changed. DELETED comes with the last state."""


class TokenSigner(Protocol):
    """Signs ServiceAccount tokens with the server's key (RS256)."""

    issuer: str
    audiences: tuple[str, ...]
    """What a token without audiences of its own is for (--api-audiences)."""

    def sign(self, claims: Object) -> str:
        """A compact JWT of these claims, key id in its header."""


class KubeletDialer(Protocol):
    """How the server reaches kubelets (connect.py)."""

    def transport(self, node: Object) -> Transport:
        """To the kubelet of a Node. Raises ServiceUnavailable where it cannot be reached."""

    def backend(self, url: str) -> Transport:
        """To `scheme://address:port` of a Pod or node, for one request: proxying."""


class Registry(Protocol):
    """What hooks, admission and subresources may do to the store, by resource and Key, on canonical dicts.

    Objects come with metadata.resourceVersion set and are fresh copies: the caller may change them.
    """

    clock: Clock
    resources: Mapping[GroupResource, Resource]
    service_addresses: ServiceAddresses
    """Which ClusterIPs and node ports are taken."""
    authenticator: Reviewer
    """All authenticators as one: TokenReview."""
    authorizer: Authorizer
    """All authorizers as one: access reviews, checks beside the request's own."""
    rules: RuleResolver
    token_signer: TokenSigner | None
    """None where no signing key was given: TokenRequests are refused."""

    kubelets: KubeletDialer
    """Logs, exec, attach and port-forward go through it."""

    async def get(self, resource: GroupResource, namespace: str, name: str) -> Object:
        """Raises NotFound."""

    def look(self, resource: GroupResource, namespace: str, name: str) -> Object | None:
        """What the watch cache has now, which counts every write that this server acknowledged; None: nothing."""

    async def list(self, resource: GroupResource, namespace: str = "") -> list[Object]:
        """All objects of a namespace (empty: of all), from the watch cache at a fresh revision."""

    async def create(self, resource: GroupResource, obj: Object, *, standard: bool = False) -> Object:
        """Stores a new object: canonical, defaulted, uid and times set; no admission. Raises AlreadyExists, Invalid.

        `standard` says that every server makes the same: what it becomes is worked out once in a process.
        """

    async def update(
        self, resource: GroupResource, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object:
        """Read, `change`, compare-and-set, again on a lost race. `change` may raise, or return None for "leave it"."""

    async def delete(self, resource: GroupResource, namespace: str, name: str) -> Object:
        """Removes at once, whatever finalizers say not. Raises NotFound."""

    def subscribe(self, resource: GroupResource, listener: Listener, *, glance: bool = False) -> None:
        """From now on `listener` knows the resource: first ADDED of each object there, then every change in order.

        `glance`: of a resource that has a Resource.glance it may be told no more of an object than that.

        It is called synchronously when the watch cache takes a write in, before that write is answered: a decision
        made from what it gathered counts every acknowledged write (RBAC, Node authorizer, service addresses).
        """
