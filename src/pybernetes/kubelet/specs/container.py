"""CreateContainer's request, from a container of a Pod and what was made for it. executor.py sends it."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.environment import ConfigError, expand
from pybernetes.kubelet.pod_machine import pod_grace
from pybernetes.kubelet.resources import container_resources, cpu_rules
from pybernetes.kubelet.restarts import CONTAINER_HASH, container_hash
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.names import labels
from pybernetes.kubelet.specs.security import security

DEFAULT_MESSAGE_PATH = "/dev/termination-log"


class Making(Struct, frozen=True):
    """What one container is made from, beside its spec."""

    pod: core_v1.Pod
    container: core_v1.Container
    attempt: int
    delay: float
    image: str
    """The image id that was pulled."""
    inspected: m.Image | None
    """What the runtime says of the image; None where it has lost it."""
    environment: Mapping[str, str]
    mounts: tuple[m.Mount, ...]
    """Of its volumes."""
    hosts: Path | None
    message_file: Path
    settings: Settings
    target: str = ""
    """The id of the container that an ephemeral one looks at."""


def container_spec(making: Making) -> m.ContainerSpec:
    """What CreateContainer is asked for. Raises ConfigError where the spec cannot be met."""
    pod, container = making.pod, making.container
    name = container.name
    message_path = container.terminationMessagePath or DEFAULT_MESSAGE_PATH
    env = making.environment
    annotations = {
        CONTAINER_HASH: container_hash(container),
        m.RESTART_COUNT: str(making.attempt),
        m.RESTART_DELAY: f"{making.delay:g}",
        m.GRACE_PERIOD: f"{pod_grace(pod):g}",
        m.MESSAGE_PATH: message_path,
        m.MESSAGE_POLICY: container.terminationMessagePolicy or "File",
    }
    return m.ContainerSpec(
        name=name,
        attempt=making.attempt,
        image=making.image,
        command=tuple(expand(word, env) for word in container.command),
        args=tuple(expand(word, env) for word in container.args),
        working_dir=container.workingDir,
        envs=tuple((name, _text(name, value)) for name, value in env.items()),
        mounts=_mounts(making, message_path),
        labels={**labels(pod), m.CONTAINER_NAME: name},
        annotations=annotations,
        log_path=f"{name}/{making.attempt}.log",
        stdin=container.stdin,
        stdin_once=container.stdinOnce,
        tty=container.tty,
        resources=container_resources(pod, container, making.settings.memory, cpu_rules(making.settings.config)),
        security=security(pod, container, making.inspected, making.settings, making.target),
        stop_signal=(container.lifecycle.stopSignal or "") if container.lifecycle else "",
    )


def _text(name: str, value: str) -> str:
    """CRI has text only; a Secret may have any bytes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f'the value of environment variable "{name}" is not UTF-8') from None
    return value


def _mounts(making: Making, message_path: str) -> tuple[m.Mount, ...]:
    found = [*making.mounts]
    taken = {mount.container_path.rstrip("/") for mount in found}
    if making.hosts is not None and "/etc/hosts" not in taken:
        found.append(m.Mount(str(making.hosts), "/etc/hosts"))
    found.append(m.Mount(str(making.message_file), message_path))
    return tuple(found)
