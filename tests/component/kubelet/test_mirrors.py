"""Mirror Pods against the real API server, with a node's own identity: NodeRestriction and the Node authorizer judge them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from msgspec.structs import replace
from tests.component.api import serving
from tests.unit.kubelet.test_manifests import encoded, manifest
from tests.unit.kubelet.test_static_pods import Table

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key, User
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.podrules import ManifestRules
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.manifests import Reader
from pybernetes.kubelet.mirrors import Mirrors, Statuses
from pybernetes.kubelet.static_pods import StaticPods, name_of
from pybernetes.kubelet.status.reporter import Reporter
from pybernetes.rules.staticpods import CONFIG_MIRROR
from pybernetes.wire.http import Request, Response

NODE = "n1"
MIRROR = Key("default", f"web-{NODE}")
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
KUBELET = User(f"system:node:{NODE}", groups=("system:nodes", "system:authenticated"))
RUNNING = core_v1.PodStatus(phase="Running", conditions=(core_v1.PodCondition(type="Ready", status="True"),))


class Registered:
    """The kubelet's own Node, as status/node.py has it."""

    def __init__(self) -> None:
        self.node: core_v1.Node | None = None
        self.registered = asyncio.Event()


class Site:
    """Of a kubelet what shows static Pods in an API server."""

    def __init__(self, api: ApiServer) -> None:
        self.clock = api.clock
        self.api = api
        self.admin = Client(direct(self.api.handler, ADMIN), clock=self.clock)
        self.pods = self.admin.of(core_v1.Pod)
        self.cut = False
        self._send = direct(self.api.handler, KUBELET)
        client = Client(self._cable, clock=self.clock, user_agent="kubelet")
        self.informers = Informers(client)
        in_api = self.informers.of(core_v1.Pod, fields=f"spec.nodeName={NODE}")
        self.table = Table()
        self.reader = Reader(NODE, ManifestRules(), lambda: "2026-01-01T00:00:00Z")
        self.static = StaticPods(cast(Any, self.table), cast(Any, self.table), Configuration(), self.reader, self.clock)
        reporter = Reporter(client, self.clock)
        self.statuses = Statuses(reporter)
        self.statuses.ended = self.static.ended
        self.node = Registered()
        self.mirrors = Mirrors(client, in_api, self.static, self.statuses, reporter, cast(Any, self.node))
        in_api.on_change(lambda old, new: [self.mirrors.changed(name_of(p)) for p in (old, new) if p] and None)

    async def _cable(self, request: Request) -> Response:
        if self.cut:
            raise ConnectionError("the network is cut")
        return await self._send(request)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.static.run())
            group.create_task(self.informers.run())
            group.create_task(self.mirrors.run())

    async def register(self) -> None:
        node = core_v1.Node(metadata=meta_v1.ObjectMeta(name=NODE))
        self.node.node = await self.admin.of(core_v1.Node).create(node)
        self.node.registered.set()

    def take(self, **metadata: Any) -> core_v1.Pod:
        """A manifest of the Pod `web`."""
        pod = self.reader.file(Path("/m/web.yaml"), encoded(manifest(**metadata)))
        self.static.take("file", [pod])
        return pod

    async def mirror(self) -> core_v1.Pod | None:
        with contextlib.suppress(NotFound):
            return await self.pods.get(MIRROR)
        return None

    async def until(self, holds: Callable[[core_v1.Pod | None], bool]) -> core_v1.Pod | None:
        """Waits until something holds of the mirror."""
        async with asyncio.timeout(10):
            while not holds(found := await self.mirror()):
                await asyncio.sleep(0.005)
        return found


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(account=False, disable_admission=("ServiceAccount",)) as api:
        made = Site(api.server)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def there(pod: core_v1.Pod | None) -> bool:
    return pod is not None


def shows(pod: core_v1.Pod) -> Callable[[core_v1.Pod | None], bool]:
    return lambda mirror: mirror is not None and mirror.metadata.annotations[CONFIG_MIRROR] == pod.metadata.uid


async def test_the_mirror_waits_for_the_node_and_belongs_to_it(site: Site) -> None:
    pod = site.take()
    await asyncio.sleep(0.05)
    assert await site.mirror() is None
    await site.register()
    mirror = await site.until(there)
    assert mirror is not None
    assert mirror.metadata.annotations["kubernetes.io/config.mirror"] == pod.metadata.uid
    assert mirror.metadata.uid != pod.metadata.uid
    (owner,) = mirror.metadata.ownerReferences
    assert (owner.kind, owner.name, owner.controller) == ("Node", NODE, True)
    assert site.mirrors.static_uid(mirror.metadata.uid) == pod.metadata.uid


async def test_the_static_pods_status_comes_to_the_mirror(site: Site) -> None:
    await site.register()
    pod = site.take()
    await site.until(there)
    assert await site.statuses.report(pod, RUNNING)
    assert site.statuses.known(pod).status == RUNNING
    mirror = await site.until(lambda m: m is not None and m.status.phase == "Running")
    assert mirror is not None
    assert mirror.status.observedGeneration == mirror.metadata.generation == 1
    assert [c.observedGeneration for c in mirror.status.conditions] == [1]


async def test_what_an_earlier_kubelet_has_shown_is_taken_up_once_and_only_of_a_running_pod(site: Site) -> None:
    pod, foreign = site.take(), core_v1.PodCondition(type="Foreign", status="True")
    told: list[str] = []
    site.statuses.taken_up = told.append
    earlier = replace(RUNNING, conditions=(*RUNNING.conditions, foreign))
    assert site.statuses.take_up(pod, earlier)
    assert site.statuses.known(pod).status == RUNNING  # without what is not the kubelet's
    assert not site.statuses.take_up(pod, earlier)
    assert told == [pod.metadata.uid]
    site.statuses.forget(pod.metadata.uid)
    assert not site.statuses.take_up(pod, core_v1.PodStatus(phase="Failed"))


async def test_a_status_that_somebody_changes_is_put_right_and_foreign_conditions_stay(site: Site) -> None:
    await site.register()
    pod = site.take()
    await site.until(there)
    await site.statuses.report(pod, RUNNING)
    await site.until(lambda m: m is not None and m.status.phase == "Running")
    change = {"status": {"phase": "Failed", "conditions": [{"type": "Foreign", "status": "True"}]}}
    await site.pods.patch_raw(MIRROR, change, "application/strategic-merge-patch+json", subresource="status")
    mirror = await site.until(lambda m: m is not None and m.status.phase == "Running")
    assert mirror is not None
    assert {c.type for c in mirror.status.conditions} == {"Ready", "Foreign"}


@pytest.mark.parametrize("grace", [None, 0])
async def test_a_deleted_mirror_is_made_anew_with_its_status(site: Site, grace: int | None) -> None:
    await site.register()
    pod = site.take()
    first = await site.until(there)
    assert first is not None
    await site.statuses.report(pod, RUNNING)
    await site.pods.delete(MIRROR, grace=grace)
    await site.until(lambda m: m is not None and m.metadata.uid != first.metadata.uid and m.status.phase == "Running")
    assert [line.split()[0] for line in site.table.told] == ["started"]


async def test_a_changed_manifest_replaces_the_mirror_when_the_old_pod_has_gone(site: Site) -> None:
    await site.register()
    old = site.take()
    await site.until(shows(old))
    new = site.take(labels={"version": "2"})
    await site.statuses.report(replace(old), RUNNING)
    await site.until(lambda m: m is not None and m.status.phase == "Running")
    assert shows(old)(await site.mirror())
    site.table.leaves(site.static, old.metadata.uid)
    mirror = await site.until(shows(new))
    assert mirror is not None
    assert mirror.metadata.labels == {"version": "2"}


async def test_the_mirror_goes_with_its_manifest(site: Site) -> None:
    await site.register()
    pod = site.take()
    await site.until(there)
    site.static.take("file", [])
    await asyncio.sleep(0.02)
    assert await site.mirror() is not None  # it still runs
    site.table.leaves(site.static, pod.metadata.uid)
    await site.until(lambda m: m is None)


async def test_a_mirror_that_an_earlier_kubelet_left_is_taken_up_or_removed(site: Site) -> None:
    await site.register()
    pod = site.take()
    first = await site.until(there)
    assert first is not None
    site.static.changed[0](name_of(pod))
    await asyncio.sleep(0.05)
    again = await site.mirror()
    assert again is not None
    assert again.metadata.uid == first.metadata.uid


async def test_statuses_catch_up_when_the_api_server_is_back(site: Site) -> None:
    await site.register()
    pod = site.take()
    await site.until(there)
    site.cut = True
    assert await site.statuses.report(pod, RUNNING)
    assert site.statuses.known(pod).status == RUNNING
    await asyncio.sleep(0.05)
    mirror = await site.mirror()
    assert mirror is not None
    assert mirror.status.phase == "Pending"
    site.cut = False
    await site.until(lambda m: m is not None and m.status.phase == "Running")


async def test_a_pod_of_the_same_name_is_left_alone(site: Site) -> None:
    await site.register()
    container = core_v1.Container(name="c", image="busybox:1")
    spec = core_v1.PodSpec(containers=(container,), nodeName=NODE)
    made = await site.pods.create(
        core_v1.Pod(metadata=meta_v1.ObjectMeta(name=MIRROR.name, namespace="default"), spec=spec)
    )
    site.take()
    await asyncio.sleep(0.1)
    found = await site.mirror()
    assert found is not None
    assert found.metadata.uid == made.metadata.uid
