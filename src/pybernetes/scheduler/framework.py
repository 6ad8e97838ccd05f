"""The framework: what a plugin is, and how plugins together choose a Node. loop.py calls place(); plugins/ fill it.

The extension points are upstream's (Kubernetes scheduling framework). A plugin works on all Nodes at once with numpy,
or, when that is easier, on one Node at a time: override filter_node/score_node instead of filter/score.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import numpy as np
from msgspec import Struct

from pybernetes.api.objects import Key
from pybernetes.api.types.core_v1 import Node, PersistentVolumeClaim, Pod
from pybernetes.scheduler.snapshot import Floats, Mask, PodInfo, Snapshot

K = TypeVar("K", bound=Struct)
K_co = TypeVar("K_co", bound=Struct, covariant=True)

MAX_SCORE = 100.0
KEPT_MASKS = 512


class Happening(StrEnum):
    """Changes of the cluster that may make a rejected Pod fit."""

    NODE_ADDED = "node added"
    NODE_ALLOCATABLE = "node has other resources"
    NODE_LABELS = "node has other labels"
    NODE_TAINTS = "node has other taints"
    NODE_FEATURES = "node declares other features"
    POD_FREED = "an assigned pod is gone"
    POD_ASSIGNED = "a pod was assigned or changed"
    CLAIM = "a claim was added or changed"
    VOLUME = "a volume was added or changed"
    STORAGE_CLASS = "a storage class was added or changed"
    STORAGE_CAPACITY = "there is storage elsewhere, or more"


class ClusterEvent(Struct, frozen=True):
    """One change: the Node it is about, or the Pod, or the claim."""

    what: Happening
    node: Node | None = None
    pod: Pod | None = None
    claim: PersistentVolumeClaim | None = None


class Known(Protocol[K_co]):
    """What is known of a kind: a client.informer.Cache."""

    def get(self, key: Key) -> K_co | None:
        """The object as last seen."""

    def by(self, index: str, value: str) -> Sequence[K_co]:
        """Those for which an index function gave the value."""

    def add_index(self, name: str, function: Callable[[K_co], Iterable[str]]) -> None:
        """Adds an index."""

    def __iter__(self) -> Iterator[K_co]:
        """All of them."""


class Handle(Protocol):
    """What plugins that follow more than Pods and Nodes may ask of their scheduler. following.py is it."""

    happened: Callable[[ClusterEvent], None]
    """Tells of a change that may bring back Pods."""

    def follow(self, *kinds: type[Struct]) -> bool:
        """Whether all of these are known; where not, they will be, and pre_enqueue() of what it held back is asked again."""

    def cache(self, kind: type[K]) -> Known[K]:
        """What is known of a kind that is followed."""

    def on_change(self, kind: type[K], handler: Callable[[K | None, K | None], None]) -> None:
        """Calls the handler with (old, new) for every change: None where it is new, or gone."""

    async def patch(self, old: K, new: K) -> K:
        """Writes at the revision seen. Raises ApiError, OSError."""

    def wake(self, key: Key) -> None:
        """Those who wait for this key look again."""

    async def until(self, holds: Callable[[], bool], keys: Iterable[Key], seconds: float) -> bool:
        """Whether it came to hold within that time; asked again at each wake() of one of the keys. Raises what `holds` does."""


class PreBindError(Exception):
    """What must come before the binding did not: the Pod is tried again. The message is the event's."""


class Rejected(Struct):
    """Nodes that a plugin refuses, and why, in upstream's words. `final`: no preemption would help."""

    reason: str
    nodes: Mask
    final: bool = False


class NodeView(Struct, frozen=True):
    """One Node, for plugins that look at one at a time."""

    name: str
    node: Node
    pods: tuple[Pod, ...]


class Cycle(Struct):
    """One Pod's search for a Node. `state` is the plugins' own, by plugin name."""

    info: PodInfo
    snapshot: Snapshot
    feasible: Mask
    state: dict[str, Any]

    @property
    def pod(self) -> Pod:
        """The Pod that wants a Node."""
        return self.info.pod

    def view(self, name: str) -> NodeView:
        """A Node as one sees it alone."""
        pods = tuple(info.pod for info in self.snapshot.pods_on(name))
        return NodeView(name, self.snapshot.nodes[name], pods)


class Plugin:
    """A scheduler plugin: override any of the extension points. Exported as PLUGIN by one file in plugins/."""

    name: str
    """As in upstream's configuration: NodeResourcesFit."""
    order = 100
    """Filters run in this order; a Node's reasons are those of the first plugin that refuses it."""
    weight = 1
    """Of its score among the others."""
    unblocked_by: frozenset[Happening] = frozenset()
    """What may make a Pod fit that this plugin rejected; empty: anything."""

    def for_scheduler(self, handle: Handle) -> "Plugin":
        """The plugin of one scheduler: where it remembers anything, an instance of its own. PLUGIN is every scheduler's."""
        return self

    def concerns(self, info: PodInfo) -> bool:
        """Whether there is anything to filter for this Pod; where not, filter() is not asked."""
        return True

    def pre_enqueue(self, pod: Pod) -> str | None:
        """Why the Pod may not even wait for a Node, or None."""
        return None

    def pre_filter(self, cycle: Cycle) -> str | None:
        """Once a cycle, before any filter; a text rejects the Pod everywhere."""
        return None

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        """The Nodes this plugin refuses. A mask may cover Nodes that are out already.

        A Node in several masks has several reasons. `cycle.feasible` is without the Nodes yielded so far.
        """
        return ()

    def shape(self, cycle: Cycle) -> Hashable:
        """Not None where filter() depends only on this value and on the Nodes' labels, taints and names: it is kept."""
        return None

    def filter_node(self, cycle: Cycle, view: NodeView) -> str | None:
        """Instead of filter(): why this Node is refused, or None."""
        return None

    def score(self, cycle: Cycle) -> Floats | None:
        """Points for every Node, 0 to MAX_SCORE; None when it has no opinion."""
        return None

    def score_node(self, cycle: Cycle, view: NodeView) -> float:
        """Instead of score(): the points of this Node."""
        return 0.0

    def hint(self, event: ClusterEvent, info: PodInfo) -> bool:
        """Whether this event, one of `unblocked_by`, may really help the Pod (queueing hint)."""
        return True

    def reserve(self, cycle: Cycle, node: str) -> str | None:
        """The Node is chosen: take what the plugin keeps account of; a text refuses it after all."""
        return None

    def unreserve(self, info: PodInfo, node: str) -> None:
        """The Pod does not go there after all; called also for what reserve() never saw."""

    async def pre_bind(self, info: PodInfo, node: str) -> None:
        """What must be done before the binding is written. An ApiError, OSError or PreBindError puts the Pod back."""

    def post_bind(self, info: PodInfo, node: str) -> None:
        """The binding is written."""


class Placed(Struct, frozen=True):
    """The Pod goes to this Node."""

    node: str
    evaluated: int
    feasible: int


class Unfit(Struct, frozen=True):
    """No Node takes the Pod."""

    nodes: int
    reasons: Mapping[str, int]
    """How many Nodes say each."""
    plugins: frozenset[str]
    """Who rejected it: only events that they name bring it back."""
    everywhere: str = ""
    """A reason that holds for the whole cluster."""

    def __str__(self) -> str:
        """Upstream's words: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`"""
        if self.everywhere:
            return f"0/{self.nodes} nodes are available: {self.everywhere}."
        if not self.nodes:
            return "no nodes available to schedule pods"
        listed = sorted(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"0/{self.nodes} nodes are available: {', '.join(listed)}."


class Framework:
    """The plugins of one scheduler, in order."""

    def __init__(
        self,
        plugins: Iterable[Plugin],
        choose: Callable[[Sequence[int]], int],
        weights: Mapping[str, int] | None = None,
    ) -> None:
        """`choose` picks one of equally good rows: by chance, or equal Nodes fill up one after the other."""
        self.plugins: Sequence[Plugin] = sorted(plugins, key=lambda plugin: (plugin.order, plugin.name))
        self._by_name = {plugin.name: plugin for plugin in self.plugins}
        self._weights = {plugin.name: (weights or {}).get(plugin.name, plugin.weight) for plugin in self.plugins}
        self._filters = [p for p in self.plugins if _overrides(p, "filter") or _overrides(p, "filter_node")]
        self._scores = [p for p in self.plugins if _overrides(p, "score") or _overrides(p, "score_node")]
        self._choosy = {p.name for p in self.plugins if _overrides(p, "concerns")}
        self._single = {p.name for p in self.plugins if _overrides(p, "filter_node")}
        self._single_scores = {p.name for p in self.plugins if _overrides(p, "score_node")}
        self._pick = choose
        self._kept: dict[tuple[str, Hashable], tuple[int, list[Rejected]]] = {}

    def gate(self, pod: Pod) -> str | None:
        """Why the Pod may not be queued yet."""
        return next((reason for plugin in self.plugins if (reason := plugin.pre_enqueue(pod))), None)

    def place(self, info: PodInfo, snapshot: Snapshot) -> Placed | Unfit:
        """Chooses a Node. Pure but for chance among equals."""
        cycle = Cycle(info, snapshot, snapshot.present.copy(), {})
        total = len(snapshot)
        if not total:
            return Unfit(0, {}, frozenset())
        for plugin in self.plugins:
            if reason := plugin.pre_filter(cycle):
                return Unfit(total, {}, frozenset({plugin.name}), reason)
        reasons: dict[str, int] = {}
        rejecting: set[str] = set()
        for plugin in self._filters:
            if plugin.name in self._choosy and not plugin.concerns(info):
                continue
            before = cycle.feasible.copy()
            for rejected in self._filtered(plugin, cycle):
                count = int(np.count_nonzero(rejected.nodes & before))
                if count:
                    reasons[rejected.reason] = reasons.get(rejected.reason, 0) + count
                    rejecting.add(plugin.name)
                    cycle.feasible &= ~rejected.nodes
            if not cycle.feasible.any():
                return Unfit(total, reasons, frozenset(rejecting))
        return self._choose(cycle, total)

    def may_help(self, event: ClusterEvent, info: PodInfo, rejecting: frozenset[str]) -> bool:
        """Whether an event may bring back a Pod that these plugins rejected; an unknown plugin: yes."""
        if not rejecting:
            return True
        for name in rejecting:
            plugin = self._by_name.get(name)
            if plugin is None or not plugin.unblocked_by:
                return True
            if event.what in plugin.unblocked_by and plugin.hint(event, info):
                return True
        return False

    def reserve(self, info: PodInfo, snapshot: Snapshot, node: str) -> str | None:
        """Runs reserve() of all; undoes it where one refuses."""
        cycle = Cycle(info, snapshot, snapshot.present, {})
        for plugin in self.plugins:
            if reason := plugin.reserve(cycle, node):
                self.unreserve(info, node)
                return reason
        return None

    def unreserve(self, info: PodInfo, node: str) -> None:
        """Runs unreserve() of all, the last first."""
        for plugin in reversed(self.plugins):
            plugin.unreserve(info, node)

    async def pre_bind(self, info: PodInfo, node: str) -> None:
        """Runs pre_bind() of all."""
        for plugin in self.plugins:
            await plugin.pre_bind(info, node)

    def post_bind(self, info: PodInfo, node: str) -> None:
        """Runs post_bind() of all."""
        for plugin in self.plugins:
            plugin.post_bind(info, node)

    def _filtered(self, plugin: Plugin, cycle: Cycle) -> Iterable[Rejected]:
        if plugin.name in self._single:
            return self._one_by_one(plugin, cycle)
        shape = plugin.shape(cycle)
        if shape is None:
            return plugin.filter(cycle)
        key, version = (plugin.name, shape), cycle.snapshot.static_version
        kept = self._kept.get(key)
        if kept is not None and kept[0] == version:
            return kept[1]
        if len(self._kept) >= KEPT_MASKS:
            self._kept.clear()
        made = list(plugin.filter(cycle))
        self._kept[key] = (version, made)
        return made

    def _one_by_one(self, plugin: Plugin, cycle: Cycle) -> Iterable[Rejected]:
        masks: dict[str, Mask] = {}
        for row, name in cycle.snapshot.names():
            if not cycle.feasible[row]:
                continue
            reason = plugin.filter_node(cycle, cycle.view(name))
            if reason:
                masks.setdefault(reason, np.zeros(cycle.snapshot.size, np.bool_))[row] = True
        return [Rejected(reason, mask) for reason, mask in masks.items()]

    def _choose(self, cycle: Cycle, evaluated: int) -> Placed:
        rows = np.flatnonzero(cycle.feasible)
        if len(rows) > 1:
            total = np.zeros(cycle.snapshot.size)
            for plugin in self._scores:
                points = self._scored(plugin, cycle)
                if points is not None:
                    # Whole points, as upstream: a hair's breadth must not decide, or equals are never equal.
                    total += np.floor(points) * self._weights[plugin.name]
            best = rows[total[rows] == total[rows].max()]
        else:
            best = rows
        row = self._pick(best.tolist())
        return Placed(cycle.snapshot.name_at[row], evaluated, len(rows))

    def _scored(self, plugin: Plugin, cycle: Cycle) -> Floats | None:
        if plugin.name not in self._single_scores:
            return plugin.score(cycle)
        points = np.zeros(cycle.snapshot.size)
        for row, name in cycle.snapshot.names():
            if cycle.feasible[row]:
                points[row] = plugin.score_node(cycle, cycle.view(name))
        return points


def normalized(points: Floats, feasible: Mask, *, reverse: bool = False) -> Floats | None:
    """Scales so that the best feasible Node has MAX_SCORE; `reverse` where less is better. None when all are equal."""
    among = points[feasible]
    most = among.max(initial=0.0)
    if most <= 0 or among.min() == most:
        return None
    scaled: Floats = points * (MAX_SCORE / most)
    return MAX_SCORE - scaled if reverse else scaled


def _overrides(plugin: Plugin, method: str) -> bool:
    return getattr(type(plugin), method) is not getattr(Plugin, method)
