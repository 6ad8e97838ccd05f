"""What each Pod has been given of the node: not always what its spec asks for now (KEP-1287). On disk, so that it outlives
a restart of the kubelet.

Two shares are kept of a Pod: what it was allocated, and what its containers and its cgroup really have. They differ while
a resize is under way. resize.py decides on them; executor.py makes the second follow the first.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.kubelet.restarts import restarts_for
from pybernetes.rules.requests import CPU, MEMORY

log = logging.getLogger(__name__)

FILE = "resources.json"
GROUP = ""
"""Stands for the Pod's own cgroup among the names of its containers."""


class Share(Struct, frozen=True):
    """Resources of a Pod's containers by name, and of the Pod as a whole."""

    containers: Mapping[str, core_v1.ResourceRequirements]
    pod: core_v1.ResourceRequirements | None = None


class Record(Struct, frozen=True):
    """What is remembered of one Pod."""

    allocated: Share
    applied: Mapping[str, core_v1.ResourceRequirements]
    """What running containers have, by name."""
    group: Share
    """For which the Pod's cgroup was set."""


def share_of(pod: core_v1.Pod) -> Share:
    """What the Pod's spec asks for."""
    return Share({c.name: c.resources for c in resizable(pod)}, pod.spec.resources)


def resizable(pod: core_v1.Pod) -> Iterable[core_v1.Container]:
    """Containers whose resources may change: all but ephemeral ones, which have none."""
    return (*pod.spec.containers, *pod.spec.initContainers)


def given(pod: core_v1.Pod, share: Share) -> core_v1.Pod:
    """The Pod as if its spec asked for its share; the same object where it does."""
    if share_of(pod) == share:
        return pod

    def with_share(containers: tuple[core_v1.Container, ...]) -> tuple[core_v1.Container, ...]:
        return tuple(replace(c, resources=share.containers.get(c.name, c.resources)) for c in containers)

    spec = pod.spec
    made = replace(
        spec,
        containers=with_share(spec.containers),
        initContainers=with_share(spec.initContainers),
        resources=share.pod,
    )
    return replace(pod, spec=made)


class Allocations:
    """Of one node's Pods, by uid. `root` is the kubelet's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._records: dict[str, Record] = {}

    def load(self) -> None:
        """Reads what an earlier kubelet has left. Blocking. What cannot be read is left out: the spec counts then."""
        for file in self._root.glob(f"pods/*/{FILE}"):
            try:
                self._records[file.parent.name] = msgspec.json.decode(file.read_bytes(), type=Record)
            except (OSError, msgspec.DecodeError) as error:
                log.warning("cannot read file=%s error=%s", file, error)

    def save(self, uid: str) -> None:
        """Writes one Pod's record beside its volumes. Blocking. Raises OSError."""
        record = self._records.get(uid)
        file = self._root / "pods" / uid / FILE
        if record is not None and file.parent.is_dir():
            unfinished = file.with_suffix(".tmp")
            unfinished.write_bytes(msgspec.json.encode(record))
            unfinished.rename(file)

    def take_up(self, pod: core_v1.Pod) -> None:
        """A Pod has been admitted: it is given what it asks for, unless it was given something before."""
        share = share_of(pod)
        self._records.setdefault(pod.metadata.uid, Record(share, share.containers, share))

    def forget(self, uid: str) -> None:
        """Nothing is left of the Pod."""
        self._records.pop(uid, None)

    def of(self, pod: core_v1.Pod) -> core_v1.Pod:
        """The Pod with what it was allocated."""
        record = self._records.get(pod.metadata.uid)
        return pod if record is None else given(pod, record.allocated)

    def asks_for_more(self, pod: core_v1.Pod) -> bool:
        """Whether the spec asks for something else than was allocated."""
        record = self._records.get(pod.metadata.uid)
        return record is not None and share_of(pod) != record.allocated

    def allocate(self, pod: core_v1.Pod) -> None:
        """Gives the Pod what its spec asks for; it has it when that was applied."""
        record = self._records[pod.metadata.uid]
        self._records[pod.metadata.uid] = replace(record, allocated=share_of(pod))

    def before(self, pod: core_v1.Pod) -> core_v1.Pod:
        """The Pod with what its cgroup was last set for."""
        record = self._records.get(pod.metadata.uid)
        return pod if record is None else given(pod, record.group)

    def unapplied(self, uid: str) -> frozenset[str]:
        """Containers (and GROUP) that do not have yet what was allocated."""
        record = self._records.get(uid)
        if record is None or (record.group is record.allocated and record.applied is record.allocated.containers):
            return frozenset()
        found = {n for n, wanted in record.allocated.containers.items() if record.applied.get(n, wanted) != wanted}
        return frozenset(found | ({GROUP} if record.group != record.allocated else set()))

    def in_place(self, pod: core_v1.Pod) -> frozenset[str]:
        """Those of them that change without a restart; the others change with theirs."""
        left = self.unapplied(pod.metadata.uid)
        if not left:
            return left
        applied = self._records[pod.metadata.uid].applied
        restarting = {
            c.name
            for c in resizable(pod)
            if c.name in left
            and any(_differs(applied[c.name], c.resources, name) and restarts_for(c, name) for name in (CPU, MEMORY))
        }
        return left - restarting

    def running(self, uid: str) -> Mapping[str, core_v1.ResourceRequirements]:
        """What running containers have, by name."""
        record = self._records.get(uid)
        return {} if record is None else record.applied

    def applied(self, pod: core_v1.Pod, names: Iterable[str]) -> bool:
        """Containers (and GROUP) of the Pod have now what its spec says; whether that was news."""
        uid = pod.metadata.uid
        record = self._records.get(uid)
        if record is None:
            return False
        share = share_of(pod)
        mine = {name: share.containers[name] for name in names if name in share.containers}
        group = share if GROUP in names else record.group
        made = replace(record, applied={**record.applied, **mine}, group=group)
        self._records[uid] = made
        return made != record


def _differs(one: core_v1.ResourceRequirements, other: core_v1.ResourceRequirements, name: str) -> bool:
    return (one.requests.get(name), one.limits.get(name)) != (other.requests.get(name), other.limits.get(name))
