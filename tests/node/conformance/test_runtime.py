"""Phases, restarts and termination messages: upstream's test/e2e/common/node/runtime.go."""

import pytest
from tests.node.conformance.place import condition, finished, statuses
from tests.node.conformance.pods import mount, pod, shell

# The first run fails, the second succeeds, the third goes on
SCRIPT = """
echo hello >> /volume/file
case $(wc -l < /volume/file) in
  1) exit 1;;
  2) exit 0;;
esac
trap 'exit 0' TERM
while true; do sleep 1; done
"""


@pytest.mark.slow
@pytest.mark.conformance(
    "[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected "
    "status [NodeConformance] [Conformance]"
)
async def test_restart_policies_decide_on_phase_restarts_and_readiness(space):
    volumes = [{"name": "v", "emptyDir": {}}]
    for policy in ("Always", "OnFailure", "Never"):
        one = shell(SCRIPT, volumeMounts=[mount("/volume")])
        await space.create("pods", pod(policy.lower(), one, restartPolicy=policy, volumes=volumes))
    found = await space.until("never", finished)
    assert _told(found) == ("Failed", 0, False, "terminated")
    found = await space.until("onfailure", finished)
    assert _told(found) == ("Succeeded", 1, False, "terminated")
    found = await space.until("always", lambda p: condition(p, "Ready") == "True" and _told(p)[1] == 2)
    assert _told(found) == ("Running", 2, True, "running")


def _told(found: dict) -> tuple[str, int, bool, str]:
    status = statuses(found).get("c", {"restartCount": 0, "ready": False, "state": {"": {}}})
    return found["status"]["phase"], status["restartCount"], status["ready"], next(iter(status["state"]))


async def _message(space, script: str, phase: str, **fields) -> str:
    await space.create("pods", pod("p", shell(script, **fields)))
    found = await space.until("p", finished)
    assert found["status"]["phase"] == phase
    return statuses(found)["c"]["state"]["terminated"].get("message", "")


@pytest.mark.conformance(
    "[sig-node] Container Runtime blackbox test on terminated container should report termination message [LinuxOnly] "
    "if TerminationMessagePath is set as non-root user and at a non-default path [NodeConformance] [Conformance]"
)
async def test_anyone_may_write_the_message_where_the_pod_wants_it(space):
    where = "/dev/termination-custom-log"
    fields = {"terminationMessagePath": where, "securityContext": {"runAsUser": 1000}}
    assert await _message(space, f"printf DONE > {where}", "Succeeded", **fields) == "DONE"


FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}


@pytest.mark.conformance(
    "[sig-node] Container Runtime blackbox test on terminated container should report termination message from log "
    "output if TerminationMessagePolicy FallbackToLogsOnError is set [Excluded:WindowsDocker] [NodeConformance] "
    "[Conformance]"
)
async def test_the_log_of_a_failure_stands_in_for_the_message(space):
    assert await _message(space, "printf DONE; exit 1", "Failed", **FALLBACK) == "DONE"


@pytest.mark.conformance(
    "[sig-node] Container Runtime blackbox test on terminated container should report termination message as empty "
    "when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [Excluded:WindowsDocker] "
    "[NodeConformance] [Conformance]"
)
async def test_the_log_of_a_success_is_no_message(space):
    assert await _message(space, "printf DONE; exit 0", "Succeeded", **FALLBACK) == ""


@pytest.mark.conformance(
    "[sig-node] Container Runtime blackbox test on terminated container should report termination message from file "
    "when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [Excluded:WindowsDocker] "
    "[NodeConformance] [Conformance]"
)
async def test_the_file_of_a_success_is_its_message(space):
    assert await _message(space, "printf OK > /dev/termination-log; echo log", "Succeeded", **FALLBACK) == "OK"
