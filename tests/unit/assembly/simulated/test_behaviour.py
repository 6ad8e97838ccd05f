"""Rules of behaviour: what annotations mean, and what is said of those that mean nothing."""

import pytest
from tests.unit.kubelet.pods import container, pod

from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.behaviour import PLAIN, Behaviour, plan_of


def plan(*, inits: tuple[core_v1.Container, ...] = (), **rules: str):
    said = {f"simulated.pybernetes.io/{key}": text for key, text in rules.items()}
    wanted = pod(container("a"), container("b"), meta={"annotations": said}, initContainers=inits)
    return plan_of(wanted)


def test_a_pod_of_which_nothing_is_said_runs_until_it_is_stopped() -> None:
    assert plan() is PLAIN
    assert plan().of("a") == Behaviour()


def test_init_containers_end_at_once_and_sidecars_stay() -> None:
    found = plan(inits=(container("init"), container("beside", restartPolicy="Always")))
    assert (found.of("init").run_seconds, found.of("beside").run_seconds) == (0.0, None)


def test_a_rule_holds_for_main_containers_and_what_names_one_outranks_it() -> None:
    found = plan(inits=(container("init"),), **{"run-seconds": "5", "run-seconds.b": "7", "exit-code.init": "3"})
    assert [found.of(name).run_seconds for name in ("a", "b", "init")] == [5.0, 7.0, 0.0]
    assert [found.of(name).exit_code for name in ("a", "b", "init")] == [0, 0, 3]


def test_an_exit_code_alone_means_at_once() -> None:
    assert plan(**{"exit-code": "1"}).of("a").run_seconds == 0.0
    assert plan(times="2").of("a").run_seconds == 0.0


def test_so_many_runs_end_and_later_ones_do_not() -> None:
    found = plan(times="2", **{"run-seconds": "5"}).of("a")
    assert [found.lasts(attempt) for attempt in range(4)] == [5.0, 5.0, None, None]


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("run-seconds", "soon", "must be a number of seconds, at least 0"),
        ("run-seconds", "-1", "must be a number of seconds, at least 0"),
        ("run-seconds", "inf", "must be a number of seconds, at least 0"),
        ("run-seconds", "nan", "must be a number of seconds, at least 0"),
        ("exit-code", "256", "must be a whole number from 0 to 255"),
        ("exit-code", "٣", "must be a whole number from 0 to 255"),
        ("times", "9" * 30, "must be a whole number from 0 to 1000000"),
        ("ready", "yes", "must be true or false"),
        ("exit-code.c", "1", "there is no container 'c'"),
        ("exitcode", "1", "there is no such rule; known: exit-code, log, pull-error, ready, ready-after-seconds,"),
    ],
)
def test_what_means_nothing_is_an_error_that_names_it(key: str, text: str, why: str) -> None:
    error = plan(**{key: text}).error
    assert error.startswith(f'annotation simulated.pybernetes.io/{key}: "{text}": {why}')
