"""The Pod lifecycle as a pure function: decide(pod, observed) -> actions. executor.py performs them and observes again.

Nothing here waits, asks or remembers. Every action has a `key`; while one is under way its key is in `observed.busy`,
and what it would touch is left alone. Performing what decide() says, in any order and with any failure in between,
comes to rest: Running and nothing to do, or finished and cleaned (the laws in tests/unit/kubelet/test_pod_machine.py).
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Container, Sandbox, State
from pybernetes.kubelet.pod_actions import (
    Action,
    CreateContainer,
    FinalDelete,
    Forget,
    Health,
    Observed,
    Prepare,
    PullImage,
    RemoveContainer,
    RemoveSandbox,
    ResizePod,
    RunSandbox,
    StartContainer,
    StopContainer,
    StopSandbox,
    TearDown,
    WakeAt,
)
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.restarts import (
    CONTAINER_HASH,
    RESTART_ALL,
    changed,
    container_hash,
    is_sidecar,
    may_restart,
    next_delay,
    policy_of,
    restart_time,
    rule_for,
)

KEPT_RUNS = 2
"""Runs of one container that stay in the runtime: the current one and its predecessor (`kubectl logs --previous`)."""
DEFAULT_GRACE = 30.0
Actions: TypeAlias = Sequence[Action]
Seen: TypeAlias = Mapping[str, Sequence[Container]]


def decide(pod: core_v1.Pod | None, observed: Observed) -> Actions:
    """What to do next for one Pod; None is a Pod that the API knows no more. Same arguments, same answer."""
    if pod is None:
        return _paced(_clean(observed), observed)
    if terminating(pod, observed):
        return _paced(_terminate(pod, observed), observed)
    if finished(pod, observed):
        return _paced(_settle(pod, observed), observed)
    return _paced(_run(pod, observed), observed)


def _paced(wanted: Iterable[Action], observed: Observed) -> Actions:
    """Leaves out what is under way, and turns what has failed lately into the time to wake up."""
    chosen: list[Action] = []
    wake: list[float] = []
    for action in wanted:
        failure = observed.failures.get(action.key)
        if isinstance(action, WakeAt):
            wake.append(action.when)
        elif failure is not None and failure.since <= observed.now < failure.until:  # since > now: the clock was set
            wake.append(failure.until)
        elif action.key not in observed.busy:
            chosen.append(action)
    return (*chosen, *((WakeAt(min(wake)),) if wake else ()))


# -- what a Pod is ------------------------------------------------------------------------------------------------


def by_name(observed: Observed) -> Seen:
    """Runs of each container, the newest first."""
    found: dict[str, list[Container]] = {}
    for container in observed.containers:
        found.setdefault(container.name, []).append(container)
    for runs in found.values():
        if len(runs) > 1:
            runs.sort(key=lambda c: (c.attempt, c.created), reverse=True)
    return found


def current_sandbox(observed: Observed) -> Sandbox | None:
    """The newest sandbox, when it is ready."""
    newest = max(observed.sandboxes, key=lambda s: (s.attempt, s.created), default=None)
    return newest if newest is not None and newest.ready else None


def deadline(pod: core_v1.Pod, observed: Observed) -> float | None:
    """When activeDeadlineSeconds is over."""
    seconds = pod.spec.activeDeadlineSeconds
    return None if seconds is None or observed.started is None else observed.started + seconds


def terminating(pod: core_v1.Pod, observed: Observed) -> bool:
    """Whether everything must stop: deleted, refused, evicted, too long active, or Failed in the API already."""
    if pod.metadata.deletionTimestamp is not None or observed.verdict is not None:
        return True
    ends = deadline(pod, observed)
    return ends is not None and ends <= observed.now


def finished(pod: core_v1.Pod, observed: Observed) -> bool:
    """Whether the Pod has ended by itself: nothing runs and nothing may be started again."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    seen = by_name(observed)
    return (_init_failed(pod, seen) or _mains_over(pod, seen)) and not _interrupted(pod, observed, seen)


def _mains_over(pod: core_v1.Pod, seen: Seen) -> bool:
    """Whether every main container has ended for good."""
    for container in pod.spec.containers:
        runs = seen.get(container.name)
        if not runs or _alive(runs[0]) or may_restart(pod, container, runs[0]):
            return False
    return bool(seen)


def _interrupted(pod: core_v1.Pod, observed: Observed, seen: Seen) -> bool:
    """Whether the containers were ended because all are to start anew: a sidecar asked for it before the last of them ended.

    What a sidecar says after that comes of its own stop.
    """
    asked = [run.finished for run in restarting_all(pod, observed)]
    if not asked:
        return False
    lasting = {c.name for c in containers_of(pod) if not is_sidecar(c)}
    return min(asked) <= max((runs[0].finished for name, runs in seen.items() if name in lasting), default=0.0)


def _init_failed(pod: core_v1.Pod, seen: Seen) -> bool:
    """Whether an init container has failed for good: the Pod's containers will never start."""
    for container in pod.spec.initContainers:
        run = next(iter(seen.get(container.name, ())), None)
        if run is None or run.state != State.EXITED or is_sidecar(container):
            continue
        if run.exit_code != 0 and not may_restart(pod, container, run):
            return True
    return False


def _alive(container: Container) -> bool:
    return container.state != State.EXITED


def restarting_all(pod: core_v1.Pod, observed: Observed) -> tuple[Container, ...]:
    """Ended runs because of which every container of the Pod starts anew in the same sandbox (KEP-5532)."""
    sandbox = current_sandbox(observed)
    seen = by_name(observed)
    found = []
    for container in containers_of(pod):
        run = next(iter(seen.get(container.name, ())), None)
        if run is None or run.state != State.EXITED or sandbox is None or run.sandbox != sandbox.id:
            continue
        rule = rule_for(container, run.exit_code)
        if rule is not None and rule.action == RESTART_ALL:
            found.append(run)
    return tuple(found)


# -- running -------------------------------------------------------------------------------------------------------


def _run(pod: core_v1.Pod, observed: Observed) -> Iterator[Action]:
    ends = deadline(pod, observed)
    if ends is not None:
        yield WakeAt(ends)
    sandbox = current_sandbox(observed)
    if sandbox is None:
        yield from _begin(pod, observed)
        return
    triggers = restarting_all(pod, observed)
    if triggers:
        yield from _reset(pod, observed, triggers)
        return
    if observed.in_place:
        yield ResizePod()
    yield from _stop_unwanted(pod, observed, sandbox)
    yield from _advance(pod, observed, sandbox)
    yield from _collect(pod, observed, sandbox)


def _reset(pod: core_v1.Pod, observed: Observed, triggers: Sequence[Container]) -> Iterator[Action]:
    """Ends all but ephemeral containers at once and forgets them; those that asked for it last, so that it is finished
    whatever comes between. Back-off of the container that asked holds here, too."""
    own = {c.name for c in containers_of(pod)}
    runs = [run for run in observed.containers if run.name in own]
    living = [run for run in runs if run.lives]
    for run in living:
        yield from _stop(observed, run, 0.0)
    when = max(restart_time(run, observed.now) for run in triggers)
    if when > observed.now:
        yield WakeAt(when)
    elif not living and not starting(observed):
        asked = {run.name for run in triggers}
        others = [run for run in runs if run.name not in asked]
        yield from (RemoveContainer(run.id) for run in others or runs)


def _begin(pod: core_v1.Pod, observed: Observed) -> Iterator[Action]:
    """Until there is a sandbox: end what the old one left, prepare, and pull meanwhile."""
    seen = by_name(observed)
    if Prepare.name not in observed.done:
        yield Prepare()
    left = [c for c in observed.containers if c.lives]
    for container in left:
        yield from _stop(observed, container, pod_grace(pod))
    if not left:
        unstopped = [s for s in observed.sandboxes if StopSandbox(s.id).key not in observed.done]
        yield from (StopSandbox(s.id) for s in unstopped)
        if Prepare.name in observed.done and not unstopped:
            yield RunSandbox(1 + max((s.attempt for s in observed.sandboxes), default=-1))
    first = next(iter(containers_of(pod)), None)
    starting = pod.spec.containers if not pod.spec.initContainers else (first,) if first else ()
    for wanted in starting:
        runs = seen.get(wanted.name, ())
        if not runs or may_restart(pod, wanted, runs[0]):
            yield from _pull(observed, wanted.name, _attempt(observed, wanted.name, seen))


def _advance(pod: core_v1.Pod, observed: Observed, sandbox: Sandbox) -> Iterator[Action]:
    """Ephemeral containers at any time; init containers one after another; then the others, in their order only where
    a postStart hook makes the next one wait."""
    seen = by_name(observed)
    for guest in pod.spec.ephemeralContainers:
        runs = seen.get(guest.name, ())
        if not runs and guest.name not in observed.restarts:
            yield from _start_anew(observed, sandbox, guest.name, seen)
        elif runs:
            yield from _start_created(observed, runs[0], sandbox)
    if not (yield from _initialize(pod, observed, sandbox)):
        return
    held = False
    for wanted in pod.spec.containers:
        run = next(iter(seen.get(wanted.name, ())), None)
        if held and run is None:
            continue
        yield from _keep_running(pod, observed, sandbox, wanted)
        if wanted.lifecycle is not None and wanted.lifecycle.postStart is not None:
            up = run is not None and (run.state == State.EXITED or _up(observed, run))
            held = held or not (up or _failed(observed, wanted, run))


def _initialize(pod: core_v1.Pod, observed: Observed, sandbox: Sandbox) -> Generator[Action, None, bool]:
    """One init container after another; answers whether the main ones may start.

    The last one that has begun says how far things are. Those before it have had their turn, whatever has become of them
    since: a sidecar that is down delays nobody, and one that somebody has removed from the runtime does not run again.
    """
    seen, inits = by_name(observed), pod.spec.initContainers
    runs = [next((r for r in seen.get(c.name, ()) if r.sandbox == sandbox.id), None) for c in inits]
    reached = max((n for n, run in enumerate(runs) if run is not None), default=0)
    if any(
        c.sandbox == sandbox.id and c.name == main.name for c in observed.containers for main in pod.spec.containers
    ):
        reached = len(inits)
    for n, (wanted, run) in enumerate(zip(inits, runs, strict=True)):
        if is_sidecar(wanted):
            yield from _keep_running(pod, observed, sandbox, wanted)
            if n >= reached and not (run is not None and _up(observed, run)):
                return False
        elif n >= reached and not (run is not None and run.state == State.EXITED and run.exit_code == 0):
            yield from _keep_running(pod, observed, sandbox, wanted)
            return False
    return True


def _up(observed: Observed, run: Container) -> bool:
    """Whether a run is started as far as those after it care: startup probe and postStart hook included."""
    started = run.state == State.RUNNING and health(observed, run).started
    return started and StartContainer(run.name, run.id).key not in observed.busy


def _failed(observed: Observed, wanted: core_v1.Container, run: Container | None) -> bool:
    """Whether the start of a container has gone wrong: it holds up no other."""
    marks = (f"pull/{wanted.name}/", f"create/{wanted.name}", f"start/{run.id}" if run is not None else "start/-")
    return any(key.startswith(marks) for key in observed.failures)


def _keep_running(
    pod: core_v1.Pod, observed: Observed, sandbox: Sandbox, wanted: core_v1.Container
) -> Iterator[Action]:
    seen = by_name(observed)
    runs = seen.get(wanted.name, ())
    run = runs[0] if runs else None
    if run is None:
        yield from _start_anew(observed, sandbox, wanted.name, seen)
    elif run.state == State.CREATED:
        yield from _start_created(observed, run, sandbox)
    elif run.state == State.EXITED:
        is_init = any(wanted.name == c.name for c in pod.spec.initContainers)
        # In a new sandbox an init container runs again although it has succeeded before.
        if not may_restart(pod, wanted, run) and not (is_init and run.sandbox != sandbox.id):
            return
        when = run.finished if changed(wanted, run) or run.sandbox != sandbox.id else restart_time(run, observed.now)
        if when > observed.now:
            yield WakeAt(when)
        else:
            yield from _start_anew(observed, sandbox, wanted.name, seen, another=changed(wanted, run))


def _start_anew(
    observed: Observed, sandbox: Sandbox, name: str, seen: Seen, *, another: bool = False
) -> Iterator[Action]:
    """`another`: it is not what it was (a new image): what its runs before did counts no more."""
    if f"create/{name}" in observed.busy:
        return  # its number is taken, and nothing is seen of it yet
    attempt = _attempt(observed, name, seen)
    pull = PullImage(name, attempt)
    if pull.key not in observed.done:
        yield pull
        return
    runs = seen.get(name, ())
    delay = next_delay(runs[0], observed.longest_delay) if runs else observed.delays.get(name, 0.0)
    yield CreateContainer(name, attempt, sandbox.id, 0.0 if another else delay)


def _start_created(observed: Observed, run: Container, sandbox: Sandbox) -> Iterator[Action]:
    if run.state != State.CREATED:
        return
    if run.sandbox != sandbox.id:
        yield RemoveContainer(run.id)
    elif CreateContainer(run.name, run.attempt, run.sandbox, 0).key not in observed.busy:
        yield StartContainer(run.name, run.id)


def _pull(observed: Observed, name: str, attempt: int) -> Iterator[Action]:
    pull = PullImage(name, attempt)
    if pull.key not in observed.done:
        yield pull


def _attempt(observed: Observed, name: str, seen: Seen) -> int:
    """The number of the next run: past every one that was ever seen or reported."""
    runs = seen.get(name, ())
    return 1 + max(runs[0].attempt if runs else -1, observed.restarts.get(name, -1))


def health(observed: Observed, run: Container) -> Health:
    """What the probes say of a run."""
    return observed.health.get(run.id, Health())


def _stop_unwanted(pod: core_v1.Pod, observed: Observed, sandbox: Sandbox) -> Iterator[Action]:
    """Runs that may not go on: unhealthy, of an older sandbox, of another image, unknown to the runtime itself."""
    wanted = {c.name: c for c in containers_of(pod)}
    lasting = {c.name for c in (*pod.spec.containers, *filter(is_sidecar, pod.spec.initContainers))}
    newest = {name: runs[0].id for name, runs in by_name(observed).items()}
    for run in observed.containers:
        if not run.lives:
            continue
        spec, said = wanted.get(run.name), health(observed, run)
        if run.state == State.UNKNOWN or run.sandbox != sandbox.id or newest[run.name] != run.id:
            yield from _stop(observed, run, pod_grace(pod))
        elif said.unhealthy:
            again = spec is not None and (is_sidecar(spec) or policy_of(pod, spec) != "Never")
            why = f"{said.unhealthy}, will be restarted" if again else said.unhealthy
            yield from _stop(observed, run, pod_grace(pod) if said.grace is None else said.grace, why)
        elif spec is not None and run.name in lasting and changed(spec, run):  # what only initializes does so once
            same = run.annotations[CONTAINER_HASH].split("-")[0] == container_hash(spec).split("-")[0]
            why = "resize requires restart" if same else "definition changed, will be restarted"
            stops = _stop(observed, run, pod_grace(pod), f"Container {run.name} {why}")
            yield from (replace(stop, replaced=True) for stop in stops)


def _collect(pod: core_v1.Pod, observed: Observed, sandbox: Sandbox) -> Iterator[Action]:
    """Old runs beyond KEPT_RUNS, and old sandboxes whose containers all have successors or will have none."""
    seen = by_name(observed)
    guests = {c.name for c in pod.spec.ephemeralContainers}
    for runs in seen.values():
        yield from (RemoveContainer(run.id) for run in runs[KEPT_RUNS:] if run.state == State.EXITED)
    for old in observed.sandboxes:
        if old.id == sandbox.id:
            continue
        left = [c for c in observed.containers if c.sandbox == old.id]
        if all(not _alive(c) and (c.name in guests or seen[c.name][0].sandbox != old.id) for c in left):
            yield RemoveSandbox(old.id)


# -- ending --------------------------------------------------------------------------------------------------------


def pod_grace(pod: core_v1.Pod) -> float:
    """Seconds between TERM and KILL."""
    if pod.metadata.deletionGracePeriodSeconds is not None:
        return float(pod.metadata.deletionGracePeriodSeconds)
    grace = pod.spec.terminationGracePeriodSeconds
    return DEFAULT_GRACE if grace is None else float(grace)


def _stop(
    observed: Observed, run: Container, grace: float, why: str = "", after: tuple[str, ...] = (), *, hook: bool = True
) -> Iterator[StopContainer]:
    """Unless a stop with no longer grace is under way."""
    prefix = f"stop/{run.id}/"
    under_way = [float(key.removeprefix(prefix)) for key in observed.busy if key.startswith(prefix)]
    if not under_way or grace < min(under_way):
        yield StopContainer(run.name, run.id, grace, why, after, hook)


def _stop_all(observed: Observed, grace: float, pod: core_v1.Pod | None) -> Iterator[Action]:
    """All containers at once, each sidecar after the ones that may need it; then the sandboxes."""
    living = [c for c in observed.containers if c.lives]
    for run in living:
        before = _needing(pod, run.name) if pod is not None and grace > 0 else ()
        after = tuple(c.name for c in living if c.name in before)
        yield from _stop(observed, run, grace, after=after, hook=pod is not None)
    if not living and not observed.late and not starting(observed):
        for sandbox in observed.sandboxes:
            if StopSandbox(sandbox.id).key not in observed.done:
                yield StopSandbox(sandbox.id)


def _needing(pod: core_v1.Pod, name: str) -> frozenset[str]:
    """Containers that end before a sidecar does: the main ones, and sidecars that were started later (KEP-753)."""
    sidecars = [c.name for c in pod.spec.initContainers if is_sidecar(c)]
    if name not in sidecars:
        return frozenset()
    return frozenset((*(c.name for c in pod.spec.containers), *sidecars[sidecars.index(name) + 1 :]))


def starting(observed: Observed) -> bool:
    """Whether a start is under way: soon something may run that is not seen yet."""
    return any(key.startswith(("create/", "start/", "sandbox")) for key in observed.busy)


def _still(observed: Observed) -> bool:
    """Nothing runs and nothing can: no start is under way and every sandbox is stopped."""
    return (
        not starting(observed)
        and not observed.late
        and not any(c.lives for c in observed.containers)
        and all(StopSandbox(s.id).key in observed.done for s in observed.sandboxes)
    )


def at_rest(pod: core_v1.Pod | None, observed: Observed) -> bool:
    """Whether the Pod has ended, or is to end and nothing of it runs any more."""
    return (pod is None or terminating(pod, observed)) and _still(observed)


def torn_down(pod: core_v1.Pod | None, observed: Observed) -> bool:
    """Whether nothing of it runs any more and its volumes and cgroup are gone, too."""
    return at_rest(pod, observed) and TearDown.name in observed.done


def _terminate(pod: core_v1.Pod, observed: Observed) -> Iterator[Action]:
    yield from _stop_all(observed, ending_grace(pod, observed), pod)
    if not _still(observed) or Prepare.name in observed.busy:
        return
    if TearDown.name not in observed.done:
        yield TearDown()
    elif pod.metadata.deletionTimestamp is not None:
        yield FinalDelete()


def ending_grace(pod: core_v1.Pod, observed: Observed) -> float:
    """The grace of a Pod that must end: the verdict's where there is one, and never longer than what a DELETE says."""
    asked = observed.verdict.grace if observed.verdict is not None else None
    if asked is None:
        return pod_grace(pod)
    return asked if pod.metadata.deletionGracePeriodSeconds is None else min(asked, pod_grace(pod))


def _settle(pod: core_v1.Pod, observed: Observed) -> Iterator[Action]:
    """A Pod that has ended keeps its containers, for their logs, but neither sidecars, network nor volumes."""
    yield from _stop_all(observed, pod_grace(pod), pod)
    if _still(observed) and Prepare.name not in observed.busy and TearDown.name not in observed.done:
        yield TearDown()


def _clean(observed: Observed) -> Iterator[Action]:
    """A Pod that is gone from the API: end it and leave nothing."""
    grace = DEFAULT_GRACE if observed.grace is None else observed.grace
    yield from _stop_all(observed, grace, None)
    if not _still(observed) or Prepare.name in observed.busy:
        return
    if TearDown.name not in observed.done:
        yield TearDown()
    here = tuple(s.id for s in observed.sandboxes)
    yield from (RemoveSandbox(id) for id in here)  # with its containers
    yield from (RemoveContainer(run.id) for run in observed.containers if run.sandbox not in here)
    if not observed.containers and not observed.sandboxes and TearDown.name in observed.done and not observed.busy:
        yield Forget()
