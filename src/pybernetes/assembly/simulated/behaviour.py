"""What simulated containers do, by rule: annotations of their Pod, so that whoever makes Pods can say it (a Job's template).

`simulated.pybernetes.io/run-seconds: "10"` holds for the Pod's main containers, `simulated.pybernetes.io/run-seconds.migrate`
for the container `migrate` alone. Without any, main containers and sidecars run until they are stopped, and other init
containers end at once, well. docs/reference/simulated-nodes.md lists them. Pure; pod.py acts on it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.kubelet.restarts import is_sidecar

PREFIX = "simulated.pybernetes.io/"


class Behaviour(Struct, frozen=True):
    """Of one container. Seconds everywhere."""

    start_seconds: float = 0.0
    """How long its image is pulled; 0: it is there."""
    pull_error: str = ""
    """Why its image cannot be pulled."""
    run_seconds: float | None = None
    """So long after its start a run ends; None: not by itself."""
    exit_code: int = 0
    times: int | None = None
    """So many runs end by themselves, and those after them do not; None: all."""
    ready: bool = True
    ready_after_seconds: float = 0.0
    stop_seconds: float = 0.0
    """How long it takes to end when it is told to."""
    log: str = ""
    """What every run writes when it starts."""
    serve_hostname: bool = False
    """Whether the ports that it declares answer over HTTP, with the Pod's host name."""

    def lasts(self, attempt: int) -> float | None:
        """Seconds until the run of that number (the first is 0) ends by itself."""
        return None if self.times is not None and attempt >= self.times else self.run_seconds


_FOR_EVER = Behaviour()
_AT_ONCE = Behaviour(run_seconds=0.0)


class Plan(Struct, frozen=True):
    """What is said of the containers of a Pod. `error`: an annotation that cannot be obeyed, and why."""

    behaviours: Mapping[str, Behaviour] = {}
    error: str = ""

    def of(self, container: str) -> Behaviour:
        """Of a container of the Pod, an ephemeral one, too."""
        return self.behaviours.get(container, _FOR_EVER)


PLAIN = Plan()
"""Of a Pod without init containers of whom nothing is said."""


def plan_of(pod: core_v1.Pod) -> Plan:
    """By its annotations."""
    said = [(key[len(PREFIX) :], text) for key, text in pod.metadata.annotations.items() if key.startswith(PREFIX)]
    inits = {c.name: _FOR_EVER if is_sidecar(c) else _AT_ONCE for c in pod.spec.initContainers}
    if not said:
        return Plan(inits) if inits else PLAIN
    mains = [c.name for c in pod.spec.containers]
    found = inits | dict.fromkeys((*mains, *(c.name for c in pod.spec.ephemeralContainers)), _FOR_EVER)
    try:
        for key, text in sorted(said, key=lambda entry: ("." in entry[0], entry)):  # what names a container outranks
            name, dot, container = key.partition(".")
            if dot and container not in found:
                raise ValueError(f"there is no container {container!r}")
            for each in (container,) if dot else mains:
                found[each] = _with(found[each], name, text)
    except ValueError as error:
        return Plan(inits, f'annotation {PREFIX}{key}: "{text}": {error}')
    return Plan({name: _completed(behaviour) for name, behaviour in found.items()})


def _with(behaviour: Behaviour, name: str, text: str) -> Behaviour:
    """Raises ValueError."""
    reader = _READERS.get(name)
    if reader is None:
        raise ValueError(f"there is no such rule; known: {', '.join(sorted(_READERS))}")
    value: Any = reader(text)
    return replace(behaviour, **{name.replace("-", "_"): value})


def _completed(behaviour: Behaviour) -> Behaviour:
    """Who is to end in a certain way, and it is not said when, ends at once."""
    if behaviour.run_seconds is None and (behaviour.exit_code or behaviour.times is not None):
        return replace(behaviour, run_seconds=0.0)
    return behaviour


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError("must be a number of seconds, at least 0")
    return seconds


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:10]) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _words(text: str) -> str:
    return text


_READERS: Mapping[str, Callable[[str], object]] = {
    "start-seconds": _seconds,
    "pull-error": _words,
    "run-seconds": _seconds,
    "exit-code": _whole(0, 255),
    "times": _whole(0, 1_000_000),
    "ready": _yes_or_no,
    "ready-after-seconds": _seconds,
    "stop-seconds": _seconds,
    "log": _words,
    "serve-hostname": _yes_or_no,
}
