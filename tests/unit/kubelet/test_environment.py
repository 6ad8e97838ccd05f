"""Environments: references, Services, configuration, the downward API."""

from pathlib import Path

import pytest
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.kubelet.downward import Facts, field_value, resource_value
from pybernetes.kubelet.environment import ConfigError, Environment, expand, service_variables

NODE = Facts(("192.0.2.1",), {"cpu": "2", "memory": "1Gi"})


def service(
    name: str, namespace: str = "default", ip: str = "10.96.0.5", *ports: core_v1.ServicePort
) -> core_v1.Service:
    spec = core_v1.ServiceSpec(clusterIP=ip, ports=ports or (core_v1.ServicePort(port=80),))
    return core_v1.Service(metadata=meta_v1.ObjectMeta(name=name, namespace=namespace), spec=spec)


async def env_of(
    wanted: core_v1.Container, sources: FakeSources | None = None, volumes: dict[str, Path] | None = None
) -> dict[str, str]:
    environment = Environment(pod(wanted), ("10.0.0.7",), NODE, sources or FakeSources(), volumes or {})
    return await environment.of(wanted)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A$(A)", "$(A$(A)"),
        ("$(A)$(", "1$("),
        ("$()", "$()"),
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$A", "$A"),
        ("x$(A)y$$z", "x1y$z"),
        ("$(", "$("),
    ],
)
def test_only_known_names_are_expanded(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


async def test_later_variables_see_earlier_ones() -> None:
    env = (core_v1.EnvVar(name="A", value="1"), core_v1.EnvVar(name="B", value="$(A)2"))
    assert await env_of(container(env=env)) == {"A": "1", "B": "12"}


def test_services_become_link_variables() -> None:
    ports = (core_v1.ServicePort(name="http", port=80), core_v1.ServicePort(name="dns-udp", port=53, protocol="UDP"))
    found = service_variables(pod(), [service("my-web", "default", "10.96.0.5", *ports)])
    assert found["MY_WEB_SERVICE_HOST"] == "10.96.0.5"
    assert found["MY_WEB_SERVICE_PORT"] == "80"
    assert found["MY_WEB_SERVICE_PORT_DNS_UDP"] == "53"
    assert found["MY_WEB_PORT"] == "tcp://10.96.0.5:80"
    assert found["MY_WEB_PORT_53_UDP_ADDR"] == "10.96.0.5"


def test_only_own_services_and_the_api_server_are_linked() -> None:
    every = [service("kubernetes"), service("other", "elsewhere"), service("headless", ip="None")]
    wanted = pod(meta={"namespace": "apps"})
    assert set(service_variables(wanted, every)) == {
        "KUBERNETES_PORT",
        "KUBERNETES_PORT_80_TCP",
        "KUBERNETES_PORT_80_TCP_ADDR",
        "KUBERNETES_PORT_80_TCP_PORT",
        "KUBERNETES_PORT_80_TCP_PROTO",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
    }
    quiet = pod(enableServiceLinks=False)
    assert not any(name.startswith("WEB") for name in service_variables(quiet, [service("web")]))


async def test_configuration_is_read_whole_or_by_key() -> None:
    sources = FakeSources()
    sources.config_maps["m"] = core_v1.ConfigMap(data={"a": "1", "b": "2"})
    sources.secrets["s"] = core_v1.Secret(data={"k": "djM="})
    secret = core_v1.SecretKeySelector(name="s", key="k")
    wanted = container(
        envFrom=(core_v1.EnvFromSource(prefix="P_", configMapRef=core_v1.ConfigMapEnvSource(name="m")),),
        env=(core_v1.EnvVar(name="S", valueFrom=core_v1.EnvVarSource(secretKeyRef=secret)),),
    )
    assert await env_of(wanted, sources) == {"P_a": "1", "P_b": "2", "S": "v3"}


async def test_what_is_missing_is_an_error_unless_optional() -> None:
    def refers(optional: bool | None) -> core_v1.Container:
        key = core_v1.ConfigMapKeySelector(name="m", key="k", optional=optional)
        return container(env=(core_v1.EnvVar(name="A", valueFrom=core_v1.EnvVarSource(configMapKeyRef=key)),))

    with pytest.raises(ConfigError, match='configmap "m" not found'):
        await env_of(refers(None))
    assert await env_of(refers(True)) == {}
    sources = FakeSources()
    sources.config_maps["m"] = core_v1.ConfigMap()
    with pytest.raises(ConfigError, match="couldn't find key k in ConfigMap default/m"):
        await env_of(refers(False), sources)


def test_fields_of_the_pod() -> None:
    wanted = pod(meta={"labels": {"app": "x", "b": 'q"'}}, nodeName="n1")
    assert field_value(wanted, "metadata.labels['app']", (), NODE) == "x"
    assert field_value(wanted, "metadata.labels", (), NODE) == 'app="x"\nb="q\\""'
    assert field_value(wanted, "status.podIPs", ("1.1.1.1", "::1"), NODE) == "1.1.1.1,::1"
    assert field_value(wanted, "status.hostIP", (), NODE) == "192.0.2.1"
    with pytest.raises(ValueError, match="unsupported fieldPath"):
        field_value(wanted, "spec.containers", (), NODE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("é", '"é"'),
        ("a\x01b", '"a\\x01b"'),
        ("\u200b", '"\\u200b"'),
        ("\r\v\\", '"\\r\\v\\\\"'),
        ("\U000e0001", '"\\U000e0001"'),
    ],
)
def test_annotations_are_quoted_as_go_does(value: str, shown: str) -> None:
    wanted = pod(meta={"annotations": {"a": value}})
    assert field_value(wanted, "metadata.annotations", (), NODE) == f"a={shown}"


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", "0", "1"),
        ("limits.cpu", "1m", "500"),
        ("requests.memory", "1Mi", "64"),
        ("limits.memory", "1Mi", "1024"),
        ("requests.cpu", "0", "0"),
    ],
)
def test_resources_are_rounded_up_and_fall_back_on_the_node(resource: str, divisor: str, value: str) -> None:
    own = core_v1.ResourceRequirements(limits={"cpu": "500m"}, requests={"memory": "64Mi"})
    selector = core_v1.ResourceFieldSelector(resource=resource, divisor=divisor)
    assert resource_value(pod(), selector, container(resources=own), NODE) == value


def from_file(key: str = "K", path: str = "f.env", optional: bool | None = None) -> core_v1.Container:
    ref = core_v1.FileKeySelector(volumeName="v", path=path, key=key, optional=optional)
    return container(env=(core_v1.EnvVar(name="A", valueFrom=core_v1.EnvVarSource(fileKeyRef=ref)),))


async def test_a_variable_may_come_from_a_file_of_the_pod(tmp_path: Path) -> None:
    (tmp_path / "f.env").write_text("K='from the file'\n")
    assert await env_of(from_file(), volumes={"v": tmp_path}) == {"A": "from the file"}
    assert await env_of(from_file("none", optional=True), volumes={"v": tmp_path}) == {}
    assert await env_of(from_file(path="gone", optional=True), volumes={"v": tmp_path}) == {}


async def test_an_env_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.env").write_text("K=1\n")
    (tmp_path / "f.env").write_text("K='1'\n")
    (tmp_path / "out.env").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match=r'environment variable key "other" not found in file ".*/f.env"'):
        await env_of(from_file("other"), volumes={"v": tmp_path})
    for path in ("bad.env", "gone", "out.env", "."):
        with pytest.raises(ConfigError, match=r"^couldn't parse env file$"):
            await env_of(from_file(path=path), volumes={"v": tmp_path})
    with pytest.raises(ConfigError, match='cannot find the volume "v" referenced by FileKeyRef'):
        await env_of(from_file())


def test_a_container_without_a_limit_has_that_of_its_pod() -> None:
    whole = core_v1.ResourceRequirements(limits={"cpu": "250m"})
    wanted = pod(container(), resources=whole)
    for resource, divisor, value in (("limits.cpu", "1m", "250"), ("limits.memory", "1Mi", "1024")):
        selector = core_v1.ResourceFieldSelector(resource=resource, divisor=divisor)
        assert resource_value(wanted, selector, container(), NODE) == value
