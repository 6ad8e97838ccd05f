"""The Nodes as columns: one contiguous array a resource, label or fact, so that a rule is a mask over all Nodes.

A row is a Node; rows of Nodes that went are used again (`present` says which count). Plugins read, loop.py writes: the
scheduling cycle has no await in it, so nobody needs a copy. `static_version` rises when labels, taints, names or
unschedulable change, and masks that depend on these alone are kept until then.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from pybernetes.api.objects import Key
from pybernetes.api.types.core_v1 import Node, Pod, Taint
from pybernetes.rules.ownership import controller_of
from pybernetes.rules.readiness import is_terminating
from pybernetes.rules.requests import ASSUMED, PODS, Amounts, amounts, host_ports, pod_requests
from pybernetes.rules.volumebinding import claims_of_pod

Mask: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
HostPort: TypeAlias = tuple[str, str, int]

T = TypeVar("T")

MISSING = -1
"""The value of a label that a Node does not have."""


class Kin(Struct, frozen=True):
    """What selectors see of a Pod. Replicas are alike, so a selector is asked once for all of them."""

    namespace: str
    labels: frozenset[tuple[str, str]]
    terminating: bool


_MOST = 2**56
"""More than any machine has: 64 PiB. Scores multiply by a hundred, and columns have 63 bits."""


class PodInfo(Struct, frozen=True):
    """What scheduling needs of a Pod, computed once."""

    key: Key
    pod: Pod
    requests: Amounts
    assumed: Amounts
    """Requests where containers without any count as a little: for scores."""
    ports: tuple[HostPort, ...]
    group: tuple[str, str] | None
    """(namespace, uid of the controller): Pods that should spread."""
    kin: "Kin"
    affine: bool
    """It has pod affinity or anti-affinity terms, which Pods to come must respect."""
    claims: tuple[tuple[str, bool], ...] = ()
    """Names of the PersistentVolumeClaims that it uses, each with whether it is made for the Pod."""


def pod_info(pod: Pod) -> PodInfo:
    """Raises ValueError for quantities that are none."""
    controller = controller_of(pod.metadata)
    affinity = pod.spec.affinity
    return PodInfo(
        key=Key(pod.metadata.namespace, pod.metadata.name),
        pod=pod,
        requests=_bounded(pod_requests(pod)),
        assumed=_bounded(pod_requests(pod, ASSUMED)),
        ports=host_ports(pod),
        group=(pod.metadata.namespace, controller.uid) if controller else None,
        kin=Kin(pod.metadata.namespace, frozenset(pod.metadata.labels.items()), is_terminating(pod)),
        affine=affinity is not None and (affinity.podAffinity or affinity.podAntiAffinity) is not None,
        claims=tuple(claims_of_pod(pod)),
    )


def _bounded(found: Amounts) -> Amounts:
    """Amounts that fit in a column, also a hundred times."""
    return {name: min(value, _MOST) for name, value in found.items()}


class Snapshot:
    """Nodes, and the Pods on them."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.name_at: dict[int, str] = {}
        self.nodes: dict[str, Node] = {}
        self.size = 8
        self.present: Mask = np.zeros(self.size, np.bool_)
        self.unschedulable: Mask = np.zeros(self.size, np.bool_)
        self.taints: Ints = np.zeros(self.size, np.int64)
        """Index into `taint_sets`."""
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.pod_count: Ints = np.zeros(self.size, np.int64)
        self.static_version = 0
        self._free = list(range(self.size - 1, -1, -1))
        self._allocatable: dict[str, Ints] = {}
        self._requested: dict[str, Ints] = {}
        self._assumed: dict[str, Ints] = {name: self._column() for name in ASSUMED}
        self._labels: dict[str, Ints] = {}
        self._values: dict[str, int] = {}
        self._taint_ids: dict[bytes, int] = {b"[]": 0}
        self._pods: dict[Key, tuple[str, PodInfo]] = {}
        self._by_node: dict[str, dict[Key, PodInfo]] = {}
        self._groups: dict[tuple[str, str], Ints] = {}
        self._ports: dict[HostPort, dict[str, int]] = {}
        self._kin: dict[Kin, dict[str, int]] = {}
        self._affine: dict[Key, None] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        """Labels of every namespace."""

    # What plugins read.

    def __len__(self) -> int:
        return len(self.rows)

    def names(self) -> Iterator[tuple[int, str]]:
        """(row, name) of every Node."""
        for name, row in self.rows.items():
            yield row, name

    def allocatable(self, resource: str) -> Ints:
        """What each Node has in all."""
        return self._allocatable.get(resource, self._nothing())

    def requested(self, resource: str) -> Ints:
        """What the Pods on each Node request."""
        return self._requested.get(resource, self._nothing())

    def assumed(self, resource: str) -> Ints:
        """The same, with something assumed for Pods that request nothing; CPU and memory only."""
        return self._assumed[resource]

    def label(self, key: str) -> Ints:
        """Each Node's value of a label as a number, MISSING where it has none."""
        found = self._labels.get(key)
        return np.full(self.size, MISSING, np.int64) if found is None else found

    def value_id(self, value: str) -> int:
        """The number of a label value; one that no Node has equals no number in a column."""
        return self._values.get(value, MISSING - 1)

    def values(self) -> Mapping[str, int]:
        """Every label value and its number."""
        return self._values

    def group_count(self, group: tuple[str, str]) -> Ints:
        """How many Pods of one controller each Node has."""
        return self._groups.get(group, self._nothing())

    def count(self, matches: Callable[[Kin], bool]) -> Ints:
        """How many Pods that match each Node has."""
        counts = self._column()
        for kin, nodes in self._kin.items():
            if matches(kin):
                for name, number in nodes.items():
                    if name in self.rows:
                        counts[self.rows[name]] += number
        return counts

    @property
    def any_affine(self) -> bool:
        """Whether any Pod has terms of its own."""
        return bool(self._affine)

    def affine_pods(self) -> Iterator[tuple[int, PodInfo]]:
        """(row, Pod) of every Pod with terms of its own."""
        for key in self._affine:
            node, info = self._pods[key]
            if node in self.rows:
                yield self.rows[node], info

    def nodes_using(self, protocol: str, port: int) -> Iterator[tuple[str, int]]:
        """(host IP, row) of every use of a host port."""
        for (ip, used_protocol, used_port), nodes in self._ports.items():
            if (used_protocol, used_port) == (protocol, port):
                for name in nodes:
                    if name in self.rows:
                        yield ip, self.rows[name]

    def pods_on(self, name: str) -> Iterable[PodInfo]:
        """The Pods of a Node, assumed ones included."""
        return self._by_node.get(name, {}).values()

    def node_of(self, key: Key) -> str | None:
        """Where a Pod is counted."""
        found = self._pods.get(key)
        return found[0] if found else None

    # What the loop writes.

    def put_node(self, node: Node) -> None:
        """A Node came or changed."""
        name = node.metadata.name
        known = name in self.rows
        if not known:
            if not self._free:
                self._grow()
            row = self._free.pop()
            self.rows[name], self.name_at[row] = row, name
        row = self.rows[name]
        old = self.nodes.get(name)
        self.nodes[name] = node
        for resource, value in _bounded(amounts(node.status.allocatable)).items():
            self._allocatable.setdefault(resource, self._column())[row] = value
        for resource in old.status.allocatable if old else ():
            if resource not in node.status.allocatable:
                self._allocatable[resource][row] = 0
        if not known:
            for info in self._by_node.get(name, {}).values():
                self._count(info, row, 1)
        self._put_static(row, old, node)

    def remove_node(self, name: str) -> None:
        """A Node went. Its Pods stay known, for it may come back."""
        if name not in self.rows:
            return
        row = self.rows.pop(name)
        del self.nodes[name], self.name_at[row]
        self.present[row] = self.unschedulable[row] = False
        self.taints[row] = self.pod_count[row] = 0
        for table in (self._allocatable, self._requested, self._assumed, self._groups):
            for column in table.values():
                column[row] = 0
        for column in self._labels.values():
            column[row] = MISSING
        self._free.append(row)
        self.static_version += 1

    def put_pod(self, info: PodInfo, node: str) -> bool:
        """A Pod is on a Node, or assumed to be; counts it once, where it was put last. Whether any sum changed."""
        old = self._pods.get(info.key)
        if old is not None and old[0] == node and _counted(old[1]) == _counted(info):
            self._pods[info.key] = (node, info)
            self._by_node[node][info.key] = info
            return False
        self.remove_pod(info.key)
        self._pods[info.key] = (node, info)
        self._by_node.setdefault(node, {})[info.key] = info
        for port in info.ports:
            _more(self._ports, port, node)
        _more(self._kin, info.kin, node)
        if info.affine:
            self._affine[info.key] = None
        if node in self.rows:
            self._count(info, self.rows[node], 1)
        return True

    def remove_pod(self, key: Key) -> bool:
        """A Pod is gone, finished or was not bound after all; whether it was counted."""
        found = self._pods.pop(key, None)
        if found is None:
            return False
        node, info = found
        there = self._by_node[node]
        del there[key]
        if not there:
            del self._by_node[node]
        for port in info.ports:
            _fewer(self._ports, port, node)
        _fewer(self._kin, info.kin, node)
        self._affine.pop(key, None)
        if node in self.rows:
            self._count(info, self.rows[node], -1)
        return True

    def _count(self, info: PodInfo, row: int, sign: int) -> None:
        self.pod_count[row] += sign
        for resource, value in info.requests.items():
            self._requested.setdefault(resource, self._column())[row] += sign * value
        for resource in self._assumed:
            self._assumed[resource][row] += sign * info.assumed.get(resource, 0)
        if info.group is not None:
            counts = self._groups.setdefault(info.group, self._column())
            counts[row] += sign
            if sign < 0 and not counts.any():
                del self._groups[info.group]

    def _put_static(self, row: int, old: Node | None, node: Node) -> None:
        """Labels, taints and unschedulable: what masks are kept for."""
        if old is not None and (
            old.metadata.labels == node.metadata.labels
            and old.spec.taints == node.spec.taints
            and old.spec.unschedulable == node.spec.unschedulable
        ):
            return
        self.static_version += 1
        self.present[row] = True
        self.unschedulable[row] = node.spec.unschedulable
        self.taints[row] = self._taint_set(node.spec.taints)
        for key in old.metadata.labels if old else ():
            self._labels[key][row] = MISSING
        for key, value in node.metadata.labels.items():
            if key not in self._labels:
                self._labels[key] = np.full(self.size, MISSING, np.int64)
            self._labels[key][row] = self._values.setdefault(value, len(self._values))

    def _taint_set(self, taints: tuple[Taint, ...]) -> int:
        identity = msgspec.json.encode([(t.key, t.value, t.effect) for t in taints])
        found = self._taint_ids.get(identity)
        if found is None:
            found = self._taint_ids[identity] = len(self.taint_sets)
            self.taint_sets.append(taints)
        return found

    def _column(self) -> Ints:
        return np.zeros(self.size, np.int64)

    def _nothing(self) -> Ints:
        return self._column()

    def _grow(self) -> None:
        old, self.size = self.size, self.size * 2
        self._free = list(range(self.size - 1, old - 1, -1))
        more = np.zeros(old, np.bool_)
        self.present = np.concatenate((self.present, more))
        self.unschedulable = np.concatenate((self.unschedulable, more))
        zeros = np.zeros(old, np.int64)
        self.taints = np.concatenate((self.taints, zeros))
        self.pod_count = np.concatenate((self.pod_count, zeros))
        for table in (self._allocatable, self._requested, self._assumed):
            for resource, column in table.items():
                table[resource] = np.concatenate((column, zeros))
        for group, column in self._groups.items():
            self._groups[group] = np.concatenate((column, zeros))
        missing = np.full(old, MISSING, np.int64)
        for key, column in self._labels.items():
            self._labels[key] = np.concatenate((column, missing))


def _more(table: dict[T, dict[str, int]], what: T, node: str) -> None:
    uses = table.setdefault(what, {})
    uses[node] = uses.get(node, 0) + 1


def _fewer(table: dict[T, dict[str, int]], what: T, node: str) -> None:
    uses = table[what]
    uses[node] -= 1
    if not uses[node]:
        del uses[node]
    if not uses:
        del table[what]


def _counted(info: PodInfo) -> tuple[object, ...]:
    return info.requests, info.assumed, info.ports, info.group, info.kin, info.affine


__all__ = ["MISSING", "PODS", "Floats", "HostPort", "Ints", "Kin", "Mask", "PodInfo", "Snapshot", "pod_info"]
