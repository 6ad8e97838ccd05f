"""Labels of Nodes that have newer names: warnings about selectors that still use the old ones."""

from collections.abc import Iterator, Mapping
from typing import Any

RENAMED = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}

"""Since when, and what they are called now."""


def _since(key: str) -> str:
    version, name = RENAMED[key]
    return f'deprecated since {version}; use "{name}" instead'


def deprecated_label(path: str, key: str) -> Iterator[str]:
    """A warning where the label has another name now."""
    if key in RENAMED:
        yield f"{path}: {_since(key)}"


def deprecated_labels(selector: Mapping[str, Any] | None, path: str) -> Iterator[str]:
    """The same of every key of a LabelSelector over Nodes."""
    for index, term in enumerate((selector or {}).get("matchExpressions") or ()):
        key = term.get("key") or ""
        if key in RENAMED:
            yield f"{path}.matchExpressions[{index}].key: {key} is {_since(key)}"
    for key in (selector or {}).get("matchLabels") or {}:
        yield from deprecated_label(f"{path}.matchLabels.{key}", key)
