"""What a Pod's spec says of users, rights, namespaces and names, seen from within its containers on a real containerd."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from bench._node import NodeUnderTest, running
from tests.node.kubelet.test_pods import configured, events, waiting

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1, node_v1
from pybernetes.kubelet.cri.model import State
from pybernetes.localcluster.image import ImageConfig, busybox_layer, write_archive

pytestmark = pytest.mark.root


async def inside(one: NodeUnderTest, pod: core_v1.Pod, container: str, *command: str) -> str:
    """What a command says in a container; its error too."""
    runs = await one.runtime.containers(pod.metadata.uid)
    run = next(r for r in runs if r.name == container and r.state == State.RUNNING)
    said = await one.runtime.exec(run.id, command, 10)
    return (said.stdout + said.stderr).decode()


async def status_of(one: NodeUnderTest, pod: core_v1.Pod, container: str) -> dict[str, str]:
    """/proc/1/status of a container's first process."""
    text = await inside(one, pod, container, "cat", "/proc/1/status")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


async def test_users_rights_and_filters_are_those_of_the_security_contexts(one: NodeUnderTest) -> None:
    tight = core_v1.SecurityContext(
        runAsUser=1000,
        allowPrivilegeEscalation=False,
        readOnlyRootFilesystem=True,
        capabilities=core_v1.Capabilities(drop=("ALL",), add=("NET_BIND_SERVICE",)),
        seccompProfile=core_v1.SeccompProfile(type="RuntimeDefault"),
    )
    general = core_v1.PodSecurityContext(
        runAsGroup=2000,
        fsGroup=3000,
        supplementalGroups=(4000,),
        sysctls=(core_v1.Sysctl(name="kernel.shm_rmid_forced", value="1"),),
        # Of no effect on a kernel without them, but no reason to refuse the Pod.
        seLinuxOptions=core_v1.SELinuxOptions(level="s0:c1,c2"),
        appArmorProfile=core_v1.AppArmorProfile(type="Unconfined"),
    )
    await one.create(
        "rights",
        securityContext=general,
        containers=(
            configured("tight", securityContext=tight, workingDir="/var"),
            configured("plain"),
            configured("loose", securityContext=core_v1.SecurityContext(privileged=True)),
        ),
    )
    pod = await one.until("rights", running)
    found = await status_of(one, pod, "tight")
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("1000", "2000")
    assert {"3000", "4000"} <= set(found["Groups"].split())
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert int(found["CapBnd"], 16) == 1 << 10
    assert "Read-only file system" in await inside(one, pod, "tight", "touch", "/file")
    assert (await inside(one, pod, "tight", "pwd")).strip() == "/var"

    found = await status_of(one, pod, "plain")
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("0", "2000")
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    assert int(found["CapEff"], 16) == 0xA80425FB
    mounts = await inside(one, pod, "plain", "cat", "/proc/self/mountinfo")
    assert " /proc/timer_list " in mounts
    assert " /proc/sys ro" in mounts
    assert (await inside(one, pod, "plain", "cat", "/proc/sys/kernel/shm_rmid_forced")).strip() == "1"

    found = await status_of(one, pod, "loose")
    assert f"\nCapBnd:\t{found['CapBnd']}\n" in Path("/proc/self/status").read_text()
    assert " /proc/timer_list " not in await inside(one, pod, "loose", "cat", "/proc/self/mountinfo")
    assert len((await inside(one, pod, "loose", "ls", "/dev")).split()) > len(
        (await inside(one, pod, "plain", "ls", "/dev")).split()
    )


async def test_a_seccomp_profile_of_the_node_is_read_and_must_be_there(one: NodeUnderTest) -> None:
    folder = one.folder / "kubelet" / "seccomp"
    folder.mkdir(parents=True)
    denied = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}
    (folder / "no-mkdir.json").write_text(json.dumps(denied))

    def profiled(name: str) -> core_v1.Container:
        profile = core_v1.SeccompProfile(type="Localhost", localhostProfile=name)
        return configured("c", securityContext=core_v1.SecurityContext(seccompProfile=profile))

    await one.create("filtered", containers=(profiled("no-mkdir.json"),))
    await one.create("unfiltered", containers=(profiled("gone.json"),))
    pod = await one.until("filtered", running)
    assert "Operation not permitted" in await inside(one, pod, "c", "mkdir", "/tmp/x")
    pod = await one.until("unfiltered", waiting("CreateContainerError"))
    state = pod.status.containerStatuses[0].state.waiting
    assert state is not None
    assert f'cannot load seccomp profile "{folder}/gone.json"' in state.message


async def test_namespaces_are_shared_as_the_spec_says(one: NodeUnderTest) -> None:
    await one.create("shared", shareProcessNamespace=True, containers=(configured("a"), configured("b")))
    await one.create("apart", containers=(configured("a"), configured("b")))
    await one.create("hosts", hostPID=True, hostIPC=True)
    shared, apart, hosts = [await one.until(name, running) for name in ("shared", "apart", "hosts")]

    async def of(pod: core_v1.Pod, container: str, kind: str) -> str:
        return (await inside(one, pod, container, "readlink", f"/proc/self/ns/{kind}")).strip()

    assert await of(shared, "a", "pid") == await of(shared, "b", "pid") != os.readlink("/proc/self/ns/pid")
    assert await of(apart, "a", "pid") != await of(apart, "b", "pid")
    assert await of(apart, "a", "ipc") == await of(apart, "b", "ipc") != os.readlink("/proc/self/ns/ipc")
    assert await of(hosts, "c", "pid") == os.readlink("/proc/self/ns/pid")
    assert await of(hosts, "c", "ipc") == os.readlink("/proc/self/ns/ipc")
    assert await of(hosts, "c", "net") == os.readlink("/proc/self/ns/net")

    guest = {
        "name": "debug",
        "image": configured("c").image,
        "command": ["sleep", "1000"],
        "targetContainerName": "b",
    }
    body = {"spec": {"ephemeralContainers": [guest]}}
    await one.pods.patch_raw(Key("default", "apart"), body, subresource="ephemeralcontainers")

    def debugged(pod: core_v1.Pod | None) -> bool:
        found = pod.status.ephemeralContainerStatuses if pod else ()
        return bool(found and found[0].state.running)

    apart = await one.until("apart", debugged)
    assert await of(apart, "debug", "pid") == await of(apart, "b", "pid")


async def test_what_the_node_cannot_do_is_refused_in_so_many_words(one: NodeUnderTest) -> None:
    strict = core_v1.PodSecurityContext(supplementalGroupsPolicy="Strict")
    profile = core_v1.AppArmorProfile(type="Localhost", localhostProfile="own")
    await one.create("strict", securityContext=strict)
    await one.create("armored", securityContext=core_v1.PodSecurityContext(appArmorProfile=profile))
    await one.create("rooted", securityContext=core_v1.PodSecurityContext(runAsNonRoot=True))
    classes = one.client.of(node_v1.RuntimeClass)
    for name, handler in (("good", "runc"), ("bad", "none-such")):
        await classes.create(node_v1.RuntimeClass(metadata=meta_v1.ObjectMeta(name=name), handler=handler))
    await one.create("good", runtimeClassName="good")
    await one.create("bad", runtimeClassName="bad")

    pod = await one.until("strict", lambda p: p is not None and p.status.phase == "Failed")
    assert pod.status.reason == "SupplementalGroupsPolicyNotSupported"
    assert pod.status.message.endswith("SupplementalGroupsPolicy=Strict is not supported in this node")
    pod = await one.until("armored", lambda p: p is not None and p.status.phase == "Failed")
    assert pod.status.reason == "AppArmor"
    assert pod.status.message.endswith("Cannot enforce AppArmor: AppArmor is not enabled on the host")
    pod = await one.until("rooted", waiting("CreateContainerConfigError"))
    state = pod.status.containerStatuses[0].state.waiting
    assert state is not None
    assert state.message.startswith("container has runAsNonRoot and image will run as root (pod: ")
    await one.until("good", running)
    [said] = await events(one, "bad", "FailedCreatePodSandBox")
    assert 'no runtime for "none-such" is configured' in said


async def test_names_and_variables_reach_the_containers(one: NodeUnderTest) -> None:
    config = core_v1.PodDNSConfig(
        nameservers=("192.0.2.53",),
        searches=("a.example", "b.example"),
        options=(core_v1.PodDNSConfigOption(name="ndots", value="2"), core_v1.PodDNSConfigOption(name="edns0")),
    )
    mount = (core_v1.VolumeMount(name="v", mountPath="/v"),)
    ref = core_v1.FileKeySelector(volumeName="v", path="f.env", key="COLOUR")
    writer = configured(
        "writer", command=("sh", "-c", "printf \"COLOUR='dark red'\\n\" > /v/f.env"), volumeMounts=mount
    )
    reader = configured(
        "c",
        command=("sh", "-c", 'tty; echo "$1 $COLOUR"; sleep 1000', "sh"),
        args=("$(FIRST)-$$(FIRST)-$(NONE)",),
        tty=True,
        env=(
            core_v1.EnvVar(name="FIRST", value="1"),
            core_v1.EnvVar(name="COLOUR", valueFrom=core_v1.EnvVarSource(fileKeyRef=ref)),
        ),
    )
    await one.create(
        "named",
        dnsPolicy="None",
        dnsConfig=config,
        hostAliases=(core_v1.HostAlias(ip="192.0.2.7", hostnames=("foo", "bar")),),
        volumes=(core_v1.Volume(name="v", emptyDir=core_v1.EmptyDirVolumeSource()),),
        initContainers=(writer,),
        containers=(reader,),
    )
    pod = await one.until("named", running)
    lines = (await inside(one, pod, "c", "cat", "/etc/resolv.conf")).splitlines()
    assert lines == ["search a.example b.example", "nameserver 192.0.2.53", "options ndots:2 edns0"]
    hosts = await inside(one, pod, "c", "cat", "/etc/hosts")
    assert hosts.startswith("# Kubernetes-managed hosts file (host network).\n")
    assert hosts.endswith("# Entries added by HostAliases.\n192.0.2.7\tfoo\tbar\n")
    log = one.folder / "pods" / f"default_named_{pod.metadata.uid}" / "c" / "0.log"
    for _ in range(200):
        if "dark" in log.read_text():
            break
        await asyncio.sleep(0.02)
    assert "1-$(FIRST)-$(NONE) dark red" in log.read_text()
    assert "/dev/" in log.read_text()


def import_image(one: NodeUnderTest, name: str, config: ImageConfig) -> str:
    archive, reference = one.folder / f"{name}.tar", f"docker.io/library/{name}:test"
    write_archive(archive, reference, [busybox_layer()], config)
    one.containerd.ctr("images", "import", str(archive))
    return reference


async def test_the_image_says_what_the_spec_does_not(one: NodeUnderTest) -> None:
    numbered = await asyncio.to_thread(import_image, one, "numbered", ImageConfig(cmd=("sleep", "99"), user="1234:77"))
    named = await asyncio.to_thread(import_image, one, "named", ImageConfig(cmd=("sleep", "99"), user="nobody"))
    empty = await asyncio.to_thread(import_image, one, "empty", ImageConfig())
    not_root = core_v1.PodSecurityContext(runAsNonRoot=True)
    await one.create("numbered", securityContext=not_root, containers=(core_v1.Container(name="c", image=numbered),))
    await one.create("named", securityContext=not_root, containers=(core_v1.Container(name="c", image=named),))
    await one.create("empty", containers=(core_v1.Container(name="c", image=empty),))
    pod = await one.until("numbered", running)
    assert (await status_of(one, pod, "c"))["Uid"].split()[0] == "1234"
    assert (await inside(one, pod, "c", "cat", "/proc/1/cmdline")).split("\0")[:2] == ["sleep", "99"]
    pod = await one.until("named", waiting("CreateContainerConfigError"))
    state = pod.status.containerStatuses[0].state.waiting
    assert state is not None
    assert "image has non-numeric user (nobody), cannot verify user is non-root" in state.message
    pod = await one.until("empty", waiting("CreateContainerError"))
    state = pod.status.containerStatuses[0].state.waiting
    assert state is not None
    assert state.message.endswith("no command specified")
