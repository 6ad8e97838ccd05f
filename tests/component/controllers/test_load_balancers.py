"""Services of type LoadBalancer with a provider of the test's own: what it is asked, and what users see."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.component.controllers.world import World, controllers, simulated, world
from tests.exposition import read

from pybernetes.aio import discover
from pybernetes.api.types import core_v1
from pybernetes.client.rest import Client
from pybernetes.controllers._load_balancers import (
    GROUP,
    LoadBalancerError,
    LoadBalancers,
    Provider,
    installed_providers,
)
from pybernetes.controllers.runtime import Config

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


class Balancers:
    """Load balancers that are there, by the Service's uid; and what was asked."""

    def __init__(self) -> None:
        self.there: dict[str, tuple[str, ...]] = {}
        self.asked: list[str] = []
        self.broken = ""

    async def ensure(self, service: core_v1.Service, nodes: Sequence[core_v1.Node]) -> core_v1.LoadBalancerStatus:
        self._ask("ensure", service)
        assert FINALIZER in service.metadata.finalizers
        self.there[service.metadata.uid] = tuple(node.metadata.name for node in nodes)
        return core_v1.LoadBalancerStatus(ingress=(core_v1.LoadBalancerIngress(ip="203.0.113.7"),))

    async def update(self, service: core_v1.Service, nodes: Sequence[core_v1.Node]) -> None:
        self._ask("update", service)
        self.there[service.metadata.uid] = tuple(node.metadata.name for node in nodes)

    async def delete(self, service: core_v1.Service) -> None:
        self._ask("delete", service)
        self.there.pop(service.metadata.uid, None)

    def _ask(self, what: str, service: core_v1.Service) -> None:
        self.asked.append(f"{what} {service.metadata.name}")
        if self.broken:
            raise LoadBalancerError(self.broken)


def providing(*balancers: Balancers, names: tuple[str, ...] = ("",)) -> Config:
    def of(made: Balancers) -> Any:
        def make(client: Client) -> LoadBalancers:
            return made

        return make

    pairs = zip(balancers, names, strict=True)
    return Config(load_balancers=tuple(Provider(name=n or "test", make=of(b), load_balancer_class=n) for b, n in pairs))


async def service(w: World, name: str = "web", **spec: Any) -> core_v1.Service:
    made = await w.create(core_v1.Service, name, spec={"type": "LoadBalancer", "ports": [{"port": 80}], **spec})
    await w.clock.sleep(5)
    return made


def addresses(found: core_v1.Service) -> list[str]:
    return [one.ip for one in found.status.loadBalancer.ingress]


@simulated
async def test_a_service_has_its_load_balancer_as_long_as_it_lives():
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        await w.clock.sleep(5)
        made = await service(w)
        found = await w.get(core_v1.Service, "web")
        assert addresses(found) == ["203.0.113.7"]
        assert found.metadata.finalizers == (FINALIZER,)
        assert cloud.there == {made.metadata.uid: ("node-1", "node-2")}
        assert await w.events("web") == [
            "EnsuringLoadBalancer: Ensuring load balancer",
            "EnsuredLoadBalancer: Ensured load balancer",
        ]
        await w.clock.sleep(300)
        assert cloud.asked == ["ensure web"]
        await w.patch(core_v1.Service, "web", {"metadata": {"annotations": {"size": "large"}}})
        await w.clock.sleep(2)
        assert cloud.asked == ["ensure web", "ensure web"]
        await w.delete(core_v1.Service, "web")
        await w.clock.sleep(2)
        assert not await w.there(core_v1.Service, "web")
        assert cloud.there == {}
        told = await w.events("web")
        assert "DeletingLoadBalancer: Deleting load balancer" in told
        assert "DeletedLoadBalancer: Deleted load balancer" in told


@simulated
async def test_a_service_of_another_type_now_has_none():
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        await service(w)
        await w.patch(core_v1.Service, "web", {"spec": {"type": "ClusterIP"}})
        await w.clock.sleep(2)
        found = await w.get(core_v1.Service, "web")
        assert (found.metadata.finalizers, addresses(found), cloud.there) == ((), [], {})
        assert "DeletedLoadBalancer: Deleted load balancer" in await w.events("web")


@simulated
async def test_a_class_says_whose_service_it_is():
    ours, other = Balancers(), Balancers()
    async with world(config=providing(ours, other, names=("", "example.com/other"))) as w:
        await service(w, "plain")
        await service(w, "others", loadBalancerClass="example.com/other")
        await service(w, "nobodys", loadBalancerClass="example.com/nobody")
        assert (ours.asked, other.asked) == (["ensure plain"], ["ensure others"])
        assert (await w.get(core_v1.Service, "nobodys")).metadata.finalizers == ()
        await w.delete(core_v1.Service, "others")
        await w.clock.sleep(2)
        assert (ours.asked, other.asked) == (["ensure plain"], ["ensure others", "delete others"])


@simulated
async def test_nodes_come_and_go_behind_a_load_balancer():
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        await w.clock.sleep(5)
        made = await service(w)
        w.node_up("node-3", "198.18.3.1")
        await w.clock.sleep(5)
        assert cloud.there[made.metadata.uid] == ("node-1", "node-2", "node-3")
        excluded = {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}
        await w.patch(core_v1.Node, "node-1", excluded, "")
        await w.clock.sleep(2)
        assert cloud.there[made.metadata.uid] == ("node-2", "node-3")
        assert cloud.asked == ["ensure web", *["update web"] * (len(cloud.asked) - 1)]
        assert "UpdatedLoadBalancer: Updated load balancer with new hosts" in await w.events("web")


@simulated
async def test_a_node_that_is_not_ready_stays_behind_a_load_balancer():
    """KEP-3458: the load balancer's own checks find it, and its connections may end well."""
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        await w.clock.sleep(5)
        made = await service(w)
        await w.node_down("node-2")
        await w.clock.sleep(120)
        assert cloud.there[made.metadata.uid] == ("node-1", "node-2")
        assert cloud.asked == ["ensure web"]
        await w.patch(core_v1.Node, "node-1", {"spec": {"providerID": "cloud://1"}}, "")
        await w.clock.sleep(2)
        assert cloud.asked == ["ensure web", "update web"]


@simulated
async def test_an_exclusion_that_says_no_excludes_nobody():
    """Test_respectsPredicates: "when node has exclude label with value false"."""
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        label = "node.kubernetes.io/exclude-from-external-load-balancers"
        for name, value in (("node-1", "false"), ("node-2", "true")):
            await w.until(lambda name=name: w.there(core_v1.Node, name, ""))
            await w.patch(core_v1.Node, name, {"metadata": {"labels": {label: value}}}, "")
        made = await service(w)
        assert cloud.there[made.metadata.uid] == ("node-1",)


@simulated
async def test_what_a_load_balancer_does_not_depend_on_asks_no_provider():
    """TestNeedsUpdate."""
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        await service(w, selector={"app": "web"})
        for change, asked in (
            ({"selector": {"app": "other"}}, False),
            ({"trafficDistribution": "PreferClose"}, False),
            ({"sessionAffinity": "ClientIP"}, True),
            ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, True),
            ({"externalIPs": ["192.0.2.9"]}, True),
            ({"externalTrafficPolicy": "Local"}, True),
            ({"ports": [{"port": 81}]}, True),
        ):
            cloud.asked.clear()
            await w.patch(core_v1.Service, "web", {"spec": change})
            await w.clock.sleep(2)
            assert cloud.asked == ["ensure web"] * asked, change


@simulated
async def test_a_failed_change_of_nodes_is_told_with_their_names_and_counted():
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        await w.clock.sleep(5)
        await service(w)
        cloud.broken = "quota"
        w.node_up("node-3", "198.18.3.1")
        await w.clock.sleep(3)
        text = "Error updating load balancer with new hosts [node-1 node-2 node-3]"
        text = f"{text} [node names limited, total number of nodes: 3], error: quota"
        assert f"UpdateLoadBalancerFailed: {text}" in await w.events("web")
        cloud.broken = ""
        await w.clock.sleep(10)
        shown = read(w.manager.metrics())
        values = {name: shown[f"service_controller_{name}"].series[f"service_controller_{name}", ()]
                  for name in ("loadbalancer_sync_total", "nodesync_error_total")}  # fmt: skip
        assert values == {"loadbalancer_sync_total": 2, "nodesync_error_total": 1}


@simulated
async def test_a_load_balancer_whose_service_is_gone_says_why_it_cannot_go():
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        await service(w)
        cloud.broken = "stuck"
        await w.patch(core_v1.Service, "web", {"metadata": {"finalizers": None}})
        await w.delete(core_v1.Service, "web")
        assert "DeleteLoadBalancerFailed: Error deleting load balancer: stuck" in await w.events("web")
        cloud.broken = ""
        await w.clock.sleep(30)
        assert cloud.there == {}


@simulated
async def test_a_failure_is_told_and_tried_again_and_nothing_is_left_behind():
    cloud = Balancers()
    async with world(config=providing(cloud)) as w:
        cloud.broken = "quota is used up"
        await service(w)
        text = "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: quota is used up"
        assert text in await w.events("web")
        cloud.broken = ""
        await w.clock.sleep(60)
        assert addresses(await w.get(core_v1.Service, "web")) == ["203.0.113.7"]
        cloud.broken = "busy"
        await w.delete(core_v1.Service, "web")
        await w.clock.sleep(5)
        assert (await w.get(core_v1.Service, "web")).metadata.finalizers == (FINALIZER,)
        cloud.broken = ""
        await w.clock.sleep(60)
        assert not await w.there(core_v1.Service, "web")
        assert cloud.there == {}
        text = "SyncLoadBalancerFailed: Error syncing load balancer: failed to delete load balancer: busy"
        assert text in await w.events("web")


@simulated
async def test_a_new_controller_cleans_up_what_another_made():
    cloud = Balancers()
    async with world(config=providing(cloud), only=("*", "-service-lb")) as w:
        made = await service(w)
        cloud.there[made.metadata.uid] = ()
        await w.patch(core_v1.Service, "web", {"metadata": {"finalizers": [FINALIZER]}})
        await w.delete(core_v1.Service, "web")
        running = controllers(w, "service-lb", config=providing(cloud))
        await w.clock.sleep(2)
        assert not await w.there(core_v1.Service, "web")
        assert cloud.there == {}
        running.cancel()


@simulated
async def test_without_a_provider_nothing_is_done():
    async with world() as w:
        await service(w)
        found = await w.get(core_v1.Service, "web")
        assert (found.metadata.finalizers, addresses(found)) == ((), [])
        assert await w.events("web") == []


class _Point:
    def __init__(self, name: str, value: object) -> None:
        self.name, self.group, self._value = name, GROUP, value

    def load(self) -> object:
        return self._value


def test_an_installed_package_offers_its_provider_by_an_entry_point(monkeypatch: pytest.MonkeyPatch):
    one = Provider(name="one", make=lambda client: Balancers())
    two = Provider(name="two", make=lambda client: Balancers(), load_balancer_class="example.com/two")
    monkeypatch.setattr(discover, "_installed", lambda: (_Point("one", one), _Point("two", two)))
    assert installed_providers() == {"": one, "example.com/two": two}
    monkeypatch.setattr(discover, "_installed", lambda: (_Point("bad", object()),))
    with pytest.raises(discover.DiscoveryError, match=r"entry point pybernetes.load_balancers:bad is a object"):
        installed_providers()
