"""What a Deployment's status says, by upstream's tables of deployment/util and progress."""

import msgspec
import pytest

from pybernetes.aio.clock import parse_time
from pybernetes.api.types import apps_v1
from pybernetes.controllers import _deployment_status as statuses
from pybernetes.controllers._rollout import Deployment, ReplicaSet, is_complete

AT = "2016-01-01T00:01:09Z"
NOW = parse_time(AT)


def deployment(replicas: int = 10, status: dict[str, object] | None = None, **spec: object) -> Deployment:
    body = {"metadata": {"name": "d"}, "spec": {"replicas": replicas, **spec}, "status": status or {}}
    return msgspec.convert(body, Deployment)


def rs(name: str = "d-1", size: int = 1, **status: object) -> ReplicaSet:
    body = {"metadata": {"name": name, "uid": name}, "spec": {"replicas": size}, "status": status}
    return msgspec.convert(body, ReplicaSet)


def counts(replicas: int, updated: int, ready: int, available: int) -> dict[str, object]:
    return {
        "replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": available,
    }  # fmt: skip


FIRST = rs("1", 1, observedGeneration=1, replicas=2, terminatingReplicas=3)
SECOND = rs("2", 2, observedGeneration=1, replicas=3, terminatingReplicas=1)
UNSEEN = rs("3", 3)
SILENT = rs("4", 1, observedGeneration=1, replicas=1)


@pytest.mark.parametrize(
    ("sets", "replicas", "terminating"),
    [
        ((), 0, 0),
        ((FIRST,), 2, 3),
        ((FIRST, SECOND), 5, 4),
        ((UNSEEN,), 0, 0),
        ((FIRST, SECOND, UNSEEN), 5, 4),
        ((SILENT,), 1, None),
        ((FIRST, SECOND, UNSEEN, SILENT), 6, None),
    ],
)
def test_what_ends_is_added_up_where_all_that_were_looked_at_say_it(sets, replicas, terminating):
    status = statuses.counted(deployment(), None, sets, NOW)
    assert (status.replicas, status.terminatingReplicas) == (replicas, terminating)


@pytest.mark.parametrize(
    ("wanted", "replicas", "updated", "available", "complete"),
    [(5, 5, 5, 4, False), (5, 5, 5, 3, False), (5, 5, 5, 5, True), (5, 5, 4, 5, False), (1, 2, 1, 1, False),
     (1, 1, 1, 0, False)],
)  # fmt: skip
def test_when_a_rollout_is_complete(wanted, replicas, updated, available, complete):
    d = deployment(wanted, counts(replicas, updated, available, available))
    assert is_complete(d, d.status) is complete


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        ((10, 4, 4, 4), (10, 6, 4, 4), True),
        ((10, 4, 4, 4), (10, 4, 4, 4), False),
        ((10, 4, 6, 6), (8, 4, 6, 6), True),
        ((10, 7, 3, 3), (10, 6, 3, 3), False),
        ((10, 4, 7, 7), (8, 8, 5, 5), True),
        ((10, 10, 9, 8), (10, 10, 10, 8), True),
        ((10, 10, 10, 9), (10, 10, 10, 10), True),
    ],
)
def test_what_counts_as_progress(before, now, moved):
    d = deployment(11, counts(*before), progressDeadlineSeconds=600)
    replicas, updated, ready, available = now
    new = rs("d-2", updated, replicas=updated, readyReplicas=ready, availableReplicas=available)
    old = rs("d-1", replicas - updated, replicas=replicas - updated)
    found = statuses.find(statuses.progressed(d, new, [new, old], NOW), statuses.PROGRESSING)
    assert (found is not None) is moved
    assert found is None or (found.reason, found.message) == ("ReplicaSetUpdated", 'ReplicaSet "d-2" is progressing.')


@pytest.mark.parametrize(
    ("deadline", "reason", "since", "late"),
    [
        (None, "", AT, False),
        (statuses.NO_DEADLINE, "", AT, False),
        (10, "", AT, True),
        (10, "", "2016-01-01T00:01:11Z", False),
        (10, "ProgressDeadlineExceeded", "2016-01-01T00:01:19Z", True),
        (10, "NewReplicaSetAvailable", "2001-01-01T00:00:00Z", False),
    ],
)
def test_when_a_rollout_has_taken_too_long(deadline, reason, since, late):
    condition = {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": since}
    d = deployment(1, {"conditions": [condition]}, progressDeadlineSeconds=deadline)
    found = statuses.progressed(d, None, [rs()], NOW + 11)
    assert (statuses.find(found, statuses.PROGRESSING) or apps_v1.DeploymentCondition()).status == (
        "" if deadline in (None, statuses.NO_DEADLINE) else "False" if late else "True"
    )


def test_the_failure_of_the_new_set_is_told_before_those_of_old_ones_and_goes_with_it():
    def failing(name: str, at: str) -> ReplicaSet:
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": name}
        return rs(name, conditions=[condition | {"lastTransitionTime": at}])

    old, new = failing("old", "2015-01-01T00:00:00Z"), failing("new", "2015-02-02T00:00:00Z")
    d = deployment(1)
    for sets, text, at in (((old, new), "new", "2015-02-02T00:00:00Z"), ((old,), "old", "2015-01-01T00:00:00Z")):
        status = statuses.progressed(d, new if new in sets else None, sets, NOW)
        told = statuses.find(status, statuses.REPLICA_FAILURE)
        assert told is not None
        assert (told.message, told.lastTransitionTime, told.lastUpdateTime) == (text, at, at)
    again = statuses.progressed(msgspec.structs.replace(d, status=status), None, [rs()], NOW)
    assert statuses.find(again, statuses.REPLICA_FAILURE) is None
