"""ConfigMaps and Secrets as files: upstream's configmap_volume.go, secrets_volume.go, projected_configmap.go and
projected_secret.go (test/e2e/common/storage)."""

import base64

import pytest
from tests.node.conformance.place import finished, running
from tests.node.conformance.pods import container, entry, mount, pod, shell, volume

DATA = {"data-1": "value-1", "data-2": "value-2", "data-3": "value-3"}
ITEM = {"items": [{"key": "data-2", "path": "path/to/data-2"}]}
LOOK = "cat {0} && stat -L -c ' %a %u %g' {0}"


FAMILIES = {
    "ConfigMap": "configMap",
    "Secrets": "secret",
    "Projected configMap": "projected configMap",
    "Projected secret": "projected secret",
}


def _sources(entries: dict[str, tuple[str, ...]], tags: str = "[NodeConformance] [Conformance]"):
    """What upstream asks (its words) of which of the families: a test for each."""
    return pytest.mark.parametrize(
        "source",
        [
            entry(f"[sig-storage] {family} {what} {tags}", FAMILIES[family])
            for what, families in entries.items()
            for family in families
        ],
    )


async def _make(space, source: str, name: str = "source", **fields) -> str:
    """The object that a volume shows; the name of its collection."""
    kind = source.removeprefix("projected ")
    plural = {"configMap": "configmaps", "secret": "secrets"}[kind]
    word = "data" if kind == "configMap" else "stringData"
    await space.create(plural, {"metadata": {"name": name}, word: fields.pop("data", DATA), **fields})
    return plural


async def _look(space, shown: dict, file: str, **spec) -> str:
    """Content, mode, owner and group of a file in the volume."""
    one = shell(LOOK.format(f"/etc/volume/{file}"), volumeMounts=[mount("/etc/volume", readOnly=True)])
    return await space.output(pod("reader", one, volumes=[shown], **spec))


@_sources(
    {"should be consumable from pods in volume": ("ConfigMap", "Secrets", "Projected configMap", "Projected secret")}
)
async def test_each_key_is_a_file(space, source):
    await _make(space, source)
    assert await _look(space, volume(source, "source"), "data-1") == "value-1 644 0 0\n"


@_sources({"should be consumable from pods in volume as non-root": ("ConfigMap", "Projected configMap")})
async def test_files_are_for_any_user(space, source):
    await _make(space, source)
    seen = await _look(space, volume(source, "source"), "data-1", securityContext={"runAsUser": 1000})
    assert seen == "value-1 644 0 0\n"


@_sources(
    {
        "should be consumable from pods in volume with defaultMode set": (
            "ConfigMap",
            "Secrets",
            "Projected configMap",
            "Projected secret",
        )
    },
    tags="[LinuxOnly] [NodeConformance] [Conformance]",
)
async def test_files_have_the_mode_of_the_volume(space, source):
    await _make(space, source)
    assert await _look(space, volume(source, "source", mode=0o400), "data-1") == "value-1 400 0 0\n"


@_sources(
    {
        "should be consumable from pods in volume as non-root with defaultMode and fsGroup set": (
            "Secrets",
            "Projected secret",
        )
    },
    tags="[LinuxOnly] [NodeConformance] [Conformance]",
)
async def test_files_are_of_the_pods_group(space, source):
    await _make(space, source)
    context = {"runAsUser": 1000, "fsGroup": 1001}
    seen = await _look(space, volume(source, "source", mode=0o440), "data-1", securityContext=context)
    assert seen == "value-1 440 0 1001\n"


@_sources(
    {
        "should be consumable from pods in volume with mappings": (
            "ConfigMap",
            "Secrets",
            "Projected configMap",
            "Projected secret",
        )
    }
)
async def test_items_choose_keys_and_places(space, source):
    await _make(space, source)
    assert await _look(space, volume(source, "source", **ITEM), "path/to/data-2") == "value-2 644 0 0\n"
    one = shell("ls /etc/volume", volumeMounts=[mount("/etc/volume")])
    assert await space.output(pod("lister", one, volumes=[volume(source, "source", **ITEM)])) == "path\n"


@_sources(
    {
        "should be consumable from pods in volume with mappings and Item mode set": (
            "ConfigMap",
            "Projected configMap",
        ),
        "should be consumable from pods in volume with mappings and Item Mode set": ("Secrets", "Projected secret"),
    },
    tags="[LinuxOnly] [NodeConformance] [Conformance]",
)
async def test_an_item_has_a_mode_of_its_own(space, source):
    await _make(space, source)
    shown = volume(source, "source", items=[{**ITEM["items"][0], "mode": 0o400}])
    assert await _look(space, shown, "path/to/data-2") == "value-2 400 0 0\n"


@_sources({"should be consumable from pods in volume with mappings as non-root": ("ConfigMap", "Projected configMap")})
async def test_items_are_for_any_user(space, source):
    await _make(space, source)
    shown = volume(source, "source", **ITEM)
    seen = await _look(space, shown, "path/to/data-2", securityContext={"runAsUser": 1000})
    assert seen == "value-2 644 0 0\n"


@_sources(
    {
        "should be consumable in multiple volumes in the same pod": ("ConfigMap", "Projected configMap"),
        "should be consumable in multiple volumes in a pod": ("Secrets", "Projected secret"),
    }
)
async def test_one_object_may_be_in_two_volumes(space, source):
    await _make(space, source)
    mounts = [mount("/etc/volume-1", "v1"), mount("/etc/volume-2", "v2")]
    one = container("cat", "/etc/volume-1/data-1", "/etc/volume-2/data-1", volumeMounts=mounts)
    shown = [volume(source, "source", "v1"), volume(source, "source", "v2")]
    assert await space.output(pod("reader", one, volumes=shown)) == "value-1value-1"


@pytest.mark.conformance(
    "[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name "
    "in different namespace [NodeConformance] [Conformance]"
)
async def test_a_namesake_in_another_namespace_is_another_secret(space):
    other = await space.place.space("namesake")
    await _make(other, "secret", data={"data-1": "of another"})
    try:
        await _make(space, "secret")
        assert await _look(space, volume("secret", "source"), "data-1") == "value-1 644 0 0\n"
    finally:
        await other.leave()


@pytest.mark.conformance(
    "[sig-storage] ConfigMap binary data should be reflected in volume [NodeConformance] [Conformance]"
)
async def test_bytes_are_files_as_they_are(space):
    raw = bytes([0xDE, 0xCA, 0xFE, 0xBA, 0xD0, 0xFE, 0xFF, 0x00])
    await _make(space, "configMap", binaryData={"dump.bin": base64.b64encode(raw).decode()})
    one = shell("cat /v/data-1; xxd -p /v/dump.bin", volumeMounts=[mount("/v")])
    assert await space.output(pod("reader", one, volumes=[volume("configMap", "source")])) == f"value-1{raw.hex()}\n"


@pytest.mark.slow
@_sources({"updates should be reflected in volume": ("ConfigMap", "Projected configMap")})
async def test_a_change_of_the_object_is_one_of_the_file(space, source):
    await _make(space, source)
    script = "cat /v/data-1; echo; until grep -qx value-2 /v/data-1; do sleep 0.2; done"
    one = shell(script, volumeMounts=[mount("/v")])
    await space.create("pods", pod("reader", one, volumes=[volume(source, "source")]))
    await space.until("reader", running)
    await space.says("reader", "value-1")
    await space.patch("source", {"data": {"data-1": "value-2"}}, "configmaps")
    found = await space.until("reader", finished, timeout=100)
    assert found["status"]["phase"] == "Succeeded"


WAIT = """
cat /delete/data-1; echo; ls /create
until [ ! -e /delete/data-1 ] && [ "$(cat /update/data-3)" = changed ] && [ "$(cat /create/data-1)" = value-1 ]; do
  sleep 0.2
done
"""


@pytest.mark.slow
@_sources(
    {
        "optional updates should be reflected in volume": (
            "ConfigMap",
            "Secrets",
            "Projected configMap",
            "Projected secret",
        )
    }
)
async def test_optional_objects_may_come_change_and_go(space, source):
    await _make(space, source, "delete")
    plural = await _make(space, source, "update")
    names = ("delete", "update", "create")
    shown = [volume(source, name, name, optional=True) for name in names]
    one = shell(WAIT, volumeMounts=[mount(f"/{name}", name) for name in names])
    await space.create("pods", pod("reader", one, volumes=shown))
    await space.until("reader", running)
    await space.says("reader", "value-1")
    word = "data" if plural == "configmaps" else "stringData"
    await space.delete("delete", plural)
    await space.patch("update", {word: {"data-3": "changed"}}, plural)
    await _make(space, source, "create")
    found = await space.until("reader", finished, timeout=100)
    assert found["status"]["phase"] == "Succeeded"


@_sources({"should be immutable if `immutable` field is set": ("ConfigMap", "Secrets")}, tags="[Conformance]")
async def test_an_immutable_object_stays_as_it_is(space, source):
    plural = await _make(space, source)
    word = "data" if source == "configMap" else "stringData"
    await space.patch("source", {word: {"data-4": "value-4"}}, plural)
    await space.patch("source", {"immutable": True}, plural)
    for change in ({word: {"data-5": "value-5"}}, {"immutable": False}, {"immutable": None}):
        code, _ = await space.api("PATCH", space.path(plural, "source"), change)
        assert code == 422, change
    await space.patch("source", {"metadata": {"labels": {"label1": "value1"}}}, plural)
    await space.delete("source", plural)
