"""Pods by their labels: what a selector may mean is found without a look at every Pod of its namespace."""

from collections.abc import Iterable, Mapping
from functools import partial

from pybernetes.api.types import core_v1
from pybernetes.client.informer import Cache

LABEL = "label/"
"""Indexes of Pods by the value of a label begin so. There is one a label that selectors go by."""
LABELS = 8
"""So many labels at most; selectors that go by others look at all Pods of their namespace."""


def candidates(namespace: str | None, labels: Mapping[str, str], cache: Cache[core_v1.Pod]) -> list[core_v1.Pod]:
    """Pods that may have all these labels: those with one of them, in the way that others look for already."""
    known = {*cache.indexes(LABEL)}
    wanted = sorted(labels.items(), key=lambda label: (LABEL + label[0] not in known, label))
    if not wanted:
        return cache.of(namespace or "")
    name, value = wanted[0]
    index = LABEL + name
    if index not in known:
        if len(known) >= LABELS:
            return cache.of(namespace or "")
        cache.add_index(index, partial(_by_label, name))
    return cache.by(index, f"{namespace}/{value}")


def _by_label(name: str, pod: core_v1.Pod) -> Iterable[str]:
    """Index function."""
    value = pod.metadata.labels.get(name)
    return () if value is None else (f"{pod.metadata.namespace}/{value}",)
