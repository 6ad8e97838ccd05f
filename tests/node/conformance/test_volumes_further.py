"""Host paths, parts of volumes and what is mounted later, beyond the conformance suite: upstream's
common/storage/host_path.go, storage/testsuites/subpath.go and node/mount_propagation.go."""

import asyncio

import pytest
from tests.node.conformance.place import statuses
from tests.node.conformance.pods import container, entry, mount, pod, shell

EMPTY = [{"name": "v", "emptyDir": {}}]


def _folder(space, name: str = "") -> str:
    return f"/tmp/conformance-{space.name}{name}"


def _host(space, kind: str = "DirectoryOrCreate", name: str = "") -> list[dict]:
    return [{"name": "v", "hostPath": {"path": _folder(space, name), "type": kind}}]


async def _on_one_node(space, *made: dict) -> list[str]:
    """What Pods print, one after the other on the same node."""
    return [await space.output({**one, "spec": {**one["spec"], "nodeName": space.place.nodes[1]}}) for one in made]


@pytest.mark.conformance("[sig-storage] HostPath should support r/w [NodeConformance]")
async def test_what_one_pod_writes_on_the_node_another_reads(space):
    writer = pod("writer", shell("echo hello > /v/file", volumeMounts=[mount("/v")]), volumes=_host(space))
    reader = pod("reader", container("cat", "/v/file", volumeMounts=[mount("/v")]), volumes=_host(space, "Directory"))
    assert (await _on_one_node(space, writer, reader))[1] == "hello\n"


@pytest.mark.conformance("[sig-storage] HostPath should support subPath [NodeConformance]")
async def test_a_part_of_the_nodes_folder_is_mounted(space):
    mounts = [mount("/v"), mount("/part", subPath="a/b")]
    writer = pod("writer", shell("echo hello > /part/file; cat /v/a/b/file", volumeMounts=mounts), volumes=_host(space))
    assert await _on_one_node(space, writer) == ["hello\n"]


@pytest.mark.conformance("[sig-storage] HostPath should give a volume the correct mode [LinuxOnly] [NodeConformance]")
async def test_a_folder_that_is_made_on_the_node_is_for_its_owner(space):
    one = container("stat", "-c", "%a %F", "/v", volumeMounts=[mount("/v")])
    assert await _on_one_node(space, pod("p", one, volumes=_host(space))) == ["755 directory\n"]


@pytest.mark.parametrize(
    ("kind", "present"),
    [
        entry(
            "[sig-storage] HostPathType Directory should fail on mounting non-existent directory",
            "Directory",
            "nothing",
        ),
        entry("[sig-storage] HostPathType File should fail on mounting non-existent file", "File", "nothing"),
        entry("[sig-storage] HostPathType Directory should fail on mounting a file", "Directory", "file"),
        entry("[sig-storage] HostPathType File should fail on mounting a directory", "File", "directory"),
        entry("[sig-storage] HostPathType Socket should fail on mounting a directory", "Socket", "directory"),
    ],
)
async def test_what_is_on_the_node_must_be_what_the_pod_says(space, kind, present):
    make = {"nothing": "true", "file": "echo > /v/x", "directory": "mkdir -p /v/x"}[present]
    await _on_one_node(space, pod("maker", shell(make, volumeMounts=[mount("/v")]), volumes=_host(space)))
    made = pod(
        "p", container(volumeMounts=[mount("/v")]), volumes=_host(space, kind, "/x"), nodeName=space.place.nodes[1]
    )
    await space.create("pods", made)
    message = await space.event("p", "FailedMount")
    assert f"hostPath type check failed: {_folder(space, '/x')} is not a {kind.lower()}" in message


SUBPATH = "[sig-storage] In-tree Volumes [Driver: emptydir] [Testpattern: Inline-volume (default fs)] subPath should "


@pytest.mark.conformance(f"{SUBPATH}support non-existent path")
async def test_a_part_that_is_not_there_is_made(space):
    one = shell(
        "touch /part/file && stat -c '%a %n' /v/deep/er/file",
        volumeMounts=[mount("/v"), mount("/part", subPath="deep/er")],
    )
    assert await space.output(pod("p", one, volumes=EMPTY)) == "644 /v/deep/er/file\n"


@pytest.mark.conformance(f"{SUBPATH}support existing single file [LinuxOnly]")
async def test_a_part_may_be_a_file(space):
    first = shell("echo content > /v/file", name="first", volumeMounts=[mount("/v")])
    one = container("cat", "/mounted", volumeMounts=[mount("/mounted", subPath="file")])
    assert await space.output(pod("p", one, initContainers=[first], volumes=EMPTY)) == "content\n"


@pytest.mark.conformance(f"{SUBPATH}support readOnly directory specified in the volumeMount")
async def test_a_part_may_be_read_only(space):
    first = shell("mkdir /v/part", name="first", volumeMounts=[mount("/v")])
    one = shell("touch /part/x 2>&1 || true", volumeMounts=[mount("/part", subPath="part", readOnly=True)])
    assert "Read-only file system" in await space.output(pod("p", one, initContainers=[first], volumes=EMPTY))


@pytest.mark.parametrize(
    "prepare",
    [
        entry(f"{SUBPATH}fail if subpath directory is outside the volume", "ln -s /bin /v/part", id="folder"),
        entry(f"{SUBPATH}fail if subpath file is outside the volume", "ln -s /bin/busybox /v/part", id="file"),
        entry(f"{SUBPATH}fail if non-existent subpath is outside the volume", "ln -s /bin/none /v/part", id="nothing"),
        entry(f"{SUBPATH}fail if subpath with backstepping is outside the volume", "ln -s ../ /v/part", id="upwards"),
    ],
)
async def test_a_part_that_leads_out_of_the_volume_is_refused(space, prepare):
    first = shell(prepare, name="first", volumeMounts=[mount("/v")])
    one = container(volumeMounts=[mount("/part", subPath="part")])
    await space.create("pods", pod("p", one, initContainers=[first], volumes=EMPTY))
    found = await space.until(
        "p",
        lambda p: (
            statuses(p).get("c", {}).get("state", {}).get("waiting", {}).get("reason") == "CreateContainerConfigError"
        ),
    )
    message = statuses(found)["c"]["state"]["waiting"]["message"]
    verb = "create subPath directory" if prepare.endswith("/bin/none /v/part") else "prepare subPath"
    assert f'failed to {verb} for volumeMount "v" of container "c"' in message
    assert "restartCount" in statuses(found)["c"]
    assert "startedAt" not in str(statuses(found)["c"]["state"])


@pytest.mark.conformance("[sig-node] Mount propagation should propagate mounts within defined scopes")
async def test_mounts_go_where_the_pod_lets_them(space):
    node = space.place.nodes[1]
    ways = {"master": "Bidirectional", "slave": "HostToContainer", "private": "None", "default": None}
    for name, way in ways.items():
        given = {"mountPropagation": way} if way else {}
        one = container(volumeMounts=[mount("/v", **given)], securityContext={"privileged": True})
        await space.create("pods", pod(name, one, volumes=_host(space), nodeName=node))
    await asyncio.gather(*(space.until(name, lambda p: p["status"]["phase"] == "Running") for name in ways))
    for name in ways:
        script = f"mkdir /v/{name} && mount -t tmpfs e2e /v/{name} && echo {name} > /v/{name}/file"
        code, printed = await space.exec(name, "sh", "-c", script)
        assert code == 0, printed
    seen = {name: (await space.exec(name, "sh", "-c", "cat /v/*/file"))[1].replace("cat: ", "") for name in ways}
    try:
        assert {name: {other for other in ways if f"{other}\n" in text} for name, text in seen.items()} == {
            "master": {"master"},
            "slave": {"master", "slave"},
            "private": {"private"},
            "default": {"default"},
        }
    finally:
        await space.exec("master", "umount", "/v/master")
