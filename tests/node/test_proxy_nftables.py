"""The nftables backend of the service proxy, on real packets and with many Services."""

import time

from tests.suites.proxy import PODS, VIP, Lab, ProxyBackendSuite, service

from pybernetes.api.objects import Key
from pybernetes.proxy.backend import ProxyConfig
from pybernetes.proxy.backends.nftables import BACKEND, NftablesProxy


class TestNftables(ProxyBackendSuite):
    make = BACKEND.make

    async def test_five_thousand_services_cost_one_element_update_each(self, lab: Lab) -> None:
        backend = NftablesProxy(ProxyConfig(netns=lab.paths["node"]))
        try:
            many = {
                Key("default", f"s{i}"): [
                    service("a", "b", cluster_ips=(f"10.100.{i >> 8}.{i & 255}",), node_port=0, external_ips=())
                ]
                for i in range(5000)
            }
            began = time.perf_counter()
            await backend.sync(many, full=True)
            whole = time.perf_counter() - began
            last = Key("default", "s4999")
            began = time.perf_counter()
            await backend.sync({last: [service("b", cluster_ips=("10.100.19.135",), node_port=0)]}, full=False)
            one = time.perf_counter() - began
            assert (await lab.get("a", "10.100.19.135")).startswith("b ")
            print(f"5000 services {whole:.3f} s, one change {one * 1e3:.2f} ms")
            assert one < whole / 20
        finally:
            await backend.close()

    async def test_remove_leaves_no_trace(self, lab: Lab) -> None:
        backend = NftablesProxy(ProxyConfig(netns=lab.paths["node"]))
        await backend.sync({Key("d", "x"): [service("a")]}, full=True)
        assert (await lab.get("b", VIP)) == f"a {PODS['b']}"
        await backend.remove()
        thread, nft = await backend._open()
        assert await thread.run(nft.run, "list ruleset") == ""
        await backend.remove()
        await backend.close()
