"""emptyDir: upstream's empty_dir.go of common/storage, and empty_dir_wrapper.go of storage."""

import asyncio

import pytest
from tests.node.conformance.place import ready
from tests.node.conformance.pods import container, entry, mount, pod, shell, volume

TAGS = "[LinuxOnly] [NodeConformance] [Conformance]"
SCRIPT = "umask 0; printf content > /v/file && chmod {0} /v/file && stat -c '%a %u' /v/file /v && cat /v/file"


def _medium(medium: str) -> list[dict]:
    return [{"name": "v", "emptyDir": {"medium": "Memory"} if medium == "tmpfs" else {}}]


@pytest.mark.parametrize(
    ("who", "mode", "medium"),
    [
        entry(f"[sig-storage] EmptyDir volumes should support ({who},{mode},{medium}) {TAGS}", who, mode, medium)
        for who in ("root", "non-root")
        for mode in ("0644", "0666", "0777")
        for medium in ("default", "tmpfs")
    ],
)
async def test_whoever_it_is_makes_files_of_any_mode(space, who, mode, medium):
    uid = 0 if who == "root" else 1001
    one = shell(
        SCRIPT.format(mode) + "; grep ' /v ' /proc/mounts | cut -d' ' -f3",
        volumeMounts=[mount("/v")],
        securityContext={"runAsUser": uid},
    )
    lines = (await space.output(pod("p", one, volumes=_medium(medium)))).splitlines()
    assert lines[:2] == [f"{mode[1:]} {uid}", "777 0"]
    assert (lines[2].removeprefix("content") == "tmpfs") == (medium == "tmpfs")


@pytest.mark.parametrize(
    "medium",
    [
        entry(
            f"[sig-storage] EmptyDir volumes volume on default medium should have the correct mode {TAGS}", "default"
        ),
        entry(f"[sig-storage] EmptyDir volumes volume on tmpfs should have the correct mode {TAGS}", "tmpfs"),
    ],
)
async def test_the_folder_is_open_to_all(space, medium):
    one = shell("stat -c %a /v; grep ' /v ' /proc/mounts | cut -d' ' -f3", volumeMounts=[mount("/v")])
    mode, kind = (await space.output(pod("p", one, volumes=_medium(medium)))).split()
    assert (mode, kind == "tmpfs") == ("777", medium == "tmpfs")


@pytest.mark.conformance(
    "[sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]"
)
async def test_containers_of_a_pod_share_a_folder(space):
    writer = shell("echo hello > /w/file; exec tool pause", name="writer", volumeMounts=[mount("/w")])
    reader = container(name="reader", volumeMounts=[mount("/r")])
    await space.run(pod("p", writer, reader, volumes=_medium("default")))
    script = "until [ -s /r/file ]; do sleep 0.1; done; cat /r/file"
    assert await space.exec("p", "sh", "-c", script, container="reader") == (0, "hello\n")


@pytest.mark.conformance("[sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]")
async def test_secret_and_config_map_volumes_of_a_pod_are_two(space):
    await space.create("secrets", {"metadata": {"name": "s"}, "stringData": {"data-1": "secret"}})
    await space.create("configmaps", {"metadata": {"name": "c"}, "data": {"data-1": "config"}})
    mounts = [mount("/etc/secret", "s"), mount("/etc/config", "c")]
    shown = [volume("secret", "s", "s"), volume("configMap", "c", "c")]
    await space.run(pod("p", container(volumeMounts=mounts), volumes=shown))
    assert (await space.exec("p", "cat", "/etc/secret/data-1", "/etc/config/data-1"))[1] == "secretconfig"


@pytest.mark.serial
@pytest.mark.conformance(
    "[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps "
    "[Serial] [Conformance]"
)
async def test_pods_with_fifty_config_maps_each_get_them_all(space):
    """Three Pods, twice; upstream: five, three times."""
    names = [f"racey-{number}" for number in range(50)]
    for name in names:
        await space.create("configmaps", {"metadata": {"name": name}, "data": {"data-1": name}})
    shown = [volume("configMap", name, name, items=[{"key": "data-1", "path": "data-1"}]) for name in names]
    one = container(volumeMounts=[mount(f"/etc/config/{name}", name) for name in names])
    for turn in range(2):
        pods = [f"p-{turn}-{number}" for number in range(3)]
        for name in pods:
            await space.create("pods", pod(name, one, volumes=shown, nodeName=space.place.nodes[1]))
        await asyncio.gather(*(space.until(name, ready) for name in pods))
        for name in pods:
            printed = (await space.exec(name, "sh", "-c", "cat /etc/config/*/data-1 | wc -c"))[1]
            assert int(printed) == sum(map(len, names))
            await space.delete(name)
