"""Which objects lead to which Node: what the Node authorizer knows. Kept from the watch cache (Registry.subscribe).

What a Pod refers to leads to its Node at once, so that a Secret of a thousand Pods is one step from it. Volumes lead
there by their claims.
"""

from collections.abc import Callable, Iterator, Sequence
from sys import intern
from typing import Literal

from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.authz._references import Thing, of_pod, secrets_of_volume
from pybernetes.apiserver.registry import Registry

Change = Literal["ADDED", "MODIFIED", "DELETED"]
Edges = Iterator[tuple[Thing, Thing]]


class Graph:
    """Edges between things; each is owned by the object that says so and goes with it.

    There are as many as Pods and what they refer to, so that they are kept small: each source once, and an object's own
    edges (most lead from a Pod to its Node) only with the object.
    """

    def __init__(self) -> None:
        self._targets: dict[Thing, dict[Thing, int]] = {}
        """Where edges lead that are not of the object that says so, and how many objects say it."""
        self._owned: dict[Thing, tuple[Thing, ...]] = {}
        """The edges of an object, source and target in turn."""
        self._sources: dict[Thing, Thing] = {}
        """The keys of `_targets`, to be shared by the edges of many objects."""

    def follow(self, registry: Registry) -> None:
        """Subscribes to what is served."""
        for resource, edges in _SOURCES.items():
            if resource in registry.resources:
                registry.subscribe(resource, self._listener(resource.resource, edges), glance=True)

    def leads(self, plural: str, namespace: str, name: str, node: str) -> bool:
        """Whether there is a way from an object to the Node."""
        goal = ("nodes", "", node)
        todo, seen = [(plural, namespace, name)], set[Thing]()
        while todo:
            thing = todo.pop()
            if thing in seen:
                continue
            targets = [*self._targets.get(thing, ()), *self._own(thing)]
            if goal in targets:
                return True
            seen.add(thing)
            todo += targets
        return False

    def _own(self, thing: Thing) -> Iterator[Thing]:
        edges = self._owned.get(thing, ())
        return (target for source, target in zip(edges[::2], edges[1::2], strict=True) if source == thing)

    def _listener(self, plural: str, edges: Callable[[Object], Edges]) -> Callable[[Change, Object], None]:
        def listen(change: Change, obj: Object) -> None:
            meta = obj["metadata"]
            owner = (plural, intern(meta.get("namespace", "")), meta["name"])
            old = self._owned.get(owner, ())
            found = dict.fromkeys(edges(obj)) if change != "DELETED" else {}
            edge_ends: list[Thing] = []
            for source, target in found:
                edge_ends += (owner if source == owner else self._sources.setdefault(source, source), target)
            new = tuple(edge_ends)
            if old == new:
                return
            if new:
                self._owned[owner] = new
            else:
                del self._owned[owner]
            self._add(owner, new)
            self._remove(owner, old)

        return listen

    def _add(self, owner: Thing, edges: Sequence[Thing]) -> None:
        for source, target in zip(edges[::2], edges[1::2], strict=True):
            if source == owner:
                continue
            targets = self._targets.get(source)
            if targets is None:
                targets = self._targets[source] = {}
            targets[target] = targets.get(target, 0) + 1

    def _remove(self, owner: Thing, edges: Sequence[Thing]) -> None:
        for source, target in zip(edges[::2], edges[1::2], strict=True):
            if source == owner:
                continue
            targets = self._targets[source]
            targets[target] -= 1
            if not targets[target]:
                del targets[target]
            if not targets:
                del self._targets[source]
                del self._sources[source]


def _node(obj: Object) -> Thing | None:
    name = (obj.get("spec") or {}).get("nodeName")
    return ("nodes", "", intern(name)) if name else None


def _pod(pod: Object) -> Edges:
    node = _node(pod)
    if node is not None:
        for thing in of_pod(pod):
            yield thing, node


def _volume(volume: Object) -> Edges:
    claim = volume["spec"].get("claimRef")
    if not claim:
        return
    namespace = claim.get("namespace", "")
    own = ("persistentvolumes", "", volume["metadata"]["name"])
    yield own, ("persistentvolumeclaims", namespace, claim.get("name", ""))
    for thing in secrets_of_volume(volume["spec"], namespace):
        yield thing, own


def _direct(plural: str) -> Callable[[Object], Edges]:
    """Of objects that name their Node."""

    def edges(obj: Object) -> Edges:
        node = _node(obj)
        if node is not None:
            yield (plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]), node

    return edges


_SOURCES: dict[GroupResource, Callable[[Object], Edges]] = {
    GroupResource("", "pods"): _pod,
    GroupResource("", "persistentvolumes"): _volume,
    GroupResource("storage.k8s.io", "volumeattachments"): _direct("volumeattachments"),
    GroupResource("resource.k8s.io", "resourceslices"): _direct("resourceslices"),
    GroupResource("certificates.k8s.io", "podcertificaterequests"): _direct("podcertificaterequests"),
}
