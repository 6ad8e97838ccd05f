"""Which announced ends are believed, and for how long."""

import pytest
from tests.unit.kubelet.pods import container, pod, run

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.events import Exit
from pybernetes.kubelet.cri.model import MESSAGE_POLICY, State
from pybernetes.kubelet.exits import Exits, unsure

LIMITS = core_v1.ResourceRequirements(limits={"memory": "1Mi"})
LOGS = {MESSAGE_POLICY: "FallbackToLogsOnError"}


@pytest.mark.parametrize(
    ("code", "limited", "annotations", "believed"),
    [
        (0, True, LOGS, True),
        (1, False, {}, True),
        (1, False, LOGS, False),
        (137, False, {}, True),
        (137, True, {}, False),
        (5, True, {}, False),
    ],
)
def test_an_end_is_believed_unless_the_runtime_knows_more(
    code: int, limited: bool, annotations: dict[str, str], believed: bool
) -> None:
    wanted = pod(container(resources=LIMITS) if limited else container())
    exits = Exits()
    exits.announce("c0", Exit(code, 5.0), 100.0)
    (seen,) = exits.applied([run(annotations=annotations)], wanted)
    assert (seen.state == State.EXITED) is believed
    if believed:
        assert (seen.exit_code, seen.finished, seen.reason) == (code, 5.0, "Completed" if code == 0 else "Error")
        assert exits.late([seen]) == {"c0"}


def test_the_runtimes_list_ends_the_waiting_and_wins_after_half_a_minute() -> None:
    exits = Exits()
    exits.announce("c0", Exit(0, 5.0), 100.0)
    assert exits.awaited(101.0) == {"c0"}
    assert exits.awaited(103.0) == set()
    exits.compare([run()], 129.0)
    assert exits.applied([run()], pod())[0].state == State.EXITED
    exits.compare([run()], 131.0)
    assert exits.applied([run()], pod())[0].state == State.RUNNING
    exits.announce("c0", Exit(0, 5.0), 200.0)
    exits.compare([run(state=State.EXITED)], 200.1)
    assert exits.late([run(state=State.EXITED)]) == frozenset()


@pytest.mark.parametrize("code", [137, 5])
def test_a_failure_of_what_has_a_limit_may_yet_be_the_kernels_doing(code: int) -> None:
    killed = run(state=State.EXITED, exit_code=code, finished=99.0)
    limited = pod(container(resources=LIMITS))
    assert unsure([killed], limited, 100.0)
    assert not unsure([killed], limited, 102.0)
    assert not unsure([killed], pod(), 100.0)
