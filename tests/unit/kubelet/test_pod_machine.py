"""Laws of the Pod machine: it comes to rest, never makes two sandboxes, and does nothing when nothing is to do."""

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.kubelet.pods import container, pod, run, sandbox

from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import State
from pybernetes.kubelet.pod_actions import Failure, Health, Observed, Verdict, WakeAt
from pybernetes.kubelet.pod_machine import decide
from pybernetes.kubelet.restarts import CONTAINER_HASH, RESTART_ALL, container_hash, is_sidecar, may_restart, next_delay


def acts(wanted: core_v1.Pod | None, **seen: object) -> list[act.Action]:
    """What is decided, without the time to wake up."""
    observed = Observed(**{"now": 1000.0, "started": 900.0, **seen})
    return [a for a in decide(wanted, observed) if not isinstance(a, WakeAt)]


def wakes(wanted: core_v1.Pod | None, **seen: object) -> list[float]:
    observed = Observed(**{"now": 1000.0, "started": 900.0, **seen})
    return [a.when for a in decide(wanted, observed) if isinstance(a, WakeAt)]


PULLED = frozenset({"prepare", "pull/c/0"})


def test_a_new_pod_is_prepared_and_its_image_pulled_at_once() -> None:
    assert acts(pod()) == [act.Prepare(), act.PullImage("c", 0)]


def test_a_sandbox_waits_for_the_volumes() -> None:
    assert acts(pod(), busy=frozenset({"prepare", "pull/c/0"})) == []
    assert acts(pod(), done=PULLED) == [act.RunSandbox(0)]


def test_a_second_sandbox_is_never_begun_while_one_is_made() -> None:
    assert acts(pod(), done=PULLED, busy=frozenset({"sandbox"})) == []


def test_a_container_is_created_then_started() -> None:
    assert acts(pod(), done=PULLED, sandboxes=(sandbox(),)) == [act.CreateContainer("c", 0, "s0", 0.0)]
    created = run(state=State.CREATED)
    assert acts(pod(), done=PULLED, sandboxes=(sandbox(),), containers=(created,)) == [act.StartContainer("c", "c0")]


def test_nothing_is_pulled_for_a_container_that_is_being_made() -> None:
    under_way = frozenset({"create/c"})
    assert acts(pod(), done=PULLED, sandboxes=(sandbox(),), restarts={"c": 0}, busy=under_way) == []


def test_a_running_pod_is_left_alone() -> None:
    assert decide(pod(), Observed(now=1.0, sandboxes=(sandbox(),), containers=(run(),))) == ()


def test_a_kubelet_that_knows_nothing_leaves_a_running_pod_alone() -> None:
    assert acts(pod(), sandboxes=(sandbox(),), containers=(run(),)) == []


def test_the_first_restart_is_at_once_and_the_next_ones_wait_longer() -> None:
    first = run(state=State.EXITED, exit_code=1, finished=999.0)
    done = frozenset({"pull/c/1"})
    seen = {"sandboxes": (sandbox(),), "done": done}
    assert acts(pod(), containers=(first,), **seen) == [act.CreateContainer("c", 1, "s0", 10.0)]
    second = run(attempt=1, state=State.EXITED, exit_code=1, started=998.0, finished=999.0, restart_delay=10.0)
    assert wakes(pod(), containers=(second, first), **seen) == [1009.0]
    third = replace(second, started=979.0, finished=980.0)
    again = acts(pod(), containers=(third, first), sandboxes=(sandbox(),), done=frozenset({"pull/c/2"}))
    assert again == [act.CreateContainer("c", 2, "s0", 20.0)]


def test_ten_minutes_of_running_forgive_all_restarts() -> None:
    ended = run(attempt=7, state=State.EXITED, started=100.0, finished=999.0, restart_delay=300.0)
    done = frozenset({"pull/c/8"})
    assert acts(pod(), containers=(ended,), sandboxes=(sandbox(),), done=done) == [
        act.CreateContainer("c", 8, "s0", 10.0)
    ]


def test_on_failure_restarts_failures_only() -> None:
    done = frozenset({"pull/c/1"})
    failed, fine = run(state=State.EXITED, exit_code=1), run(state=State.EXITED)
    wanted = pod(policy="OnFailure")
    assert acts(wanted, containers=(failed,), sandboxes=(sandbox(),), done=done)
    assert acts(wanted, containers=(fine,), sandboxes=(sandbox(),)) == [act.StopSandbox("s0")]


def test_a_rule_for_an_exit_code_outranks_the_policy() -> None:
    codes = core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(42,))
    rules = (core_v1.ContainerRestartRule(action="Restart", exitCodes=codes),)
    wanted = pod(container(restartPolicy="Never", restartPolicyRules=rules), policy="Never")
    again, over = run(state=State.EXITED, exit_code=42), run(state=State.EXITED, exit_code=1)
    assert acts(wanted, sandboxes=(sandbox(),), containers=(again,)) == [act.PullImage("c", 1)]
    assert acts(wanted, sandboxes=(sandbox(),), containers=(over,)) == [act.StopSandbox("s0")]


def test_a_number_that_was_reported_is_never_used_again() -> None:
    assert acts(pod(), restarts={"c": 4}, sandboxes=(sandbox(),)) == [act.PullImage("c", 5)]


def test_init_containers_run_one_after_another() -> None:
    wanted = pod(initContainers=(container("i"), container("j")))
    done = frozenset({"prepare", "pull/i/0", "pull/j/0", "pull/c/0"})
    first = acts(wanted, done=done, sandboxes=(sandbox(),))
    assert first == [act.CreateContainer("i", 0, "s0", 0.0)]
    assert acts(wanted, done=done, sandboxes=(sandbox(),), containers=(run("i"),)) == []
    ended = run("i", state=State.EXITED)
    assert acts(wanted, done=done, sandboxes=(sandbox(),), containers=(ended,)) == [
        act.CreateContainer("j", 0, "s0", 0.0)
    ]


def test_a_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    wanted = pod(policy="Never", initContainers=(container("i"),))
    failed = run("i", state=State.EXITED, exit_code=1)
    assert acts(wanted, sandboxes=(sandbox(),), containers=(failed,)) == [act.StopSandbox("s0")]


def test_a_sidecar_starts_first_and_is_kept_running() -> None:
    wanted = pod(initContainers=(container("side", restartPolicy="Always"),))
    done = frozenset({"prepare", "pull/side/0", "pull/c/0"})
    assert acts(wanted, done=done, sandboxes=(sandbox(),)) == [act.CreateContainer("side", 0, "s0", 0.0)]
    slow = {"side0": Health(started=False)}
    assert acts(wanted, done=done, sandboxes=(sandbox(),), containers=(run("side"),), health=slow) == []
    assert acts(wanted, done=done, sandboxes=(sandbox(),), containers=(run("side"),)) == [
        act.CreateContainer("c", 0, "s0", 0.0)
    ]


def test_a_sidecar_that_is_down_delays_nobody_once_it_was_up() -> None:
    wanted = pod(initContainers=(container("side", restartPolicy="Always"), container("i")))
    down = run("side", state=State.EXITED, exit_code=1, started=998.0, finished=999.0, restart_delay=40.0)
    seen = {"sandboxes": (sandbox(),), "done": frozenset({"pull/i/0", "pull/c/0"})}
    assert acts(wanted, containers=(down,), **seen) == []  # the next one has not begun: perhaps it never was up
    assert acts(wanted, containers=(down, run("i")), **seen) == []
    over = run("i", state=State.EXITED)
    assert acts(wanted, containers=(down, over), **seen) == [act.CreateContainer("c", 0, "s0", 0.0)]
    assert wakes(wanted, containers=(down, over), **seen) == [1039.0]


def test_an_init_container_that_was_removed_does_not_run_again_once_the_next_has_begun() -> None:
    wanted = pod(initContainers=(container("i"), container("j")))
    assert acts(wanted, sandboxes=(sandbox(),), containers=(run("j"),)) == []
    over = run("j", state=State.EXITED)
    assert acts(wanted, sandboxes=(sandbox(),), containers=(over,)) == [act.PullImage("c", 0)]


def test_a_dead_sandbox_is_replaced_and_all_containers_start_anew() -> None:
    dead = sandbox(ready=False)
    ended = run(state=State.EXITED, exit_code=255)
    done = frozenset({"prepare", "pull/c/1"})
    assert acts(pod(), sandboxes=(dead,), containers=(ended,), done=done) == [act.StopSandbox("s0")]
    stopped = done | {"stop-sandbox/s0"}
    assert acts(pod(), sandboxes=(dead,), containers=(ended,), done=stopped) == [act.RunSandbox(1)]
    fresh = sandbox(1)
    begun = acts(pod(), sandboxes=(fresh, dead), containers=(ended,), done=stopped)
    assert begun == [act.CreateContainer("c", 1, "s1", 10.0)]
    running = run(attempt=1, sandbox="s1")
    assert acts(pod(), sandboxes=(fresh, dead), containers=(running, ended), done=stopped) == [act.RemoveSandbox("s0")]


def test_an_unhealthy_container_is_stopped_with_the_grace_of_its_probe() -> None:
    sick = {"c0": Health(unhealthy="Container c failed liveness probe, will be restarted", grace=3.0)}
    found = acts(pod(), sandboxes=(sandbox(),), containers=(run(),), health=sick)
    assert [type(a) for a in found] == [act.StopContainer]
    assert found[0].grace == 3.0


def test_a_new_image_restarts_its_container_at_once() -> None:
    old = container_hash(container(image="busybox:0"))
    ended = run(state=State.EXITED, annotations={CONTAINER_HASH: old}, restart_delay=300.0, finished=999.0)
    running = run(annotations={CONTAINER_HASH: old})
    (stopped,) = acts(pod(), sandboxes=(sandbox(),), containers=(running,))
    assert isinstance(stopped, act.StopContainer)
    assert stopped.replaced
    wanted = pod(policy="Never")
    for_it = replace(ended, replaced=True)
    assert acts(wanted, sandboxes=(sandbox(),), containers=(for_it,)) == [act.PullImage("c", 1)]
    by_itself = acts(wanted, sandboxes=(sandbox(),), containers=(ended,))
    assert by_itself == [act.StopSandbox("s0")]


def test_a_new_image_concerns_no_init_container_but_a_sidecar() -> None:
    old = {CONTAINER_HASH: container_hash(container("i", image="busybox:0"))}
    begun = run("i", annotations=old)
    wanted = pod(initContainers=(container("i"),))
    assert acts(wanted, sandboxes=(sandbox(),), containers=(begun,)) == []
    over = replace(begun, state=State.EXITED)
    assert acts(wanted, sandboxes=(sandbox(),), containers=(over, run())) == []
    side = pod(initContainers=(container("i", restartPolicy="Always"),))
    (stopped,) = acts(side, sandboxes=(sandbox(),), containers=(begun, run()))
    assert isinstance(stopped, act.StopContainer)


def test_a_new_image_has_not_crashed_yet() -> None:
    hashed = {CONTAINER_HASH: container_hash(container(image="old"))}
    crashed = run(attempt=4, state=State.EXITED, exit_code=1, restart_delay=80.0, finished=999.0, annotations=hashed)
    done = frozenset({"pull/c/5"})
    made = acts(pod(), sandboxes=(sandbox(),), containers=(crashed,), done=done)
    assert made == [act.CreateContainer("c", 5, "s0", 0.0)]


def test_deletion_stops_containers_then_the_sandbox_then_tells_the_api() -> None:
    wanted = pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5})
    found = acts(wanted, sandboxes=(sandbox(),), containers=(run(),))
    assert found == [act.StopContainer("c", "c0", 5.0)]
    ended = (run(state=State.EXITED),)
    assert acts(wanted, sandboxes=(sandbox(),), containers=ended) == [act.StopSandbox("s0")]
    stopped = frozenset({"stop-sandbox/s0"})
    assert acts(wanted, sandboxes=(sandbox(),), containers=ended, done=stopped) == [act.TearDown()]
    torn = stopped | {"teardown"}
    assert acts(wanted, sandboxes=(sandbox(),), containers=ended, done=torn) == [act.FinalDelete()]


def test_a_pod_that_never_ran_here_is_deleted_too() -> None:
    wanted = pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert acts(wanted, done=frozenset({"teardown"})) == [act.FinalDelete()]


def test_a_shorter_grace_overtakes_a_stop_under_way_and_a_longer_does_not() -> None:
    busy = frozenset({"stop/c0/30"})
    short = pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 1})
    long = pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 60})
    assert [a.key for a in acts(short, sandboxes=(sandbox(),), containers=(run(),), busy=busy)] == ["stop/c0/1"]
    assert acts(long, sandboxes=(sandbox(),), containers=(run(),), busy=busy) == []


def test_sidecars_are_stopped_after_the_others_and_the_last_started_first() -> None:
    wanted = pod(
        initContainers=(container("one", restartPolicy="Always"), container("two", restartPolicy="Always")),
        meta={"deletionTimestamp": "2026-01-01T00:00:00Z"},
    )
    living = (run(), run("one"), run("two"))
    found = acts(wanted, sandboxes=(sandbox(),), containers=living)
    assert {a.container: a.after for a in found} == {"c": (), "one": ("c", "two"), "two": ("c",)}
    ended = (run(state=State.EXITED), run("one"), run("two"))
    assert {a.container: a.after for a in acts(wanted, sandboxes=(sandbox(),), containers=ended)} == {
        "one": ("two",),
        "two": (),
    }


def test_without_grace_nobody_waits_for_a_turn() -> None:
    wanted = pod(
        initContainers=(container("side", restartPolicy="Always"),),
        meta={"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0},
    )
    found = acts(wanted, sandboxes=(sandbox(),), containers=(run(), run("side")))
    assert [a.after for a in found] == [(), ()]


def test_sidecars_end_when_the_pod_has_finished() -> None:
    wanted = pod(
        policy="Never",
        terminationGracePeriodSeconds=7,
        initContainers=(container("side", restartPolicy="Always"),),
    )
    found = acts(wanted, sandboxes=(sandbox(),), containers=(run(state=State.EXITED), run("side")))
    assert found == [act.StopContainer("side", "side0", 7.0)]


def test_a_failed_init_container_ends_the_sidecars_too() -> None:
    wanted = pod(policy="Never", initContainers=(container("side", restartPolicy="Always"), container("i")))
    failed = run("i", state=State.EXITED, exit_code=1)
    found = acts(wanted, sandboxes=(sandbox(),), containers=(run("side"), failed))
    assert [a.key for a in found] == ["stop/side0/30"]


def test_an_init_container_goes_by_its_own_policy_and_rules() -> None:
    codes = core_v1.ContainerRestartRuleOnExitCodes(operator="NotIn", values=(3,))
    rules = (core_v1.ContainerRestartRule(action="Restart", exitCodes=codes),)
    own = container("i", restartPolicy="Never", restartPolicyRules=rules)
    again, over = run("i", state=State.EXITED, exit_code=1), run("i", state=State.EXITED, exit_code=3)
    wanted = pod(policy="Always", initContainers=(own,))
    assert acts(wanted, sandboxes=(sandbox(),), containers=(again,)) == [act.PullImage("i", 1)]
    assert acts(wanted, sandboxes=(sandbox(),), containers=(over,)) == [act.StopSandbox("s0")]


def test_a_post_start_hook_holds_up_the_containers_after_it() -> None:
    hook = core_v1.Lifecycle(postStart=core_v1.LifecycleHandler(sleep=core_v1.SleepAction(seconds=1)))
    wanted = pod(container("a", lifecycle=hook), container("b"))
    done = frozenset({"prepare", "pull/a/0", "pull/b/0"})
    seen = {"done": done, "sandboxes": (sandbox(),)}
    assert [a.key for a in acts(wanted, **seen)] == ["create/a"]
    assert acts(wanted, containers=(run("a"),), busy=frozenset({"start/a0"}), **seen) == []
    assert [a.key for a in acts(wanted, containers=(run("a"),), **seen)] == ["create/b"]
    failed = {"create/a": Failure("CreateContainerError", "no", 2000.0)}
    assert [a.key for a in acts(wanted, failures=failed, **seen)] == ["create/b"]


def test_an_ephemeral_container_starts_whatever_the_others_do_and_never_again() -> None:
    guest = core_v1.EphemeralContainer(name="e", image="busybox:1")
    wanted = pod(initContainers=(container("i"),), ephemeralContainers=(guest,))
    seen = {"sandboxes": (sandbox(),), "done": frozenset({"prepare", "pull/e/0", "pull/i/0"})}
    assert [a.key for a in acts(wanted, containers=(run("i"),), **seen)] == ["create/e"]
    ended = (run("i"), run("e", state=State.EXITED, exit_code=1))
    assert acts(wanted, containers=ended, **seen) == []
    assert acts(wanted, containers=(run("i"),), restarts={"e": 0}, **seen) == []


def all_again(**fields: object) -> core_v1.Container:
    codes = core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(42,))
    rule = core_v1.ContainerRestartRule(action="RestartAllContainers", exitCodes=codes)
    return container("c", restartPolicy="Never", restartPolicyRules=(rule,), **fields)


def test_all_containers_start_anew_in_the_same_sandbox_when_a_rule_says_so() -> None:
    wanted = pod(all_again(), container("d"), policy="Never", initContainers=(container("i"),))
    trigger, other = run(state=State.EXITED, exit_code=42, finished=999.0), run("d")
    init = run("i", state=State.EXITED)
    seen = {"sandboxes": (sandbox(),), "done": frozenset({"pull/i/1"})}
    stopped = acts(wanted, containers=(init, trigger, other), **seen)
    assert stopped == [act.StopContainer("d", "d0", 0.0)]
    ended = replace(other, state=State.EXITED)
    removed = acts(wanted, containers=(init, trigger, ended), **seen)
    assert removed == [act.RemoveContainer("i0"), act.RemoveContainer("d0")]
    assert acts(wanted, containers=(trigger,), **seen) == [act.RemoveContainer("c0")]
    again = acts(wanted, restarts={"i": 0, "c": 0, "d": 0}, delays={"c": 10.0}, **seen)
    assert again == [act.CreateContainer("i", 1, "s0", 0.0)]


def test_a_sidecar_may_start_all_containers_anew_in_a_pod_that_never_restarts_but_not_while_it_is_stopped() -> None:
    codes = core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(42,))
    rule = core_v1.ContainerRestartRule(action="RestartAllContainers", exitCodes=codes)
    wanted = pod(
        policy="Never", initContainers=(container("side", restartPolicy="Always", restartPolicyRules=(rule,)),)
    )
    asked = run("side", state=State.EXITED, exit_code=42, finished=998.0)
    killed = run(state=State.EXITED, exit_code=137, finished=999.0)
    seen = {"sandboxes": (sandbox(),)}
    assert acts(wanted, containers=(killed, asked), **seen) == [act.RemoveContainer("c0")]
    ended = replace(killed, exit_code=0, finished=997.0)  # by itself; the sidecar's end came of that
    assert acts(wanted, containers=(ended, asked), **seen) == [act.StopSandbox("s0")]
    init = pod(policy="Never", initContainers=(*wanted.spec.initContainers, container("i")))
    cut_off = replace(killed, id="i0", name="i")
    assert acts(init, containers=(cut_off, asked), **seen) == [act.RemoveContainer("i0")]


def test_back_off_holds_for_a_container_that_restarts_all_again_and_again() -> None:
    trigger = run(state=State.EXITED, exit_code=42, started=998.0, finished=999.0, restart_delay=20.0)
    wanted = pod(all_again(), policy="Never")
    assert acts(wanted, sandboxes=(sandbox(),), containers=(trigger,)) == []
    assert wakes(wanted, sandboxes=(sandbox(),), containers=(trigger,)) == [1019.0]
    done = frozenset({"pull/c/1"})
    again = acts(wanted, sandboxes=(sandbox(),), restarts={"c": 0}, delays={"c": 40.0}, done=done)
    assert again == [act.CreateContainer("c", 1, "s0", 40.0)]


def test_the_longest_back_off_is_configured() -> None:
    ended = run(attempt=7, state=State.EXITED, exit_code=1, started=100.0, finished=101.0, restart_delay=60.0)
    done = frozenset({"pull/c/8"})
    made = acts(pod(), containers=(ended,), sandboxes=(sandbox(),), done=done, longest_delay=60.0)
    assert made == [act.CreateContainer("c", 8, "s0", 60.0)]


def test_an_eviction_with_its_own_grace_outranks_the_pods() -> None:
    for asked in (45.0, 1.0):
        found = acts(pod(), sandboxes=(sandbox(),), containers=(run(),), verdict=Verdict("Evicted", "", asked))
        assert found[0].grace == asked
    deleted = pod(meta={"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5})
    found = acts(deleted, sandboxes=(sandbox(),), containers=(run(),), verdict=Verdict("Evicted", "", 45.0))
    assert found[0].grace == 5.0


def test_the_active_deadline_ends_a_pod_in_time() -> None:
    wanted = pod(activeDeadlineSeconds=150)
    assert wakes(wanted, sandboxes=(sandbox(),), containers=(run(),)) == [1050.0]
    late = acts(wanted, now=1050.0, sandboxes=(sandbox(),), containers=(run(),))
    assert [type(a) for a in late] == [act.StopContainer]


def test_a_refused_pod_starts_nothing() -> None:
    assert acts(pod(), verdict=Verdict("OutOfcpu", "too much")) == [act.TearDown()]


def test_a_pod_that_is_gone_leaves_nothing() -> None:
    done = frozenset({"stop-sandbox/s0", "teardown"})
    ended = (run(state=State.EXITED),)
    assert acts(None, sandboxes=(sandbox(),), containers=ended, done=done) == [act.RemoveSandbox("s0")]
    assert acts(None, containers=ended, done=done) == [act.RemoveContainer("c0")]
    assert acts(None, done=done) == [act.Forget()]


def test_sandboxes_that_are_left_are_removed_newest_first() -> None:
    """Whatever their ids hash to: a run on virtual time is repeated in another process."""
    old = tuple(sandbox(attempt, ready=False) for attempt in range(9, -1, -1))
    done = frozenset({"teardown", *(f"stop-sandbox/s{attempt}" for attempt in range(10))})
    assert acts(None, sandboxes=old, done=done) == [act.RemoveSandbox(f"s{attempt}") for attempt in range(9, -1, -1)]


def test_a_pod_that_was_removed_by_force_runs_no_hook() -> None:
    stopped = acts(None, sandboxes=(sandbox(),), containers=(run(),), grace=2.0)
    assert stopped == [act.StopContainer("c", "c0", 2.0, hook=False)]


def test_a_sandbox_is_not_stopped_before_the_runtime_knows_that_its_containers_have_ended() -> None:
    ended = (run(state=State.EXITED),)
    wanted = pod(policy="Never")
    assert acts(wanted, sandboxes=(sandbox(),), containers=ended, late=frozenset({"c0"})) == []
    assert acts(wanted, sandboxes=(sandbox(),), containers=ended) == [act.StopSandbox("s0")]


def test_a_failed_action_waits_for_its_time() -> None:
    failed = {"prepare": Failure("FailedMount", "no such secret", 1007.0)}
    assert acts(pod(), failures=failed, done=frozenset({"pull/c/0"})) == []
    assert wakes(pod(), failures=failed, done=frozenset({"pull/c/0"})) == [1007.0]


# -- laws -----------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """A runtime that does what it is told, fails now and then, and loses sandboxes and processes."""

    chance: random.Random
    wanted: core_v1.Pod
    unlucky: bool = True
    now: float = 1000.0
    sandboxes: list[machine.Sandbox] = field(default_factory=list)
    containers: list[machine.Container] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    failures: dict[str, Failure] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)
    deleted: bool = False
    forgotten: bool = False
    count: int = 0

    def observe(self) -> Observed:
        return Observed(
            now=self.now,
            sandboxes=tuple(self.sandboxes),
            containers=tuple(self.containers),
            done=frozenset(self.done),
            failures=dict(self.failures),
            restarts=dict(self.restarts),
            delays=dict(self.delays),
            started=900.0,
        )

    def perform(self, action: act.Action) -> None:
        if self.unlucky and self.chance.random() < 0.2 and not isinstance(action, act.Forget):
            self.failures[action.key] = Failure("Unlucky", "", self.now + self.chance.choice([0, 5]))
            return
        self.failures.pop(action.key, None)
        self._change(action)

    def _change(self, action: act.Action) -> None:
        match action:
            case act.RunSandbox():
                assert not any(s.ready for s in self.sandboxes), "a second sandbox"
                made = replace(sandbox(action.attempt), id=self._id("s"), created=self.now)
                self.sandboxes.append(made)
                self.done.discard("teardown")
            case act.StopSandbox():
                self.done.add(action.key)
                assert not any(c.state == State.RUNNING for c in self.containers if c.sandbox == action.sandbox)
                self.sandboxes = [replace(s, ready=False) if s.id == action.sandbox else s for s in self.sandboxes]
            case act.RemoveSandbox():
                self.sandboxes = [s for s in self.sandboxes if s.id != action.sandbox]
                self.containers = [c for c in self.containers if c.sandbox != action.sandbox]
            case act.CreateContainer():
                assert all(c.attempt < action.attempt for c in self.containers if c.name == action.container)
                assert not machine.restarting_all(self.wanted, self.observe()), "started while all are taken away"
                self.restarts[action.container] = action.attempt
                self.containers.append(
                    run(
                        action.container,
                        action.attempt,
                        State.CREATED,
                        id=self._id("c"),
                        sandbox=action.sandbox,
                        restart_delay=action.delay,
                        created=self.now,
                    )
                )
            case act.StartContainer():
                self._set(action.id, state=State.RUNNING, started=self.now)
            case act.StopContainer() if self._running(action.after):
                return  # it waits for its turn
            case act.StopContainer():
                self._set(action.id, state=State.EXITED, finished=self.now, exit_code=137)
            case act.RemoveContainer():
                assert not any(c.id == action.id and c.state == State.RUNNING for c in self.containers)
                gone = next((c for c in self.containers if c.id == action.id), None)
                if gone is not None:
                    self.delays[gone.name] = next_delay(gone, 300.0)
                self.containers = [c for c in self.containers if c.id != action.id]
            case act.FinalDelete():
                assert not any(c.state == State.RUNNING for c in self.containers)
                self.deleted = True
            case act.Forget():
                self.forgotten = True
            case _:
                self.done.add(action.key)

    def _set(self, id: str, **fields: object) -> None:
        self.containers = [replace(c, **fields) if c.id == id else c for c in self.containers]

    def _running(self, names: tuple[str, ...]) -> bool:
        return any(c.name in names and c.state == State.RUNNING for c in self.containers)

    def _id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def shake(self, names: set[str]) -> None:
        """Something happens by itself."""
        self.now += self.chance.choice([0, 1, 20])
        for c in list(self.containers):
            if c.state == State.RUNNING and (
                c.name in self.exit_codes or (self.unlucky and self.chance.random() < 0.05)
            ):
                bad = self.unlucky and self.chance.random() < 0.3
                code = self.chance.choice([0, 1, 42]) if bad else self.exit_codes.get(c.name, 1)
                self._set(c.id, state=State.EXITED, finished=self.now, exit_code=code)
        if self.unlucky and self.chance.random() < 0.03:  # a power cut
            self.sandboxes = [replace(s, ready=False) for s in self.sandboxes]
            for c in self.containers:
                if c.state != State.EXITED:
                    self._set(c.id, state=State.EXITED, finished=self.now, exit_code=255)
            self.done.clear()
        if self.unlucky and self.chance.random() < 0.05:  # the kubelet restarts
            self.done.clear()
            self.failures.clear()

    def step(self, wanted: core_v1.Pod | None) -> list[act.Action]:
        """One pass; what was decided."""
        found = [a for a in decide(wanted, self.observe())]
        assert len({a.key for a in found}) == len(found), "one thing twice"
        real = [a for a in found if not isinstance(a, WakeAt)]
        self.chance.shuffle(real)
        for action in real[: self.chance.randint(1, 3)] if self.unlucky else real:
            self.perform(action)
        if not real and found:
            self.now = max(self.now, found[0].when)
        return found


def restarting(draw: st.DrawFn, name: str, policies: list[str | None], operators: list[str]) -> core_v1.Container:
    """A container with a policy, and perhaps a rule, of its own."""
    policy = draw(st.sampled_from(policies))
    rules: tuple[core_v1.ContainerRestartRule, ...] = ()
    if policy is not None and draw(st.booleans()):
        codes = core_v1.ContainerRestartRuleOnExitCodes(operator=draw(st.sampled_from(operators)), values=(42,))
        action = draw(st.sampled_from(["Restart", RESTART_ALL]))
        rules = (core_v1.ContainerRestartRule(action=action, exitCodes=codes),)
    return container(name, restartPolicy=policy, restartPolicyRules=rules)


@st.composite
def pods(draw: st.DrawFn) -> core_v1.Pod:
    names = ["a", "b"][: draw(st.integers(1, 2))]
    inits = tuple(
        restarting(draw, f"i{n}", [None, "Always", "Always", "Never", "OnFailure"], ["In"])
        for n in range(draw(st.integers(0, 3)))
    )
    guests = tuple(core_v1.EphemeralContainer(name="e", image="busybox:1") for _ in range(draw(st.integers(0, 1))))
    policy = draw(st.sampled_from(["Always", "OnFailure", "Never"]))
    mains = [restarting(draw, n, [None, None, "Never", "OnFailure", "Always"], ["In", "NotIn"]) for n in names]
    return pod(*mains, policy=policy, initContainers=inits, ephemeralContainers=guests)


def world(wanted: core_v1.Pod, seed: int) -> World:
    made = World(random.Random(seed), wanted)
    made.exit_codes = {c.name: 0 for c in wanted.spec.initContainers if not is_sidecar(c)}
    return made


def calm(made: World, wanted: core_v1.Pod | None) -> None:
    """No more bad luck: it must come to rest."""
    made.unlucky = False
    for _ in range(120):
        made.shake(set())
        made.step(wanted)
        ending = any(c.name in made.exit_codes and c.state == State.RUNNING for c in made.containers)
        if not ending and not decide(wanted, made.observe()):
            return
        if made.forgotten:
            return
    raise AssertionError(f"never at rest: {decide(wanted, made.observe())}")


@settings(max_examples=150)
@given(wanted=pods(), seed=st.integers(0, 10_000), steps=st.integers(0, 40))
def test_a_pod_comes_to_rest_whatever_happened(wanted: core_v1.Pod, seed: int, steps: int) -> None:
    made = world(wanted, seed)
    for _ in range(steps):
        made.step(wanted)
        made.shake(set())
    calm(made, wanted)
    observed = made.observe()
    running = {c.name for c in made.containers if c.state == State.RUNNING}
    if machine.finished(wanted, observed):
        assert not running
    else:
        newest = {name: runs[0] for name, runs in machine.by_name(observed).items()}
        for main in wanted.spec.containers:
            assert main.name in running or not may_restart(wanted, main, newest[main.name])
        assert {c.name for c in wanted.spec.initContainers if is_sidecar(c)} <= running
        assert sum(s.ready for s in made.sandboxes) == 1
    assert decide(wanted, observed) == ()


@settings(max_examples=150)
@given(wanted=pods(), seed=st.integers(0, 10_000), steps=st.integers(0, 30))
def test_a_deleted_pod_ends_and_leaves_nothing(wanted: core_v1.Pod, seed: int, steps: int) -> None:
    made = world(wanted, seed)
    for _ in range(steps):
        made.step(wanted)
        made.shake(set())
    gone = replace(wanted, metadata=replace(wanted.metadata, deletionTimestamp="2026-01-01T00:00:00Z"))
    made.unlucky = False
    for _ in range(60):
        made.step(None if made.deleted else gone)
        if made.forgotten:
            break
    assert made.deleted
    assert made.forgotten
    assert not made.containers
    assert not made.sandboxes


def resized(name: str, policy: str, memory: str) -> core_v1.Container:
    wants = core_v1.ResourceRequirements(requests={"memory": memory})
    return container(
        name,
        resources=wants,
        resizePolicy=(core_v1.ContainerResizePolicy(resourceName="memory", restartPolicy=policy),),
    )


def test_other_resources_are_applied_in_place_unless_the_container_must_restart_for_them() -> None:
    made = container_hash(resized("c", "NotRequired", "1Mi"))
    running = run(annotations={CONTAINER_HASH: made})
    observed = Observed(now=100.0, sandboxes=(sandbox(),), containers=(running,), in_place=frozenset({"c", ""}))
    assert machine.decide(pod(resized("c", "NotRequired", "2Mi")), observed) == (act.ResizePod(),)


def test_a_container_that_must_restart_for_its_memory_does_so_at_once_whatever_the_policy() -> None:
    made = container_hash(resized("c", "RestartContainer", "1Mi"))
    wanted = pod(resized("c", "RestartContainer", "2Mi"), policy="OnFailure")
    running = run(annotations={CONTAINER_HASH: made})
    observed = Observed(now=100.0, sandboxes=(sandbox(),), containers=(running,))
    (stop,) = machine.decide(wanted, observed)
    assert isinstance(stop, act.StopContainer)
    assert stop.why == "Container c resize requires restart"
    assert stop.replaced
    ended = replace(running, state=State.EXITED, finished=99.0, replaced=True)
    (again,) = machine.decide(wanted, Observed(now=100.0, sandboxes=(sandbox(),), containers=(ended,)))
    assert isinstance(again, act.PullImage)
