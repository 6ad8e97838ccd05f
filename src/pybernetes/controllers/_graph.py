"""Who owns whom, over all resources: the graph that the garbage collector keeps. Pure; informers feed it.

Objects are nodes by uid. An owner that was never seen is no node: whether it exists is asked of the server.
"""

from collections.abc import Iterable

from msgspec import Struct

from pybernetes.api.objects import Key
from pybernetes.api.types import meta_v1
from pybernetes.client.rest import Target

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Node(Struct, frozen=True):
    """One object, as far as deletion goes."""

    uid: str
    target: Target
    key: Key
    owners: tuple[meta_v1.OwnerReference, ...]
    deleting: bool
    waiting: bool
    """It is being deleted and waits for its dependents (foreground)."""
    orphaning: bool
    """It is being deleted and lets its dependents go first."""


def node_of(target: Target, key: Key, meta: meta_v1.ObjectMeta) -> Node:
    """The node of an object."""
    deleting = meta.deletionTimestamp is not None
    return Node(
        meta.uid,
        target,
        key,
        meta.ownerReferences,
        deleting,
        deleting and FOREGROUND in meta.finalizers,
        deleting and ORPHAN in meta.finalizers,
    )


class Graph:
    """The nodes and their edges. Changes return the uids that now need a look, always in the same order."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        """The object of that uid, if it was seen."""
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        """The objects that name it as an owner."""
        return [self._nodes[found] for found in sorted(self._dependents.get(uid, ()))]

    def blocking(self, uid: str) -> list[Node]:
        """Dependents that hold back its foreground deletion; nothing waits for itself."""
        return [
            node
            for node in self.dependents(uid)
            if node.uid != uid and any(ref.uid == uid and ref.blockOwnerDeletion for ref in node.owners)
        ]

    def settled(self, node: Node) -> bool:
        """All its owners were seen and none of them waits for it: nothing is to be done, and nothing to be asked."""
        return all(self._holds(node, ref) for ref in node.owners)

    def _holds(self, node: Node, ref: meta_v1.OwnerReference) -> bool:
        owner = self._nodes.get(ref.uid)
        if owner is None or owner.waiting or owner.target.kind != ref.kind:
            return False
        return owner.key.name == ref.name and owner.key.namespace in ("", node.key.namespace)

    def put(self, node: Node) -> Iterable[str]:
        """An object came or changed."""
        old = self._nodes.get(node.uid)
        if old == node:
            return ()
        self._unlink(old)
        self._nodes[node.uid] = node
        for ref in node.owners:
            self._dependents.setdefault(ref.uid, set()).add(node.uid)
        needs: set[str] = set()
        if (old is None or old.owners != node.owners) and not self.settled(node):
            needs.add(node.uid)
        if node.waiting or node.orphaning:
            needs.add(node.uid)
        if node.waiting and not (old and old.waiting):
            needs |= self._dependents.get(node.uid, set())
        if old is not None and old.owners != node.owners:
            needs |= self._waiting(old)
        return sorted(needs | self._waiting(node))

    def remove(self, uid: str) -> Iterable[str]:
        """An object is gone."""
        node = self._nodes.pop(uid, None)
        if node is None:
            return ()
        self._unlink(node)
        return sorted(self._dependents.get(uid, set()) | self._waiting(node))

    def forget(self, target: Target) -> None:
        """A resource is no longer served: what is known of its objects means nothing any more."""
        for node in [node for node in self._nodes.values() if node.target == target]:
            del self._nodes[node.uid]
            self._unlink(node)

    def _unlink(self, node: Node | None) -> None:
        for ref in node.owners if node else ():
            members = self._dependents.get(ref.uid, set())
            members.discard(node.uid if node else "")
            if not members:
                self._dependents.pop(ref.uid, None)

    def _waiting(self, node: Node) -> set[str]:
        """Its owners that wait for their dependents."""
        return {ref.uid for ref in node.owners if (owner := self._nodes.get(ref.uid)) is not None and owner.waiting}
