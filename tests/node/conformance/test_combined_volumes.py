"""Projections together, and parts of volumes: upstream's projected_combined.go and storage/subpath.go."""

import pytest
from tests.node.conformance.pods import container, entry, mount, pod, shell, volume

SUBPATH = "[sig-storage] Subpath Atomic writer volumes should support subpaths with "
TAGS = "[Excluded:WindowsDocker] [Conformance]"


async def _make(space) -> None:
    await space.create("configmaps", {"metadata": {"name": "config"}, "data": {"key": "of config"}})
    await space.create("secrets", {"metadata": {"name": "secret"}, "stringData": {"key": "of secret"}})


NAME = {"items": [{"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}]}


@pytest.mark.conformance(
    "[sig-storage] Projected combined should project all components that make up the projection API "
    "[Projection][NodeConformance] [Conformance]"
)
async def test_all_sources_are_files_of_one_volume(space):
    await _make(space)
    sources = [
        {"downwardAPI": NAME},
        {"secret": {"name": "secret", "items": [{"key": "key", "path": "secret-data"}]}},
        {"configMap": {"name": "config", "items": [{"key": "key", "path": "config-data"}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]
    script = "cd /all; cat podname secret-data config-data; wc -c < token; stat -L -c %a secret-data"
    one = shell(script, volumeMounts=[mount("/all", readOnly=True)])
    shown = {"name": "v", "projected": {"sources": sources, "defaultMode": 0o644}}
    printed = await space.output(pod("combined", one, volumes=[shown]))
    text, size, mode = (
        printed.removeprefix("combined").replace("config", "config ", 1).rsplit(None, 2)[0],
        *printed.split()[-2:],
    )
    assert "of secret" in text
    assert printed.startswith("combinedof secretof config")
    assert int(size.removeprefix("config")) > 100
    assert mode == "644"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        entry(f"{SUBPATH}configmap pod {TAGS}", "configMap", "/mounted"),
        entry(f"{SUBPATH}configmap pod with mountPath of existing file {TAGS}", "configMap", "/etc/passwd"),
        entry(f"{SUBPATH}secret pod {TAGS}", "secret", "/mounted"),
        entry(f"{SUBPATH}downward pod {TAGS}", "downwardAPI", "/mounted"),
        entry(f"{SUBPATH}projected pod {TAGS}", "projected", "/mounted"),
    ],
)
async def test_one_file_of_a_volume_is_mounted_alone(space, kind, path):
    """And stays what it was while the volume changes under it: twenty looks in two seconds."""
    await _make(space)
    shown = {
        "configMap": volume("configMap", "config"),
        "secret": volume("secret", "secret"),
        "downwardAPI": {"name": "v", "downwardAPI": NAME},
        "projected": {"name": "v", "projected": {"sources": [{"downwardAPI": NAME}, {"secret": {"name": "secret"}}]}},
    }[kind]
    file, text = {"configMap": ("key", "of config"), "secret": ("key", "of secret")}.get(kind, ("podname", "one"))
    script = f'for i in $(seq 20); do [ -f {path} ] && [ "$(cat {path})" = "{text}" ] || exit 1; sleep 0.1; done'
    mounts = [mount(path, subPath=file), mount("/whole")]
    await space.output(pod("one", container("sh", "-c", script, volumeMounts=mounts), volumes=[shown]))
