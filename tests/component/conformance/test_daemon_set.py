"""DaemonSets: upstream's test/e2e/apps/daemon_set.go."""

from typing import Any

import orjson
import pytest
from tests.component.api import MERGE
from tests.component.conformance.e2e import (
    APPS,
    HASH,
    PODS,
    Workloads,
    conditions,
    controller_of,
    image_of,
    is_ready,
    set_image,
    set_missing_image,
    template,
    workloads,
)
from tests.component.controllers.world import simulated

SETS = f"{APPS}/daemonsets"
EVERYWHERE = "/apis/apps/v1/daemonsets"
NODES = "/api/v1/nodes"
LABELS = {"daemonset-name": "daemon-set"}
SELECTED = "labelSelector=daemonset-name%3Ddaemon-set"
ONE = f"{SETS}/daemon-set"
IMAGE = "httpd:2.4.38"
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.45"
ROLLING = {"type": "RollingUpdate"}


def daemon_set(*, labelled=False, **spec):
    pods = template(LABELS, "app", IMAGE)
    del pods["spec"]["terminationGracePeriodSeconds"]
    pods["spec"]["containers"][0]["ports"] = [{"containerPort": 9376}]
    meta = {"name": "daemon-set", **({"labels": LABELS} if labelled else {})}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": LABELS}, "template": pods, **spec}}


async def runs_on(k: Workloads, ds: Any, nodes: list[str]) -> bool:
    """Just one available Pod of the set on each of these, and none elsewhere."""
    pods = [pod for pod in await k.items(PODS) if controller_of(pod) == ds["metadata"]["uid"]]
    live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)]
    return sorted(pod["spec"]["nodeName"] for pod in live) == sorted(nodes)


async def on_all_nodes(k: Workloads, ds: Any) -> None:
    nodes = [node["metadata"]["name"] for node in await k.items(NODES)]
    assert nodes
    await k.poll(lambda: runs_on(k, ds, nodes))


async def status_is_right(k: Workloads) -> None:
    async def right() -> bool:
        status = (await k.ok("GET", ONE))["status"]
        return bool(status["desiredNumberScheduled"] == status["currentNumberScheduled"] == status["numberReady"])

    await k.poll(right)


async def pods_of(k: Workloads) -> list[Any]:
    """Those that have not ended."""
    ended = "fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
    found = await k.items(f"{PODS}?{SELECTED}&{ended}")
    assert found
    return found


async def current(k: Workloads, count: int) -> Any:
    """The one revision, of so many, whose data is what the set's template gives, byte by byte."""

    async def made() -> Any:
        found = await k.items(f"{APPS}/controllerrevisions?{SELECTED}")
        return found if len(found) == count else None

    history = await k.poll(made)
    ds = await k.ok("GET", ONE)
    data = {"spec": {"template": {"$patch": "replace", **ds["spec"]["template"]}}}
    wanted = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    assert all(revision["metadata"]["labels"][HASH] for revision in history)
    (found,) = [revision for revision in history if orjson.dumps(revision["data"]) == wanted]
    return found


async def has_image(k: Workloads, ds: Any, image: str, unavailable: int) -> bool:
    """Whether every node has a Pod with that image; at no time are more Pods than that not available."""
    pods = [pod for pod in await k.items(PODS) if controller_of(pod) == ds["metadata"]["uid"]]
    live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert sum(not is_ready(pod) for pod in live) <= unavailable
    updated = {pod["spec"].get("nodeName") for pod in live if image_of(pod) == image}
    return {node["metadata"]["name"] for node in await k.items(NODES)} <= updated


async def label(k: Workloads, node: str, color: str) -> None:
    def paint(obj: Any) -> None:
        obj["metadata"]["labels"]["daemonset-color"] = color

    await k.updated(f"{NODES}/{node}", paint)


@pytest.mark.conformance("[sig-apps] Daemon set [Serial] should run and stop simple daemon [Conformance]")
@simulated
async def test_every_node_has_its_pod_and_one_that_is_stopped_is_made_again():
    async with workloads(nodes=3) as k:
        ds = await k.made(SETS, daemon_set())
        await on_all_nodes(k, ds)
        await status_is_right(k)
        stopped = (await pods_of(k))[0]["metadata"]
        await k.ok("DELETE", f"{PODS}/{stopped['name']}")
        await on_all_nodes(k, ds)
        assert stopped["uid"] not in [pod["metadata"]["uid"] for pod in await k.active("daemonset-name=daemon-set")]


@pytest.mark.conformance("[sig-apps] Daemon set [Serial] should run and stop complex daemon [Conformance]")
@simulated
async def test_pods_follow_the_labels_of_nodes():
    async with workloads(nodes=3) as k:
        body = daemon_set()
        body["spec"]["template"]["spec"]["nodeSelector"] = {"daemonset-color": "blue"}
        ds = await k.made(SETS, body)
        await k.poll(lambda: runs_on(k, ds, []))
        await label(k, "node-2", "blue")
        await k.poll(lambda: runs_on(k, ds, ["node-2"]))
        await status_is_right(k)
        await label(k, "node-2", "green")
        await k.poll(lambda: runs_on(k, ds, []))
        selector = {"template": {"spec": {"nodeSelector": {"daemonset-color": "green"}}}}
        await k.ok("PATCH", ONE, {"spec": {**selector, "updateStrategy": ROLLING}})
        await k.poll(lambda: runs_on(k, ds, ["node-2"]))
        await status_is_right(k)


@pytest.mark.conformance("[sig-apps] Daemon set [Serial] should retry creating failed daemon pods [Conformance]")
@simulated
async def test_a_pod_that_is_said_to_have_failed_is_made_again_and_goes():
    async with workloads(nodes=3) as k:
        ds = await k.made(SETS, daemon_set())
        await on_all_nodes(k, ds)
        await status_is_right(k)
        failed = (await pods_of(k))[0]
        failed["metadata"]["resourceVersion"] = ""
        failed["status"]["phase"] = "Failed"
        one = f"{PODS}/{failed['metadata']['name']}"
        await k.ok("PUT", f"{one}/status", failed)
        await on_all_nodes(k, ds)

        async def gone() -> bool:
            return not await k.there(one)

        await k.poll(gone)
        assert failed["metadata"]["uid"] not in [pod["metadata"]["uid"] for pod in await pods_of(k)]


@pytest.mark.conformance(
    "[sig-apps] Daemon set [Serial] should update pod when spec was updated and update strategy is RollingUpdate"
    " [Conformance]"
)
@simulated
async def test_a_rolling_update_makes_a_revision_and_takes_one_node_after_the_other():
    async with workloads(nodes=3) as k:
        ds = await k.made(SETS, daemon_set(updateStrategy=ROLLING))
        await on_all_nodes(k, ds)
        first = await current(k, 1)
        assert first["revision"] == 1
        assert {pod["metadata"]["labels"][HASH] for pod in await pods_of(k)} == {first["metadata"]["labels"][HASH]}
        containers = [{"name": "app", "image": AGNHOST}]
        ds = await k.ok("PATCH", ONE, {"spec": {"template": {"spec": {"containers": containers}}}})
        await k.poll(lambda: has_image(k, ds, AGNHOST, 1))
        await on_all_nodes(k, ds)
        second = await current(k, 2)
        assert second["revision"] == 2
        assert second["metadata"]["labels"][HASH] != first["metadata"]["labels"][HASH]
        assert {pod["metadata"]["labels"][HASH] for pod in await pods_of(k)} == {second["metadata"]["labels"][HASH]}


@pytest.mark.conformance("[sig-apps] Daemon set [Serial] should rollback without unnecessary restarts [Conformance]")
@simulated
async def test_a_roll_back_in_the_midst_of_an_update_leaves_old_pods_alone():
    async with workloads(nodes=3) as k:
        ds = await k.made(SETS, daemon_set(updateStrategy=ROLLING))
        await on_all_nodes(k, ds)
        await k.updated(ONE, set_missing_image("foo:non-existent"))

        async def rolling() -> bool:
            return "foo:non-existent" in map(image_of, await pods_of(k))

        await k.poll(rolling)
        pods = await pods_of(k)
        assert {image_of(pod) for pod in pods} == {IMAGE, "foo:non-existent"}
        existing = {pod["metadata"]["name"] for pod in pods if image_of(pod) == IMAGE}
        back = await k.updated(ONE, set_image(IMAGE))
        await k.poll(lambda: has_image(k, back, IMAGE, 1))
        assert existing <= {pod["metadata"]["name"] for pod in await pods_of(k)}
        assert (await current(k, 2))["revision"] == 3


@pytest.mark.conformance(
    "[sig-apps] Daemon set [Serial] should list and delete a collection of DaemonSets [Conformance]"
)
@simulated
async def test_daemon_sets_are_listed_and_deleted_together():
    async with workloads() as k:
        await on_all_nodes(k, await k.made(SETS, daemon_set(labelled=True)))
        await status_is_right(k)
        assert len(await k.items(f"{EVERYWHERE}?{SELECTED}")) == 1
        options = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 1}
        await k.ok("DELETE", f"{SETS}?{SELECTED}", options)
        assert await k.items(f"{EVERYWHERE}?{SELECTED}") == []


@pytest.mark.conformance("[sig-apps] Daemon set [Serial] should verify changes to a daemon set status [Conformance]")
@simulated
async def test_the_status_of_a_daemon_set_is_its_own():
    """Its patch is a whole DaemonSet as a client's library writes it: what is not said of the spec is null there."""
    async with workloads() as k:
        since = await k.since(f"{EVERYWHERE}?{SELECTED}")
        made = await k.made(SETS, daemon_set(labelled=True))
        await on_all_nodes(k, made)
        await status_is_right(k)
        await k.validate_status(SETS, "daemon-set", since, "daemonset-name%3Ddaemon-set")
        pods = {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}}
        numbers = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
        condition = {"type": "StatusPatchedAgain", "status": "True", "lastTransitionTime": None}
        payload = {
            "metadata": {"creationTimestamp": None},
            "spec": {"selector": None, "template": pods, "updateStrategy": {}},
            "status": {**dict.fromkeys(numbers, 0), "conditions": [condition]},
        }
        patched = await k.ok("PATCH", f"{ONE}/status", payload, content_type=MERGE)
        assert patched["spec"] == made["spec"]
        await k.seen(SETS, since, lambda kind, ds: "StatusPatchedAgain" in conditions(ds), query=f"&{SELECTED}")
        await on_all_nodes(k, made)
        await status_is_right(k)


async def test_daemon_sets_have_every_verb(api):
    await api.cycle(SETS, daemon_set(), status={"numberReady": 1})
