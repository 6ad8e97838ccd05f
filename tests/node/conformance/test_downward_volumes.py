"""The downward API as files: upstream's downwardapi_volume.go and projected_downwardapi.go (test/e2e/common/storage)."""

import pytest
from tests.node.conformance.place import finished
from tests.node.conformance.pods import container, entry, mount, pod, shell

AMOUNTS = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
PLAIN, PROJECTED = "[sig-storage] Downward API volume ", "[sig-storage] Projected downwardAPI "
BOTH, LINUX = " [NodeConformance] [Conformance]", " [LinuxOnly] [NodeConformance] [Conformance]"


def _both(*names: str, tags: str = BOTH) -> object:
    """Each entry of both files: plain and projected."""
    rows = [
        entry(f"{family}{name}{tags}", projected, *([name] if len(names) > 1 else []), id=None)
        for name in names
        for family, projected in ((PLAIN, False), (PROJECTED, True))
    ]
    return pytest.mark.parametrize("projected, what" if len(names) > 1 else "projected", rows)


def _volume(projected: bool, *items: dict, mode: int | None = None) -> dict:
    given = {"defaultMode": mode} if mode is not None else {}
    if projected:
        return {"name": "v", "projected": {"sources": [{"downwardAPI": {"items": list(items)}}], **given}}
    return {"name": "v", "downwardAPI": {"items": list(items), **given}}


def _field(path: str, **fields) -> dict:
    return {"path": "file", "fieldRef": {"fieldPath": path}, **fields}


def _resource(name: str) -> dict:
    return {"path": "file", "resourceFieldRef": {"containerName": "c", "resource": name}}


async def _read(space, shown: dict, **fields) -> str:
    one = container("cat", "/etc/podinfo/file", volumeMounts=[mount("/etc/podinfo")], **fields)
    return await space.output(pod("downward", one, volumes=[shown]))


@_both("should provide podname only")
async def test_the_name_is_a_file(space, projected):
    assert await _read(space, _volume(projected, _field("metadata.name"))) == "downward"


RESOURCES = {
    "should provide container's cpu limit": ("limits.cpu", "2"),
    "should provide container's memory limit": ("limits.memory", "67108864"),
    "should provide container's cpu request": ("requests.cpu", "1"),
    "should provide container's memory request": ("requests.memory", "33554432"),
}


@_both(*RESOURCES)
async def test_requests_and_limits_are_files(space, projected, what):
    resource, wanted = RESOURCES[what]
    assert await _read(space, _volume(projected, _resource(resource)), resources=AMOUNTS) == wanted


NODES = {
    "should provide node allocatable (cpu) as default cpu limit if the limit is not set": "cpu",
    "should provide node allocatable (memory) as default memory limit if the limit is not set": "memory",
}


@_both(*NODES)
async def test_without_a_limit_the_node_is_the_limit(space, projected, what):
    resource = NODES[what]
    seen = await _read(space, _volume(projected, _resource(f"limits.{resource}")))
    name = (await space.get("downward"))["spec"]["nodeName"]
    amount = (await space.api.ok("GET", f"/api/v1/nodes/{name}"))["status"]["allocatable"][resource]
    assert int(seen) == (int(amount) if resource == "cpu" else int(amount.removesuffix("Ki")) * 1024)


MODES = {"should set DefaultMode on files": "volume", "should set mode on item file": "item"}


@_both(*MODES, tags=LINUX)
async def test_modes_are_the_volumes_or_the_items_own(space, projected, what):
    whole = MODES[what] == "volume"
    item = _field("metadata.name", **({} if whole else {"mode": 0o400}))
    shown = _volume(projected, item, mode=0o400 if whole else None)
    one = container("stat", "-L", "-c", "%a", "/v/file", volumeMounts=[mount("/v")])
    assert await space.output(pod("downward", one, volumes=[shown])) == "400\n"


CHANGES = {"should update labels on modification": "labels", "should update annotations on modification": "annotations"}


@pytest.mark.slow
@_both(*CHANGES)
async def test_a_change_of_labels_or_annotations_is_one_of_the_file(space, projected, what):
    word = CHANGES[what]
    script = "cat /v/file; echo; until grep -q 'key=\"changed\"' /v/file; do sleep 0.2; done"
    one = shell(script, volumeMounts=[mount("/v")])
    made = pod("downward", one, volumes=[_volume(projected, _field(f"metadata.{word}"))])
    made["metadata"][word] = {"key": "first"}
    await space.create("pods", made)
    await space.says("downward", 'key="first"')
    await space.patch("downward", {"metadata": {word: {"key": "changed"}}})
    found = await space.until("downward", finished, timeout=100)
    assert found["status"]["phase"] == "Succeeded"
