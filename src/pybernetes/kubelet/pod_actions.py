"""What the Pod machine sees and what it says: Observed goes in, Actions come out. pod_machine.py decides, executor.py acts."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from pybernetes.kubelet.cri.model import Container, Sandbox, State


class Failure(Struct, frozen=True):
    """Why an action failed, and when (seconds since 1970) it may be tried again."""

    reason: str
    message: str
    until: float
    since: float = 0.0
    image: str = ""
    """Of an image that could not be pulled and is not the container's own."""


class Health(Struct, frozen=True):
    """What the probes say of one container. Without probes all is well as soon as it runs."""

    started: bool = True
    ready: bool = True
    answered: bool = True
    """Whether probes have said if it is ready; before that it is as reported, or nobody knows."""
    unhealthy: str = ""
    """Why it must be restarted; empty while it need not."""
    grace: float | None = None
    """terminationGracePeriodSeconds of the probe that failed."""


class Verdict(Struct, frozen=True):
    """The Pod must end as Failed: refused by admission, evicted, or too long active."""

    reason: str
    message: str
    grace: float | None = None
    disruption: str = ""
    """Message of the condition DisruptionTarget; empty where the Pod's own doing ends it."""


class Observed(Struct, frozen=True):
    """All that decide() may know of the world. Keys of `failures`, `busy` and `done` are keys of actions."""

    now: float
    sandboxes: tuple[Sandbox, ...] = ()
    """Newest first."""
    containers: tuple[Container, ...] = ()
    """Of each name the newest attempt first."""
    busy: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()
    """Actions that leave no trace in the runtime (prepare, pull, stop of a sandbox) and have succeeded."""
    failures: Mapping[str, Failure] = {}
    health: Mapping[str, Health] = {}
    """By container id."""
    restarts: Mapping[str, int] = {}
    """By container name: the highest attempt ever reported; the runtime may have forgotten it."""
    in_place: frozenset[str] = frozenset()
    """Containers that are to have other resources without a restart; "" is the Pod itself."""
    verdict: Verdict | None = None
    started: float | None = None
    """When the kubelet first took up the Pod (status.startTime)."""
    grace: float | None = None
    """Of a Pod that is gone from the API: what is left of its grace."""
    late: frozenset[str] = frozenset()
    """Ids of containers that have ended, as is known from elsewhere, but not yet as far as the runtime's lists go."""
    delays: Mapping[str, float] = {}
    """By container name: what its next run would wait, of runs that the runtime may have forgotten."""
    longest_delay: float = 300.0
    """crashLoopBackOff.maxContainerRestartPeriod, in seconds."""

    @property
    def running(self) -> tuple[Container, ...]:
        """Containers that run."""
        return tuple(c for c in self.containers if c.state == State.RUNNING)


class Action(Struct, frozen=True):
    """One thing to do."""

    name: ClassVar[str] = ""

    @property
    def key(self) -> str:
        return self.name


class Prepare(Action, frozen=True):
    """Directories, cgroup and volumes of the Pod."""

    name: ClassVar[str] = "prepare"


class RunSandbox(Action, frozen=True):
    """A new sandbox. There is never a second one under way."""

    name: ClassVar[str] = "sandbox"
    attempt: int


class StopSandbox(Action, frozen=True):
    """Stops what is left in a sandbox and gives its network back."""

    sandbox: str

    @property
    def key(self) -> str:
        return f"stop-sandbox/{self.sandbox}"


class RemoveSandbox(Action, frozen=True):
    """Forgets a stopped sandbox and its containers."""

    sandbox: str

    @property
    def key(self) -> str:
        return f"remove-sandbox/{self.sandbox}"


class PullImage(Action, frozen=True):
    """Makes the image present, as the pull policy wants it, for one attempt of a container."""

    container: str
    attempt: int

    @property
    def key(self) -> str:
        return f"pull/{self.container}/{self.attempt}"


class CreateContainer(Action, frozen=True):
    """A new container, not yet started. `delay` is written down with it: what its successor will have to wait."""

    container: str
    attempt: int
    sandbox: str
    delay: float

    @property
    def key(self) -> str:
        return f"create/{self.container}"


class StartContainer(Action, frozen=True):
    """Starts a created container."""

    container: str
    id: str

    @property
    def key(self) -> str:
        return f"start/{self.id}"


class StopContainer(Action, frozen=True):
    """preStop hook, TERM, and KILL after `grace` seconds. A shorter grace may be asked for while a longer one runs.

    TERM waits until the containers named in `after` have ended, but no longer than the grace lasts.
    """

    container: str
    id: str
    grace: float
    why: str = ""
    """What the event says; empty where it is only that the container is stopped."""
    after: tuple[str, ...] = ()
    hook: bool = True
    """Whether preStop runs: not for a Pod that was taken out of the API by force."""
    replaced: bool = False
    """Whether another takes its place, for its spec has changed."""

    @property
    def key(self) -> str:
        return f"stop/{self.id}/{self.grace:g}"


class RemoveContainer(Action, frozen=True):
    """Forgets a container that does not run."""

    id: str

    @property
    def key(self) -> str:
        return f"remove/{self.id}"


class ResizePod(Action, frozen=True):
    """Gives running containers and the Pod's cgroup what the Pod was allocated meanwhile."""

    name: ClassVar[str] = "resize"


class TearDown(Action, frozen=True):
    """Unmounts the volumes and removes the Pod's cgroup."""

    name: ClassVar[str] = "teardown"


class FinalDelete(Action, frozen=True):
    """Tells the API that nothing of the Pod runs any more: DELETE with grace 0 and its uid."""

    name: ClassVar[str] = "delete"


class Forget(Action, frozen=True):
    """Nothing runs here of a Pod that the API does not know: drop its files and its record."""

    name: ClassVar[str] = "forget"


class WakeAt(Action, frozen=True):
    """Nothing to do before `when` (seconds since 1970)."""

    name: ClassVar[str] = "wake"
    when: float
