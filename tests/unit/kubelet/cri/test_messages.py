"""The messages of CRI say all that the specs say."""

from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import fields, replace

from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.cri.messages import container_config, sandbox_config

REF = m.PodRef("ns", "web", "uid")
SANDBOX = m.SandboxSpec(REF, 1, "web", "/log", "/parent", {}, {})
CONTAINER = m.ContainerSpec(
    name="c",
    attempt=1,
    image="sha256:1",
    command=(),
    args=(),
    working_dir="",
    envs=(),
    mounts=(),
    labels={},
    annotations={},
    log_path="c/1.log",
    stdin=False,
    stdin_once=False,
    tty=False,
    resources=m.Resources(),
    security=m.Security(),
)
OTHER: dict[str, Any] = {
    "pod": m.PodRef("ns", "other", "uid-2"),
    "labels": {"a": "1"},
    "annotations": {"a": "1"},
    "ports": (m.Port("TCP", 80, 8080),),
    "sysctls": {"a": "1"},
    "supplemental_groups": (5,),
    "groups_policy": "Strict",
    "selinux": m.SELinux(level="s0"),
    "overhead": m.Resources(memory_limit=1),
    "envs": (("A", "1"),),
    "mounts": (m.Mount("/a", "/b"),),
    "resources": m.Resources(memory_limit=1),
    "security": m.Security(privileged=True),
    "seccomp": m.Profile("Localhost", "/p"),
    "apparmor": m.Profile("Localhost", "p"),
    "stop_signal": "SIGUSR1",
    "run_as_user": 0,
    "run_as_group": 0,
    "huge_pages": {"2MB": 1},
    "unified": {"memory.high": "1"},
}
IN_THE_REQUEST = {"runtime_handler"}
"""Fields that are not in the message, but beside it."""


def others(value: Struct) -> list[tuple[str, Any]]:
    """Each field with another value than it has."""
    found = []
    for field in fields(type(value)):
        now = getattr(value, field.name)
        plain: Any = not now if isinstance(now, bool) else ("other",) if isinstance(now, tuple) else None
        plain = f"{now}x" if isinstance(now, str) else now + 1 if type(now) is int else plain
        found.append((field.name, OTHER.get(field.name, plain)))
    return [(name, other) for name, other in found if name not in IN_THE_REQUEST]


@pytest.mark.parametrize(("name", "other"), others(SANDBOX))
def test_every_field_of_a_sandbox_is_told(name: str, other: object) -> None:
    assert sandbox_config(replace(SANDBOX, **{name: other})) != sandbox_config(SANDBOX)


@pytest.mark.parametrize(("name", "other"), others(CONTAINER))
def test_every_field_of_a_container_is_told(name: str, other: object) -> None:
    assert container_config(replace(CONTAINER, **{name: other}), SANDBOX) != container_config(CONTAINER, SANDBOX)


@pytest.mark.parametrize(("name", "other"), others(CONTAINER.security))
def test_every_field_of_a_security_context_is_told(name: str, other: object) -> None:
    changed = replace(CONTAINER, security=replace(CONTAINER.security, **{name: other}))
    assert container_config(changed, SANDBOX) != container_config(CONTAINER, SANDBOX)


@pytest.mark.parametrize(("name", "other"), others(CONTAINER.resources))
def test_every_limit_is_told(name: str, other: object) -> None:
    changed = replace(CONTAINER, resources=replace(CONTAINER.resources, **{name: other}))
    assert container_config(changed, SANDBOX) != container_config(CONTAINER, SANDBOX)


def test_namespaces_are_told_as_one_choice() -> None:
    config = container_config(replace(CONTAINER, security=m.Security(target="id")), replace(SANDBOX, host_pid=True))
    options = config.linux.security_context.namespace_options
    assert (options.pid, options.target_id) == (3, "id")
    assert sandbox_config(replace(SANDBOX, host_network=True)).hostname == ""
