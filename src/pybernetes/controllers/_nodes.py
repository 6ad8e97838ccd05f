"""Pods by their Node: the index of controllers that look at both."""

from collections.abc import Iterable

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers.runtime import Context

ON_NODE = "node"


def by_node(pod: core_v1.Pod) -> Iterable[str]:
    """Index function of Pods."""
    return (pod.spec.nodeName,) if pod.spec.nodeName else ()


def pods_on(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    """Keys of the Pods of a Node that has changed."""
    return [key_of(pod) for pod in ctx.cache(core_v1.Pod).by(ON_NODE, node.metadata.name)]
