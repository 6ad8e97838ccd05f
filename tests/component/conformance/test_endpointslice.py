"""EndpointSlices: upstream's test/e2e/network/endpointslice.go, what needs no packets."""

from typing import Any

import pytest
from tests.component.api import MERGE
from tests.component.conformance.e2e import CORE, PODS, Workloads, workloads
from tests.component.controllers.world import simulated

GROUP = "/apis/discovery.k8s.io"
SLICES = f"{GROUP}/v1/namespaces/default/endpointslices"
SERVICES = f"{CORE}/services"
EMPTY = {"does-not-match-anything": "endpoints-and-endpoint-slices-should-still-be-created"}


def service(name: str, selector: dict[str, str], /, **port: Any) -> dict[str, Any]:
    spec = {"selector": selector, "ports": [{"port": 80, "protocol": "TCP", **port}], "publishNotReadyAddresses": True}
    return {"metadata": {"name": name}, "spec": spec}


async def slices(k: Workloads, name: str) -> list[Any]:
    return await k.items(f"{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3D{name}")


async def two_pods(k: Workloads) -> list[Any]:
    """`pod1`, and `pod2` whose port of the same name is another, with their addresses; and a Service of each manner."""
    ports = {"pod1": [("example-name", 3000)], "pod2": [("example-name", 3001), ("other-port", 3002)]}
    for name, said in ports.items():
        listed = [{"name": port, "containerPort": number} for port, number in said]
        spec = {"containers": [{"name": "container1", "image": "nginx", "ports": listed}]}
        await k.made(PODS, {"metadata": {"name": name, "labels": {name: "on", "shared12": "on"}}, "spec": spec})
    await k.made(SERVICES, service("example-int-port", {"pod1": "on"}, name="example", targetPort=3000))
    await k.made(SERVICES, service("example-named-port", {"shared12": "on"}, name="http", targetPort="example-name"))

    async def addressed() -> Any:
        pods = [await k.ok("GET", f"{PODS}/{name}") for name in ports]
        return pods if all(pod["status"].get("podIPs") for pod in pods) else None

    return list(await k.poll(addressed, 180, every=2))


def target(pod: Any) -> tuple[str, ...]:
    return ("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], pod["metadata"]["uid"])


def told(ref: Any) -> tuple[str, ...]:
    return (ref["kind"], ref["namespace"], ref["name"], ref["uid"])


async def refers(k: Workloads, name: str, *wanted: tuple[Any, str, int]) -> None:
    """The slices of a Service have just these endpoints: a Pod, the name of its port and its number."""

    async def enough() -> Any:
        found = await slices(k, name)
        pieces = sum(len(piece["endpoints"] or ()) for piece in found)
        return found if len(found) >= len(wanted) and pieces >= len(wanted) else None

    found = {}
    for piece in await k.poll(enough, 120, every=2):
        (port,) = piece["ports"]
        assert port["protocol"] == "TCP"
        for endpoint in piece["endpoints"]:
            (address,) = endpoint["addresses"]
            found[address] = (told(endpoint["targetRef"]), port["name"], port["port"])
    assert found == {pod["status"]["podIP"]: (target(pod), port, number) for pod, port, number in wanted}


@pytest.mark.conformance(
    "[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no"
    " pods [Conformance]"
)
@simulated
async def test_a_service_that_matches_no_pod_has_an_empty_slice():
    async with workloads(nodes=1) as k:
        await k.made(SERVICES, service("example-empty-selector", EMPTY, name="example"))
        (piece,) = await k.poll(lambda: slices(k, "example-empty-selector"), 30, every=2)
        assert (
            piece["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
        )
        assert not piece["endpoints"]
        await k.ok("DELETE", f"{SERVICES}/example-empty-selector")

        async def gone() -> bool:
            return await slices(k, "example-empty-selector") == []

        await k.poll(gone, 90, every=2)


@pytest.mark.conformance(
    "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]"
)
@simulated
async def test_slices_name_the_pods_of_a_service_and_come_again_when_they_are_deleted():
    async with workloads() as k:
        first, second = await two_pods(k)
        await refers(k, "example-int-port", (first, "example", 3000))
        both = (first, "http", 3000), (second, "http", 3001)
        await refers(k, "example-named-port", *both)
        deleted = await slices(k, "example-named-port")
        for piece in deleted:
            await k.ok("DELETE", f"{SLICES}/{piece['metadata']['name']}")
        await refers(k, "example-named-port", *both)
        uids = {piece["metadata"]["uid"] for piece in await slices(k, "example-named-port")}
        assert not uids & {piece["metadata"]["uid"] for piece in deleted}


@pytest.mark.conformance(
    "[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]"
)
@simulated
async def test_slices_have_all_verbs():
    """Beside the controllers, which leave alone what is not theirs."""
    async with workloads(nodes=1) as k:
        groups = (await k.ok("GET", "/apis"))["groups"]
        (group,) = [group for group in groups if group["name"] == "discovery.k8s.io"]
        assert "v1" in [version["version"] for version in group["versions"]]
        assert "v1" in [version["version"] for version in (await k.ok("GET", GROUP))["versions"]]
        assert "endpointslices" in [row["name"] for row in (await k.ok("GET", f"{GROUP}/v1"))["resources"]]
        selected, everywhere = "labelSelector=special-label%3Dx", f"{GROUP}/v1/endpointslices"
        body = {
            "metadata": {"generateName": "e2e-example-ing", "labels": {"special-label": "x"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}, {"addresses": ["2.2.3.4", "6.6.7.8"]}],
        }
        made = [await k.made(SLICES, body) for _ in range(3)][-1]
        one = f"{SLICES}/{made['metadata']['name']}"
        assert (await k.ok("GET", one))["metadata"]["uid"] == made["metadata"]["uid"]
        listed = await k.ok("GET", f"{SLICES}?{selected}")
        assert len(listed["items"]) == len(await k.items(f"{everywhere}?{selected}")) == 3
        since = listed["metadata"]["resourceVersion"]
        seen = [await k.watch(f"{path}?watch=1&{selected}&resourceVersion={since}") for path in (SLICES, everywhere)]
        patched = await k.ok("PATCH", one, {"metadata": {"annotations": {"patched": "true"}}}, content_type=MERGE)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        assert int(patched["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        updated = await k.updated(one, lambda piece: piece["metadata"]["annotations"].update(updated="true"))
        assert updated["metadata"]["annotations"]["updated"] == "true"
        for events in seen:
            kind, piece = await events.next()
            assert (kind, piece["metadata"]["annotations"]["patched"]) == ("MODIFIED", "true")
        await k.ok("DELETE", one)
        assert not await k.there(one)
        left = await k.items(f"{SLICES}?{selected}")
        assert len(left) == 2
        assert made["metadata"]["name"] not in [piece["metadata"]["name"] for piece in left]
        await k.ok("DELETE", f"{SLICES}?{selected}")
        assert await k.items(f"{SLICES}?{selected}") == []
