"""What one look at a Job makes of a situation that it finds: Pods made and removed, numbers, conditions.

Each Job, with its Pods as they are described here, is in the API server before its controller starts, and watches tell
nothing: the controller looks once. The situations are those of upstream's tables (TestControllerSyncJob,
TestSyncJobPastDeadline, TestSyncJobWithJobPodFailurePolicy, ...SuccessPolicy, ...BackoffLimitPerIndex,
TestTrackJobStatusAndRemoveFinalizers, TestJobBackoffForOnFailure).
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.component.controllers.world import MANAGER, World, controllers, simulated, world

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import batch_v1, core_v1
from pybernetes.client.rest import key_of
from pybernetes.wire.http import Request, Response

Job = batch_v1.Job
TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
LONG_AGO = "2025-12-31T00:00:00Z"
LIMIT = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
DEADLINE = ("DeadlineExceeded", "Job was active longer than specified deadline")
REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")
BY_POLICY = ("SuccessPolicy", "Matched rules at index 0")
LOST = ("FailedIndexes", "Job has failed indexes")
TOO_MANY = ("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")


class Deaf:
    """The transport of a controller whose watches tell nothing: it sees what it has listed, and looks at it once."""

    def __init__(self, w: World) -> None:
        self._send = w.as_user(MANAGER).transport
        self.deleted: list[str] = []
        """Paths of what it asked to go."""

    async def __call__(self, request: Request) -> Response:
        if "watch=true" in request.target:
            await asyncio.Future()
        if request.method == "DELETE":
            self.deleted.append(request.path)
        return await self._send(request)


@dataclass(kw_only=True)
class Situation:
    """A Job, its Pods and what is to become of them."""

    spec: dict[str, Any]
    pods: str = ""
    """Words: phase, number of them, then `@index`, `#failures before`, `!exit code`, and flags in brackets."""
    status: dict[str, Any] = field(default_factory=dict)
    deleting: bool = False
    first: dict[str, Any] = field(default_factory=dict)
    """What of the spec was otherwise when the status was written."""
    counts: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    """active, ready, succeeded, failed, terminating."""
    made: str = ""
    """Indexes of new Pods, `-` for one without."""
    removed: int = 0
    held: int = 0
    """Pods of before that have the finalizer yet."""
    done: str = ""
    lost: str | None = None
    conditions: tuple[tuple[str, str, str], ...] = ()
    """type, reason, message; `type=False` for those that are not true."""


def both(first: str, last: str, why: tuple[str, str]) -> tuple[tuple[str, str, str], ...]:
    return (first, *why), (last, *why)


def failed(why: tuple[str, str]) -> tuple[tuple[str, str, str], ...]:
    return both("FailureTarget", "Failed", why)


def succeeded(why: tuple[str, str]) -> tuple[tuple[str, str, str], ...]:
    return both("SuccessCriteriaMet", "Complete", why)


def indexed(completions: int, parallelism: int, **more: Any) -> dict[str, Any]:
    return {"completionMode": "Indexed", "completions": completions, "parallelism": parallelism, **more}


def plain(completions: int | None, parallelism: int, **more: Any) -> dict[str, Any]:
    return {"parallelism": parallelism, **({} if completions is None else {"completions": completions}), **more}


def on_codes(action: str, *values: int, operator: str = "In", **more: Any) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values), **more}}


def on_disruption(action: str) -> dict[str, Any]:
    return {"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": list(rules)}}


def success(**rule: Any) -> dict[str, Any]:
    return {"successPolicy": {"rules": [rule]}}


def was(*kinds: str, why: tuple[str, str], **more: Any) -> dict[str, Any]:
    conditions = [{"type": kind, "status": "True", "reason": why[0], "message": why[1]} for kind in kinds]
    return {"conditions": conditions, "startTime": LONG_AGO, **more}


EITHER = success(succeededIndexes="0,1", succeededCount=1)
CODES = policy(on_codes("Ignore", 1, 2, 3), on_codes("FailJob", 5, 6, 7))
SUSPENDED = (("Suspended", "JobSuspended", "Job suspended"),)
OPEN = {"backoffLimit": 2**31 - 1}


def by_code(code: int, rule: int, pod: int = 0) -> tuple[str, str]:
    text = (
        f"Container c for pod default/{{job}}-{pod} failed with exit code {code} matching FailJob rule at index {rule}"
    )
    return "PodFailurePolicy", text


def by_disruption(pod: int = 0) -> tuple[str, str]:
    text = f"Pod default/{{job}}-{pod} has condition DisruptionTarget matching FailJob rule at index 0"
    return "PodFailurePolicy", text


SITUATIONS: dict[str, Situation] = {
    # --- as many Pods as are wanted
    "start": Situation(spec=plain(5, 2), made="- -", counts=(2, 0, 0, 0, 0)),
    "queue starts": Situation(spec=plain(None, 2), made="- -", counts=(2, 0, 0, 0, 0)),
    "pending": Situation(spec=plain(5, 2), pods="Pending*2", counts=(2, 0, 0, 0, 0), held=2),
    "as wanted": Situation(spec=plain(5, 3), pods="Running*2[ready] Running", counts=(3, 2, 0, 0, 0), held=3),
    "one too few": Situation(spec=plain(5, 2), pods="Running Succeeded", made="-", counts=(2, 0, 1, 0, 0), held=1),
    "queue has one too few": Situation(spec=plain(None, 2), pods="Running", made="-", counts=(2, 0, 0, 0, 0), held=1),
    "one too many": Situation(spec=plain(5, 2), pods="Running*3[ready]", removed=1, counts=(2, 2, 0, 0, 1), held=2),
    "eight too many": Situation(spec=plain(5, 2), pods="Running*10", removed=8, counts=(2, 0, 0, 0, 8), held=2),
    "fewer are left to do": Situation(
        spec=plain(4, 3), pods="Running*3 Succeeded*2", removed=1, counts=(2, 0, 2, 0, 1), held=2
    ),
    "a failure of long ago": Situation(
        spec=plain(5, 2), pods="Running Failed", made="-", counts=(2, 0, 0, 1, 0), held=1
    ),
    "a failure just now": Situation(spec=plain(1, 1), pods="Failed[now]", counts=(0, 0, 0, 1, 0)),
    "a success ends the waiting": Situation(
        spec=plain(5, 2), pods="Running Succeeded[now] Failed", made="-", counts=(2, 0, 1, 1, 0), held=1
    ),
    # --- Pods that go
    "what goes has failed": Situation(
        spec=plain(None, 1), pods="Running Failed Running[going]", counts=(1, 0, 0, 2, 1), held=1
    ),
    "what goes is waited for": Situation(
        spec=plain(None, 1, podReplacementPolicy="Failed"),
        pods="Running Failed Running[going]",
        counts=(1, 0, 0, 1, 1), held=2,
    ),
    "more go than are wanted": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed"),
        pods="Running*2 Running*4[going]",
        removed=1, counts=(1, 0, 0, 0, 5), held=5,
    ),
    "the index of what goes is taken": Situation(
        spec=indexed(5, 2, podReplacementPolicy="Failed"),
        pods="Running@0[going]", made="1", counts=(1, 0, 0, 0, 1), held=1,
    ),
    "a disrupted Pod that goes is no failure yet": Situation(
        spec=plain(1, 1, backoffLimit=0, podReplacementPolicy="Failed", **policy(on_disruption("Count"))),
        pods="Running[going]", counts=(0, 0, 0, 0, 1), held=1,
    ),
    # --- the end
    "all done": Situation(spec=plain(5, 2), pods="Succeeded*5", counts=(0, 0, 5, 0, 0), conditions=succeeded(REACHED)),
    "queue is not done": Situation(spec=plain(None, 2), pods="Running Succeeded", counts=(1, 0, 1, 0, 0), held=1),
    "queue is done": Situation(
        spec=plain(None, 2), pods="Succeeded*2", counts=(0, 0, 2, 0, 0), conditions=succeeded(REACHED)
    ),
    "queue is done despite a failure": Situation(
        spec=plain(None, 2), pods="Succeeded Failed", counts=(0, 0, 1, 1, 0), conditions=succeeded(REACHED)
    ),
    "done while it rests": Situation(
        spec=plain(4, 2, suspend=True), pods="Succeeded*4", counts=(0, 0, 4, 0, 0), conditions=succeeded(REACHED)
    ),
    "too many failures": Situation(
        spec=plain(5, 2, backoffLimit=1), pods="Failed*2", counts=(0, 0, 0, 2, 0), conditions=failed(LIMIT)
    ),
    "too many failures, and one that runs": Situation(
        spec=plain(3, 2, backoffLimit=0), pods="Running*2[ready] Failed",
        removed=2, counts=(0, 0, 0, 3, 2), conditions=(("FailureTarget", *LIMIT),),
    ),
    "just as many failures as may be": Situation(
        spec=plain(2, 2, backoffLimit=6), pods="Running Failed*6", made="-", counts=(2, 0, 0, 6, 0), held=1
    ),
    "too many failures while it is deleted": Situation(
        spec=plain(5, 2, backoffLimit=0), pods="Failed", deleting=True,
        counts=(0, 0, 0, 1, 0), conditions=failed(LIMIT),
    ),
    "deleted": Situation(
        spec=plain(5, 2), pods="Pending Running Succeeded", deleting=True, counts=(2, 0, 1, 0, 0)
    ),
    "deleted and suspended": Situation(
        spec=plain(4, 2, suspend=True), pods="Running*2", deleting=True, counts=(2, 0, 0, 0, 0)
    ),
    # --- deadlines
    "past its deadline": Situation(
        spec=plain(2, 1, activeDeadlineSeconds=10), status={"startTime": LONG_AGO}, pods="Running Succeeded",
        removed=1, counts=(0, 0, 1, 1, 1), conditions=(("FailureTarget", *DEADLINE),),
    ),
    "past its deadline before a Pod was made": Situation(
        spec=plain(1, 1, activeDeadlineSeconds=10), status={"startTime": LONG_AGO}, conditions=failed(DEADLINE)
    ),
    "past its deadline and its limit": Situation(
        spec=plain(1, 1, activeDeadlineSeconds=1, backoffLimit=0), status={"startTime": LONG_AGO}, pods="Failed",
        counts=(0, 0, 0, 1, 0), conditions=failed(LIMIT),
    ),
    "a deadline does not run while it rests": Situation(
        spec=plain(2, 1, activeDeadlineSeconds=10, suspend=True), status={"startTime": LONG_AGO}, conditions=SUSPENDED
    ),
    # --- restarts
    "a restart too many": Situation(
        spec=plain(1, 1, backoffLimit=1, restart="OnFailure"), pods="Running[restarted]",
        removed=1, counts=(0, 0, 0, 1, 1), conditions=(("FailureTarget", *LIMIT),),
    ),
    "no restart is allowed": Situation(
        spec=plain(1, 1, backoffLimit=0, restart="OnFailure"), pods="Running", counts=(1, 0, 0, 0, 0), held=1
    ),
    "restarts of two Pods": Situation(
        spec=plain(5, 2, backoffLimit=2, restart="OnFailure"), pods="Pending*2[restarted]",
        removed=2, counts=(0, 0, 0, 2, 2), conditions=(("FailureTarget", *LIMIT),),
    ),
    "not enough restarts": Situation(
        spec=plain(5, 2, backoffLimit=3, restart="OnFailure"), pods="Running*2[restarted]",
        counts=(2, 0, 0, 0, 0), held=2,
    ),
    # --- suspended
    "suspended": Situation(
        spec=plain(4, 2, suspend=True), pods="Running*2[ready]", removed=2, counts=(0, 0, 0, 0, 2), conditions=SUSPENDED
    ),
    "resumed": Situation(
        spec=plain(4, 2), status=was("Suspended", why=("JobSuspended", "Job suspended")),
        made="- -", counts=(2, 0, 0, 0, 0), conditions=(("Suspended=False", "JobResumed", "Job resumed"),),
    ),
    # --- indexes
    "the first indexes": Situation(spec=indexed(5, 2), made="0 1", counts=(2, 0, 0, 0, 0)),
    "all indexes": Situation(
        spec=indexed(3, 2), pods="Succeeded@0 Failed@1 Succeeded@1 Succeeded@2",
        counts=(0, 0, 3, 1, 0), done="0-2", conditions=succeeded(REACHED),
    ),
    "a failed indexed Job": Situation(
        spec=indexed(3, 2, backoffLimit=0), pods="Succeeded@0 Failed@1 Running@2",
        removed=1, counts=(0, 0, 1, 2, 1), done="0", conditions=(("FailureTarget", *LIMIT),),
    ),
    "an index done twice": Situation(
        spec=indexed(3, 2), pods="Succeeded@0 Succeeded@1 Succeeded@1", made="2", counts=(1, 0, 2, 0, 0), done="0,1"
    ),
    "gaps are filled": Situation(
        spec=indexed(20, 8),
        pods="Running@0 Succeeded@2 Pending@3 Succeeded@4 Succeeded@5 Succeeded@7 Succeeded@8 Succeeded@9",
        made="1 6 10 11 12 13", counts=(8, 0, 6, 0, 0), done="2,4,5,7-9", held=2,
    ),
    "failed indexes first": Situation(
        spec=indexed(4, 3), pods="Failed@0 Pending@1 Failed@2", made="0 2", counts=(3, 0, 0, 2, 0), held=1
    ),
    "Pods without an index": Situation(
        spec=indexed(5, 2),
        pods="Running Succeeded Failed Running@x Succeeded@x Failed@x Pending@x Succeeded@0 Running@1 Running@2",
        removed=3, counts=(2, 0, 1, 0, 3), done="0", held=2,
    ),
    "an index twice": Situation(
        spec=indexed(5, 5), pods="Running@x Succeeded@0 Running@1 Running@2 Pending@2",
        removed=2, counts=(2, 0, 1, 0, 2), done="0", held=2,
    ),
    "indexes out of range": Situation(
        spec=indexed(5, 2), pods="Succeeded@0 Running@5 Succeeded@6 Pending@7 Failed@8",
        removed=2, counts=(0, 0, 1, 0, 2), done="0",
    ),
    "indexes that were done are out of range": Situation(
        spec=indexed(2, 2), first=indexed(4, 4),
        status={"startTime": LONG_AGO, "succeeded": 1, "completedIndexes": "3"},
        pods="Running@0 Succeeded@1", counts=(1, 0, 1, 0, 0), done="1", held=1,
    ),
    # --- what somebody else has entered
    "a condition that is not true": Situation(
        spec=plain(1, 1), pods="Running[ready]", counts=(1, 1, 0, 0, 0), held=1,
        status={"conditions": [{"type": "FailureTarget", "status": "False", "reason": "x", "message": "y"}]},
        conditions=(("FailureTarget=False", "x", "y"),),
    ),
    "success that is not true": Situation(
        spec=plain(1, 1), pods="Running[ready]", counts=(1, 1, 0, 0, 0), held=1,
        status={"conditions": [{"type": "SuccessCriteriaMet", "status": "False", "reason": "x", "message": "y"}]},
        conditions=(("SuccessCriteriaMet=False", "x", "y"),),
    ),
    # --- podFailurePolicy
    "another container": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **policy(on_codes("FailJob", 5, containerName="c"))),
        pods="Failed!42", made="-", counts=(1, 0, 0, 1, 0),
    ),
    "a Pod that runs fits no rule": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **CODES), pods="Running!5", counts=(1, 0, 0, 0, 0), held=1
    ),
    "a code fails the Job": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **CODES), pods="Failed!5",
        counts=(0, 0, 0, 1, 0), conditions=failed(by_code(5, 1)),
    ),
    "a code fails the Job and one that runs": Situation(
        spec=plain(2, 2, podReplacementPolicy="Failed", **CODES), pods="Running Failed!5",
        removed=1, counts=(0, 0, 0, 2, 1), conditions=(("FailureTarget", *by_code(5, 1, 1)),),
    ),
    "what was decided by a Pod that is gone": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **CODES), pods="Failed!5",
        status=was("FailureTarget", why=by_code(5, 1, 9)),
        counts=(0, 0, 0, 1, 0), conditions=failed(by_code(5, 1, 9)),
    ),
    "a code that is not listed": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **policy(on_codes("FailJob", 5, operator="NotIn"))),
        pods="Failed!42", counts=(0, 0, 0, 1, 0), conditions=failed(by_code(42, 0)),
    ),
    "a code that is listed": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **policy(on_codes("FailJob", 5, operator="NotIn"))),
        pods="Failed!5", made="-", counts=(1, 0, 0, 1, 0),
    ),
    "an ignored code": Situation(
        spec=plain(1, 1, backoffLimit=0, podReplacementPolicy="Failed", **CODES), pods="Failed!1",
        made="-", counts=(1, 0, 0, 0, 0),
    ),
    "an ignored failure just now": Situation(
        spec=plain(1, 1, backoffLimit=0, podReplacementPolicy="Failed", **CODES), pods="Failed!1[now]"
    ),
    "no rule fits": Situation(
        spec=plain(1, 1, backoffLimit=0, podReplacementPolicy="Failed", **CODES), pods="Failed!10",
        counts=(0, 0, 0, 1, 0), conditions=failed(LIMIT),
    ),
    "the first rule that fits": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **policy(on_codes("Count", 1, 2), on_codes("Ignore", 2, 3))),
        pods="Failed!2", made="-", counts=(1, 0, 0, 1, 0),
    ),
    "an ignored disruption": Situation(
        spec=plain(1, 1, backoffLimit=0, podReplacementPolicy="Failed", **policy(on_disruption("Ignore"))),
        pods="Failed[disrupted]", made="-", counts=(1, 0, 0, 0, 0),
    ),
    "a disruption fails the Job": Situation(
        spec=plain(1, 1, podReplacementPolicy="Failed", **policy(on_disruption("FailJob"))),
        pods="Failed[disrupted]", counts=(0, 0, 0, 1, 0), conditions=failed(by_disruption()),
    ),
    # --- successPolicy
    "success is certain": Situation(
        spec=indexed(3, 3, **OPEN, **EITHER), pods="Failed@0 Running@0 Succeeded@1 Running@2",
        removed=2, counts=(0, 0, 1, 1, 2), done="1", conditions=(("SuccessCriteriaMet", *BY_POLICY),),
    ),
    "success was certain, and all have gone": Situation(
        spec=indexed(2, 2, **OPEN, **EITHER), pods="Failed@0 Succeeded@1",
        status=was("SuccessCriteriaMet", why=BY_POLICY),
        counts=(0, 0, 1, 1, 0), done="1", conditions=succeeded(BY_POLICY),
    ),
    "failure before success": Situation(
        spec=indexed(2, 2, podReplacementPolicy="Failed", **OPEN, **EITHER, **policy(on_disruption("FailJob"))),
        pods="Failed@0[disrupted] Running@0 Succeeded@1",
        removed=1, counts=(0, 0, 1, 2, 1), done="1", conditions=(("FailureTarget", *by_disruption()),),
    ),
    "a limit before success": Situation(
        spec=indexed(2, 2, backoffLimit=1, **EITHER), pods="Failed@0 Failed@0 Succeeded@1",
        counts=(0, 0, 1, 2, 0), done="1", conditions=failed(LIMIT),
    ),
    "a lost index before success": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1, **OPEN, **EITHER), pods="Failed@0#1 Succeeded@1",
        counts=(0, 0, 1, 1, 0), done="1", lost="0", conditions=failed(LOST),
    ),
    "success that is certain stays so": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1, **OPEN, **success(succeededIndexes="1")),
        pods="Failed@0#1 Succeeded@1",
        status=was("SuccessCriteriaMet", why=BY_POLICY, succeeded=1, completedIndexes="1"),
        counts=(0, 0, 1, 1, 0), done="1", lost="0", conditions=succeeded(BY_POLICY),
    ),
    "failure that is certain stays so": Situation(
        spec=indexed(2, 2, podReplacementPolicy="Failed", **OPEN, **EITHER, **policy(on_disruption("FailJob"))),
        pods="Succeeded@1", status=was("FailureTarget", why=by_disruption(), failed=1),
        counts=(0, 0, 1, 1, 0), done="1", conditions=failed(by_disruption()),
    ),
    # --- limits of indexes
    "done after a failure": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1), pods="Failed@0#0 Succeeded@0#1 Succeeded@1#0",
        counts=(0, 0, 2, 1, 0), done="0,1", lost="", conditions=succeeded(REACHED),
    ),
    "a failure waits for its replacement": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1), pods="Failed@0#0", made="0 1",
        counts=(2, 0, 0, 0, 0), lost="", held=1,
    ),
    "a failure just now holds up its index alone": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1), pods="Failed@0#0[now]", made="1",
        counts=(1, 0, 0, 0, 0), lost="", held=1,
    ),
    "a failure was replaced": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1), pods="Failed@0#0 Pending@0#1", made="1",
        counts=(2, 0, 0, 1, 0), lost="", held=1,
    ),
    "an index is lost": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1), pods="Failed@0#1", made="1", counts=(1, 0, 0, 1, 0), lost="0"
    ),
    "a rule loses an index": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1, podReplacementPolicy="Failed", **policy(on_codes("FailIndex", 3))),
        pods="Failed@0#0!3", made="1", counts=(1, 0, 0, 1, 0), lost="0",
    ),
    "a rule fails the Job, not the index": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1, podReplacementPolicy="Failed", **policy(on_codes("FailJob", 3))),
        pods="Failed@0#0!3", counts=(0, 0, 0, 1, 0), lost="", conditions=failed(by_code(3, 0)),
    ),
    "an ignored failure of an index": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1, podReplacementPolicy="Failed", **policy(on_codes("Ignore", 3))),
        pods="Failed@0#0!3", made="0 1", counts=(2, 0, 0, 0, 0), lost="", held=1,
    ),
    "the limit of the Job before those of its indexes": Situation(
        spec=indexed(2, 2, backoffLimit=1, backoffLimitPerIndex=1), pods="Failed@0#0 Failed@1#0",
        counts=(0, 0, 0, 2, 0), lost="", conditions=failed(LIMIT),
    ),
    "all indexes are done or lost": Situation(
        spec=indexed(2, 2, backoffLimitPerIndex=1), pods="Failed@0#1 Succeeded@1#0",
        counts=(0, 0, 1, 1, 0), done="1", lost="0", conditions=failed(LOST),
    ),
    "too many indexes are lost": Situation(
        spec=indexed(4, 4, backoffLimitPerIndex=1, maxFailedIndexes=1),
        pods="Failed@0#1 Succeeded@1#0 Failed@2#1 Running@3#0",
        removed=1, counts=(0, 0, 1, 3, 1), done="1", lost="0,2", conditions=(("FailureTarget", *TOO_MANY),),
    ),
    # --- the books
    "some are entered, some have lost their finalizer": Situation(
        spec=plain(20, 1), pods="Succeeded[enteredwell] Succeeded Failed[enteredill] Failed Running",
        status={"startTime": LONG_AGO, "succeeded": 2, "failed": 3},
        counts=(1, 0, 4, 5, 0), held=1,
    ),
    "what is entered as failed stays so": Situation(
        spec=plain(2, 2, backoffLimit=1), pods="Failed[enteredill] Succeeded[enteredill]",
        counts=(0, 0, 0, 2, 0), conditions=failed(LIMIT),
    ),
}  # fmt: skip


async def set_up(w: World, name: str, one: Situation) -> None:
    spec, meta = dict(one.spec), {"finalizers": ["example.com/hold"]} if one.deleting else {}
    pod = {"restartPolicy": spec.pop("restart", "Never"), "containers": [{"name": "c", "image": "i"}]}
    job = await w.create(Job, name, metadata=meta, spec={**spec, **one.first, "template": {"spec": pod}})
    entered: dict[str, list[str]] = {"succeeded": [], "failed": []}
    number = 0
    for word in one.pods.split():
        head, _, flag = word.rstrip("]").partition("[")
        head, _, code = head.partition("!")
        head, _, failures = head.partition("#")
        head, _, index = head.partition("@")
        phase, _, times = head.partition("*")
        for _ in range(int(times or 1)):
            made = await add(w, job, f"{name}-{number}", phase, index=index, failures=failures, code=code, flag=flag)
            number += 1
            if flag.startswith("entered"):
                entered["succeeded" if flag == "enteredwell" else "failed"].append(made.metadata.uid)
    status = dict(one.status)
    if any(entered.values()):
        status["uncountedTerminatedPods"] = entered
    for condition in status.get("conditions", ()):
        condition["message"] = condition["message"].replace("{job}", name)
    if status:
        status.setdefault("startTime", rfc3339(w.clock.now()))
        await w.client.of(Job).patch_raw(key_of(job), {"status": status}, subresource="status")
    if one.first:
        await w.patch(Job, name, {"spec": {word: spec[word] for word in one.first}})
    if one.deleting:
        await w.delete(Job, name, propagation="Background")


async def add(
    w: World, job: batch_v1.Job, name: str, phase: str, *, index: str, failures: str, code: str, flag: str
) -> core_v1.Pod:
    assert job.spec.selector is not None
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.metadata.name, "uid": job.metadata.uid}
    notes = ({INDEX: index} if index else {}) | ({FAILURES: failures} if failures else {})
    made = await w.create(
        core_v1.Pod,
        name,
        metadata={
            "labels": dict(job.spec.selector.matchLabels),
            "ownerReferences": [{**owner, "controller": True}],
            "annotations": notes,
            "finalizers": [TRACKING],
        },
        spec={"restartPolicy": job.spec.template.spec.restartPolicy, "containers": [{"name": "c", "image": "i"}]},
    )
    container: dict[str, Any] = {"name": "c", "image": "i", "imageID": "", "ready": flag == "ready", "restartCount": 0}
    container["restartCount"] = int(flag == "restarted")
    if phase in ("Succeeded", "Failed") or code:
        end = rfc3339(w.clock.now()) if flag == "now" else LONG_AGO
        container["state"] = {"terminated": {"exitCode": int(code or phase == "Failed"), "finishedAt": end}}
    kinds = {"ready": "Ready", "disrupted": "DisruptionTarget"}
    status = {
        "phase": phase,
        "containerStatuses": [container],
        "conditions": [{"type": kinds[flag], "status": "True"}] if flag in kinds else [],
    }
    await w.client.of(core_v1.Pod).patch_raw(key_of(made), {"status": status}, subresource="status")
    if flag == "going":
        await w.delete(core_v1.Pod, name)
    return made


async def outcome(w: World, name: str, old: set[str], one: Situation, removed: int) -> dict[str, Any]:
    """What has become of a situation."""
    job = await w.get(Job, name)
    status = job.status
    mine = [p for p in await w.all(core_v1.Pod) if p.metadata.ownerReferences[0].uid == job.metadata.uid]
    made = [p for p in mine if p.metadata.uid not in old]
    for pod in made:
        index = pod.metadata.annotations.get(INDEX)
        assert (pod.metadata.finalizers, pod.metadata.labels.get(INDEX)) == ((TRACKING,), index)
        assert pod.spec.hostname == ("" if index is None else f"{name}-{index}")
    kinds = {c.type for c in status.conditions if c.status == "True"}
    assert (status.startTime is None) == bool(one.spec.get("suspend") and "Complete" not in kinds)
    assert (status.completionTime is not None) == ("Complete" in kinds)
    assert status.uncountedTerminatedPods == batch_v1.UncountedTerminatedPods()
    return {
        "counts": (status.active, status.ready, status.succeeded, status.failed, status.terminating),
        "made": sorted((p.metadata.annotations.get(INDEX, "-") for p in made), key=lambda index: (len(index), index)),
        "removed": removed,
        "held": sum(TRACKING in p.metadata.finalizers for p in mine if p.metadata.uid in old),
        "done": status.completedIndexes,
        "lost": status.failedIndexes,
        "conditions": [
            (c.type if c.status == "True" else f"{c.type}={c.status}", c.reason, c.message) for c in status.conditions
        ],
    }


def wanted(name: str, one: Situation) -> dict[str, Any]:
    """What is to become of it, in the words of outcome()."""
    return {
        "counts": one.counts,
        "made": one.made.split(),
        "removed": one.removed,
        "held": one.held,
        "done": one.done,
        "lost": one.lost,
        "conditions": [(kind, reason, text.replace("{job}", name)) for kind, reason, text in one.conditions],
    }


@simulated
async def test_each_situation_is_answered_as_upstream_answers_it():
    async with world(nodes=0, only=("serviceaccount-controller",)) as w:
        names = {f"job-{number}x": name for number, name in enumerate(SITUATIONS)}
        for short, name in names.items():
            await set_up(w, short, SITUATIONS[name])
        old = {p.metadata.uid for p in await w.all(core_v1.Pod)}
        deaf = Deaf(w)
        task = controllers(w, "job-controller", deaf)
        await w.clock.sleep(2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        wrong = {}
        for short, name in names.items():
            removed = sum(f"/pods/{short}-" in path for path in deaf.deleted)
            found = await outcome(w, short, old, SITUATIONS[name], removed)
            expected = wanted(short, SITUATIONS[name])
            if found != expected:
                wrong[name] = {what: (found[what], expected[what]) for what in found if found[what] != expected[what]}
        assert wrong == {}
