"""ConfigMaps and Secrets in the environment: upstream's test/e2e/common/node/configmap.go and secrets.go."""

import pytest
from tests.node.conformance.pods import container, pod

PREFIXES = ("", "1-", "$_-", "ABC_", "#@!")


def _config(kind: str) -> tuple[str, str, dict]:
    """Collection, the word of references (secretRef, configMapRef), and the object."""
    data = {"data-1": "value-1", "data-2": "value-2", "data-3": "value-3"}
    if kind == "secret":
        return "secrets", "secret", {"metadata": {"name": "source"}, "stringData": data}
    return "configmaps", "configMap", {"metadata": {"name": "source"}, "data": data}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "configmap",
            marks=pytest.mark.conformance(
                "[sig-node] ConfigMap should be consumable via environment variable [NodeConformance] [Conformance]"
            ),
        ),
        pytest.param(
            "secret",
            marks=pytest.mark.conformance(
                "[sig-node] Secrets should be consumable from pods in env vars [NodeConformance] [Conformance]"
            ),
        ),
    ],
)
async def test_one_key_is_a_variable(space, kind):
    plural, word, obj = _config(kind)
    await space.create(plural, obj)
    env = [{"name": "DATA", "valueFrom": {f"{word}KeyRef": {"name": "source", "key": "data-1"}}}]
    assert "DATA=value-1\n" in await space.output(pod("p", container("env", env=env)))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "configmap",
            marks=pytest.mark.conformance(
                "[sig-node] ConfigMap should be consumable via the environment [NodeConformance] [Conformance]"
            ),
        ),
        pytest.param(
            "secret",
            marks=pytest.mark.conformance(
                "[sig-node] Secrets should be consumable via the environment [NodeConformance] [Conformance]"
            ),
        ),
    ],
)
async def test_all_keys_are_variables_with_and_without_a_prefix(space, kind):
    plural, word, obj = _config(kind)
    await space.create(plural, obj)
    source = [{f"{word}Ref": {"name": "source"}}, {"prefix": "p-", f"{word}Ref": {"name": "source"}}]
    printed = (await space.output(pod("p", container("env", envFrom=source)))).splitlines()
    for number in "123":
        assert f"data-{number}=value-{number}" in printed
        assert f"p-data-{number}=value-{number}" in printed


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "configmap",
            marks=pytest.mark.conformance(
                "[sig-node] ConfigMap should be consumable as environment variable names with various prefixes "
                "[Conformance]"
            ),
        ),
        pytest.param(
            "secret",
            marks=pytest.mark.conformance(
                "[sig-node] Secrets should be consumable as environment variable names variable names with various "
                "prefixes [Conformance]"
            ),
        ),
    ],
)
async def test_any_printable_prefix_but_the_equal_sign_is_taken(space, kind):
    plural, word, obj = _config(kind)
    await space.create(plural, obj)
    source = [{"prefix": prefix, f"{word}Ref": {"name": "source"}} for prefix in PREFIXES]
    printed = (await space.output(pod("p", container("env", envFrom=source)))).splitlines()
    assert {f"{prefix}data-2=value-2" for prefix in PREFIXES} <= set(printed)


@pytest.mark.conformance("[sig-node] ConfigMap should update ConfigMap successfully [Conformance] [NodeConformance]")
async def test_a_config_map_is_replaced(space):
    made = await space.create("configmaps", _config("configmap")[2])
    made["data"] = {"data": "value"}
    await space.api.ok("PUT", space.path("configmaps", "source"), made)
    assert (await space.get("source", "configmaps"))["data"] == {"data": "value"}
