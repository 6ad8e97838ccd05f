"""Runs the phases of a command in their order. A phase is a file under phases/<command>/ with a PHASE."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Generic, TypeVar

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.aio.discover import DiscoveryError, discover
from pybernetes.api.errors import ApiError
from pybernetes.kubeadm.cluster import Cluster
from pybernetes.kubeadm.config import Checks, InitConfig, JoinConfig, Paths
from pybernetes.kubeadm.configfile import joining_config
from pybernetes.kubeadm.discovery import Discovered
from pybernetes.kubeadm.errors import KubeadmError

C = TypeVar("C", InitConfig, JoinConfig)

Say = Callable[[str], None]


@dataclass
class Context(Generic[C]):
    """What phases share: the configuration, the machine's files, and what earlier phases have found."""

    config: C
    paths: Paths
    clock: Clock
    say: Say
    warn: Say
    cluster: Cluster | None = None
    """The API, once there is an identity for it."""
    discovered: Discovered | None = None
    """What join has learnt of the cluster."""
    joining: "Context[InitConfig] | None" = None
    """Of a machine that joins as a control plane: what init's phases work with here."""
    certificate_key: str = ""
    """With it the Secret was sealed that this init has uploaded."""
    started: list[str] = field(default_factory=list)
    """Names of phases that have begun: tells a failure's reader what may have changed."""

    async def as_control_plane(self) -> "Context[InitConfig]":
        """Of join: what init's phases work with here, by what the cluster keeps. Raises KubeadmError, ApiError, OSError."""
        if self.joining is None:
            assert isinstance(self.config, JoinConfig)
            kept = (await self.api().config_map("kube-system", "kubeadm-config")).get("ClusterConfiguration", "")
            self.joining = Context(joining_config(self.config, kept), self.paths, self.clock, self.say, self.warn)
        return self.joining

    def api(self) -> Cluster:
        """The API. Raises KubeadmError when the phase that opens it was skipped."""
        if self.cluster is None:
            raise KubeadmError("there is no connection to the API server yet: a phase that opens it was skipped")
        return self.cluster


class Phase(Struct, frozen=True, kw_only=True):
    """One step of init or join. `after` names the phases that must have run before it."""

    name: str
    help: str
    run: Callable[[Context[InitConfig]], Awaitable[None]] | Callable[[Context[JoinConfig]], Awaitable[None]]
    after: tuple[str, ...] = ()


def phases_of(command: str) -> list[Phase]:
    """The phases of `init` or `join`, in order. Raises DiscoveryError for an order that cannot be."""
    found = discover(
        f"pybernetes.kubeadm.phases.{command}", "PHASE", Phase, group=f"pybernetes.kubeadm_phases.{command}"
    )
    return ordered(found.values())


def ordered(phases: Iterable[Phase]) -> list[Phase]:
    """In the order of `after`, by name where that leaves a choice."""
    by_name = {phase.name: phase for phase in phases}
    sorter = TopologicalSorter({phase.name: phase.after for phase in by_name.values()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise DiscoveryError(f"phases wait for each other: {' -> '.join(error.args[1])}") from error
    result: list[Phase] = []
    while sorter.is_active():
        for name in sorted(sorter.get_ready()):
            if name not in by_name:
                raise DiscoveryError(f"a phase comes after {name}, which there is not")
            result.append(by_name[name])
            sorter.done(name)
    return result


async def run_phases(context: Context[C], phases: Iterable[Phase]) -> None:
    """Runs them all. Raises KubeadmError with the phase's name before what went wrong."""
    checks: Checks = context.config.checks
    for phase in phases:
        if phase.name in checks.skipped_phases:
            continue
        context.started.append(phase.name)
        try:
            await phase.run(context)  # type: ignore[arg-type] # a phase is found under the command of its context
        except KubeadmError as error:
            raise _failed(phase, str(error)) from error
        except ApiError as error:
            raise _failed(phase, error.message) from error
        except OSError as error:
            raise _failed(phase, _os_text(error)) from error


def _os_text(error: OSError) -> str:
    if error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def _failed(phase: Phase, text: str) -> KubeadmError:
    return KubeadmError(f"error execution phase {phase.name}: {text}")
