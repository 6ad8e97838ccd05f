"""PodGlance: of a Pod what selectors, the Node authorizer and the figures of metrics.k8s.io look at, and no more.

There may be a hundred thousand Pods, each of which is decoded when a server starts: of 6 KB this leaves a tenth.
"""

from typing import Any, TypedDict


class _Named(TypedDict, total=False):
    name: str


class _ValueFrom(TypedDict, total=False):
    secretKeyRef: _Named
    configMapKeyRef: _Named


class _Variable(TypedDict, total=False):
    valueFrom: _ValueFrom


class _Source(TypedDict, total=False):
    secretRef: _Named
    configMapRef: _Named


class _Container(TypedDict, total=False):
    env: list[_Variable]
    envFrom: list[_Source]


class _Metadata(TypedDict, total=False):
    name: str
    namespace: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]


class _Spec(TypedDict, total=False):
    nodeName: str
    restartPolicy: str
    schedulerName: str
    serviceAccountName: str
    hostNetwork: bool
    imagePullSecrets: list[_Named]
    initContainers: list[_Container]
    containers: list[_Container]
    ephemeralContainers: list[_Container]
    volumes: list[dict[str, Any]]
    resourceClaims: list[dict[str, Any]]


class _Address(TypedDict, total=False):
    ip: str


class _Status(TypedDict, total=False):
    phase: str
    podIP: str
    podIPs: list[_Address]
    nominatedNodeName: str
    resourceClaimStatuses: list[dict[str, Any]]
    extendedResourceClaimStatus: dict[str, Any]


class PodGlance(TypedDict, total=False):
    """A part of a Pod, in its own words: whoever reads one can read the other."""

    metadata: _Metadata
    spec: _Spec
    status: _Status
