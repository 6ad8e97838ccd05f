"""Pods and observations for the kubelet's tests."""

from pybernetes.api.types import core_v1, meta_v1
from pybernetes.kubelet.cri.model import Container, PodRef, Sandbox, State

REF = PodRef("default", "web", "uid-1")


def container(name: str = "c", **fields: object) -> core_v1.Container:
    """A container of busybox."""
    return core_v1.Container(**{"name": name, "image": "busybox:1", **fields})


def pod(
    *containers: core_v1.Container, policy: str = "Always", meta: dict[str, object] | None = None, **spec: object
) -> core_v1.Pod:
    """The Pod default/web."""
    metadata = {"name": "web", "namespace": "default", "uid": "uid-1", "generation": 1, **(meta or {})}
    fields = {"containers": containers or (container(),), "restartPolicy": policy, **spec}
    return core_v1.Pod(metadata=meta_v1.ObjectMeta(**metadata), spec=core_v1.PodSpec(**fields))


def named(name: str, priority: int = 0, **requests: str) -> core_v1.Pod:
    """A Pod of another name, whose only container asks for something."""
    wants = core_v1.ResourceRequirements(requests=requests)
    return pod(container(resources=wants), meta={"name": name, "uid": name}, priority=priority)


def sandbox(attempt: int = 0, *, ready: bool = True, ip: str = "10.0.0.7") -> Sandbox:
    """A sandbox of that Pod; its id says its attempt."""
    return Sandbox(f"s{attempt}", REF, attempt, ready, float(attempt), (ip,) if ready else ())


def run(name: str = "c", attempt: int = 0, state: State = State.RUNNING, **fields: object) -> Container:
    """A run of a container; its id says name and attempt."""
    base = {
        "id": f"{name}{attempt}",
        "sandbox": "s0",
        "pod": REF,
        "name": name,
        "attempt": attempt,
        "state": state,
        "created": float(attempt),
        "started": float(attempt) + 1,
        "finished": float(attempt) + 2 if state == State.EXITED else 0.0,
    }
    return Container(**{**base, **fields})
