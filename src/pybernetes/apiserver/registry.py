"""Registry: reads and writes of any resource inside the server. handlers.py and the hooks of resources stand on it."""

from collections.abc import Callable, Mapping
from typing import Protocol

from pybernetes.aio.clock import Clock
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Resource


class Registry(Protocol):
    """What hooks, admission and subresources may do to the store, by resource and Key, on canonical dicts.

    Objects come with metadata.resourceVersion set and are fresh copies: the caller may change them.
    """

    clock: Clock
    resources: Mapping[GroupResource, Resource]

    async def get(self, resource: GroupResource, namespace: str, name: str) -> Object:
        """Raises NotFound."""

    async def list(self, resource: GroupResource, namespace: str = "") -> list[Object]:
        """All objects of a namespace (empty: of all), from the watch cache at a fresh revision."""

    async def create(self, resource: GroupResource, obj: Object) -> Object:
        """Stores a new object: canonical, defaulted, uid and times set; no admission. Raises AlreadyExists, Invalid."""

    async def update(
        self, resource: GroupResource, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object:
        """Read, `change`, compare-and-set, again on a lost race. `change` may raise, or return None for "leave it"."""

    async def delete(self, resource: GroupResource, namespace: str, name: str) -> Object:
        """Removes at once, whatever finalizers say not. Raises NotFound."""
