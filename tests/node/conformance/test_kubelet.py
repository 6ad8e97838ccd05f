"""Logs, failing containers, /etc/hosts, read-only roots: upstream's kubelet.go and kubelet_etc_hosts.go (common/node)."""

import asyncio

import pytest
from tests.component.api import STRATEGIC
from tests.node.conformance.place import finished, gone, statuses
from tests.node.conformance.pods import container, mount, pod, shell

MANAGED = "# Kubernetes-managed hosts file."


@pytest.mark.conformance(
    "[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs "
    "[NodeConformance] [Conformance]"
)
async def test_what_a_container_prints_is_in_its_log(space):
    assert await space.output(pod("talker", shell("echo 'Hello World'"))) == "Hello World\n"


@pytest.mark.conformance(
    "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason "
    "[NodeConformance] [Conformance]"
)
async def test_a_container_that_fails_says_that_it_did(space):
    await space.create("pods", pod("fails", container("false")))
    found = await space.until("fails", finished)
    ended = statuses(found)["c"]["state"]["terminated"]
    assert (found["status"]["phase"], ended["reason"], ended["exitCode"]) == ("Failed", "Error", 1)


@pytest.mark.conformance(
    "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete "
    "[NodeConformance] [Conformance]"
)
async def test_a_pod_whose_container_always_fails_can_be_deleted(space):
    await space.create("pods", pod("fails", container("false"), restartPolicy="Always"))
    await space.until("fails", lambda p: statuses(p).get("c", {}).get("restartCount", 0) > 0)
    await space.delete("fails")
    await space.until("fails", gone)


@pytest.mark.conformance(
    "[sig-node] Kubelet when scheduling a busybox Pod with hostAliases should write entries to /etc/hosts [LinuxOnly] "
    "[NodeConformance] [Conformance]"
)
async def test_host_aliases_are_lines_of_etc_hosts(space):
    aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]
    printed = await space.output(pod("aliased", container("cat", "/etc/hosts"), hostAliases=aliases))
    assert "123.45.67.89\tfoo\tbar\n" in printed


@pytest.mark.conformance(
    "[sig-node] Kubelet when scheduling a read only busybox container should not write to root filesystem [LinuxOnly] "
    "[NodeConformance] [Conformance]"
)
async def test_a_read_only_root_cannot_be_written(space):
    one = shell("echo test > /file; sleep 1000", securityContext={"readOnlyRootFilesystem": True})
    await space.create("pods", pod("reader", one))
    await space.until("reader", lambda p: p["status"]["phase"] == "Running")
    await space.says("reader", "can't create /file: Read-only file system")


@pytest.mark.conformance(
    "[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [LinuxOnly] "
    "[NodeConformance] [Conformance]"
)
async def test_etc_hosts_is_the_kubelets_unless_the_pod_mounts_its_own(space):
    own = mount("/etc/hosts", "hosts")
    three = [container(name="c1"), container(name="c2"), container(name="c3", volumeMounts=[own])]
    volumes = [{"name": "hosts", "hostPath": {"path": "/etc/hosts", "type": "File"}}]
    await space.run(pod("inside", *three, volumes=volumes))
    await space.run(pod("outside", container(name="c1"), container(name="c2"), hostNetwork=True))
    seen = {
        (name, one): (await space.exec(name, "cat", "/etc/hosts", container=one))[1]
        for name, one in [("inside", "c1"), ("inside", "c2"), ("inside", "c3"), ("outside", "c1"), ("outside", "c2")]
    }
    assert [MANAGED in text for text in seen.values()] == [True, True, False, False, False]
    found = await space.get("inside")
    assert f"{found['status']['podIP']}\tinside\n" in seen["inside", "c1"]
    assert "# Kubernetes-managed hosts file (host network)." in seen["outside", "c1"]


async def test_pods_go_whenever_they_are_deleted(space):
    """Twelve that crash, in steps of a twelfth of a second around their restart; six whose image has just changed."""

    async def crashes(number: int) -> None:
        name = f"crash-{number}"
        await space.create("pods", pod(name, container("false"), restartPolicy="Always"))
        await space.until(name, lambda p: "terminated" in str(statuses(p)))
        await asyncio.sleep(number / 12)
        await space.delete(name)
        await space.until(name, gone)

    async def changes(number: int) -> None:
        name = f"changed-{number}"
        await space.run(pod(name))
        change = {"spec": {"containers": [{"name": "c", "image": "conformance/defaults:1"}]}}
        await space.api.ok("PATCH", space.path("pods", name), change, content_type=STRATEGIC)
        await asyncio.sleep(number / 10)
        await space.delete(name)
        await space.until(name, gone)

    await asyncio.gather(*(crashes(number) for number in range(12)), *(changes(number) for number in range(6)))
