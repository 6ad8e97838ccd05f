"""What Pods refer to, in memory."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import pytest

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import not_found
from pybernetes.api.objects import GroupResource
from pybernetes.api.types import certificates_v1, core_v1, node_v1
from pybernetes.kubelet.pod_certificates import Credentials, NotIssued
from pybernetes.kubelet.sources import Token

T = TypeVar("T")


async def at_once(function: Callable[..., T], *args: Any) -> T:
    """In place of asyncio.to_thread on virtual time, which does not wait for threads."""
    return function(*args)


def simulate(
    make: Callable[[SimulatedClock], T],
    work: Callable[[T], Coroutine[Any, Any, None]],
    story: Callable[[T], Coroutine[Any, Any, None]],
) -> None:
    """Tells the story on virtual time, of what `make` makes, beside its endless work."""

    async def main() -> None:
        made = make(SimulatedClock(asyncio.get_running_loop(), seed=1))
        task = asyncio.create_task(work(made))
        await story(made)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "to_thread", at_once)
        run_simulated(main())


class FakeSources:
    """Sources whose objects are attributes."""

    def __init__(self) -> None:
        self.config_maps: dict[str, core_v1.ConfigMap] = {}
        self.secrets: dict[str, core_v1.Secret] = {}
        self.known_services: list[core_v1.Service] = []
        self.runtime_classes: dict[str, str] = {}
        self.tokens = 0
        self.expires = "2026-01-01T01:00:00Z"
        self.refuses_tokens: Exception | None = None
        self.bundles: list[certificates_v1.ClusterTrustBundle] = []
        self.claims: dict[str, core_v1.PersistentVolumeClaim] = {}
        self.volumes: dict[str, core_v1.PersistentVolume] = {}
        self.this_node = core_v1.Node()
        self.certificates: dict[str, Credentials] = {}
        self.forgotten: list[str] = []

    def of(self, uid: str) -> "FakeSources":
        return self

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)

    async def trust_bundles(self) -> Iterable[certificates_v1.ClusterTrustBundle]:
        return self.bundles

    async def certificate(self, pod: core_v1.Pod, source: core_v1.PodCertificateProjection, place: str) -> Credentials:
        if place not in self.certificates:
            raise NotIssued(f"nothing for {place}")
        return self.certificates[place]

    async def claim(self, namespace: str, name: str) -> core_v1.PersistentVolumeClaim:
        if name not in self.claims:
            raise not_found(GroupResource("", "persistentvolumeclaims"), name)
        return self.claims[name]

    async def persistent_volume(self, name: str) -> core_v1.PersistentVolume:
        if name not in self.volumes:
            raise not_found(GroupResource("", "persistentvolumes"), name)
        return self.volumes[name]

    async def node(self) -> core_v1.Node:
        return self.this_node

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap:
        if name not in self.config_maps:
            raise not_found(GroupResource("", "configmap"), name)
        return self.config_maps[name]

    async def secret(self, namespace: str, name: str) -> core_v1.Secret:
        if name not in self.secrets:
            raise not_found(GroupResource("", "secret"), name)
        return self.secrets[name]

    async def token(self, pod: core_v1.Pod, audience: str, seconds: int) -> Token:
        if self.refuses_tokens is not None:
            raise self.refuses_tokens
        self.tokens += 1
        return Token(f"token-{self.tokens}", self.expires)

    def services(self) -> Iterable[core_v1.Service]:
        return self.known_services

    def runtime_class(self, name: str) -> node_v1.RuntimeClass:
        if name not in self.runtime_classes:
            raise not_found(GroupResource("node.k8s.io", "runtimeclass"), name)
        return node_v1.RuntimeClass(handler=self.runtime_classes[name])
