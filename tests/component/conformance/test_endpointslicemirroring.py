"""Mirrored EndpointSlices: upstream's test/e2e/network/endpointslicemirroring.go."""

from typing import Any

import pytest
from tests.component.conformance.e2e import CORE, workloads
from tests.component.conformance.test_endpointslice import SERVICES, slices
from tests.component.controllers.world import simulated

NAME = "example-custom-endpoints"


@pytest.mark.conformance(
    "[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete [Conformance]"
)
@simulated
async def test_endpoints_of_a_user_are_mirrored_from_their_beginning_to_their_end():
    async with workloads() as k:
        ports = [{"name": "example", "port": 80, "protocol": "TCP"}]
        await k.made(SERVICES, {"metadata": {"name": NAME}, "spec": {"ports": ports}})
        subsets = [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]
        await k.made(f"{CORE}/endpoints", {"metadata": {"name": NAME}, "subsets": subsets})

        async def mirrored(address: str, port: int) -> Any:
            found = await slices(k, NAME)
            if len(found) != 1 or len(found[0]["endpoints"] or ()) != 1:
                return None
            return (found[0]["endpoints"][0]["addresses"], found[0]["ports"][0]["port"]) == ([address], port) or None

        await k.poll(lambda: mirrored("10.1.2.3", 80), 12)

        def change(endpoints: Any) -> None:
            endpoints["subsets"] = [{"addresses": [{"ip": "10.2.3.4"}], "ports": [{"port": 9090}]}]

        await k.updated(f"{CORE}/endpoints/{NAME}", change)
        await k.poll(lambda: mirrored("10.2.3.4", 9090), 12)
        (found,) = await slices(k, NAME)
        manager = "endpointslicemirroring-controller.k8s.io"
        assert found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == manager
        await k.ok("DELETE", f"{CORE}/endpoints/{NAME}")

        async def gone() -> Any:
            return not await slices(k, NAME) or None

        await k.poll(gone, 12)
