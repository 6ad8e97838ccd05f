"""Binding: the old way to bind a Pod, by POST to bindings; the Pod is named in its metadata."""

from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.core._pod_actions import bind

RESOURCE = Resource(group="", plural="bindings", create=bind, generation=False)
