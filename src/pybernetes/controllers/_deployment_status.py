"""A Deployment's status: counts and the conditions Available, Progressing, ReplicaFailure, as `kubectl rollout` reads them.

Pure. deployment.py writes what this says.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.types import apps_v1
from pybernetes.controllers._rollout import is_complete, replicas_of, total, unavailable
from pybernetes.rules import conditions

Condition = apps_v1.DeploymentCondition
Status = apps_v1.DeploymentStatus

NO_DEADLINE = 2**31 - 1
"""progressDeadlineSeconds of this value means none."""
AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
NEW_AVAILABLE, TIMED_OUT = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def find(status: Status, kind: str) -> Condition | None:
    """The condition of that type."""
    return conditions.find(status.conditions, kind)


def with_condition(status: Status, made: Condition, now: float) -> Status:
    """The status with a condition. The same status and reason change nothing; the same status keeps its transition."""
    old = find(status, made.type)
    if old is not None and (old.status, old.reason) == (made.status, made.reason):
        return status
    return _put(status, made, now)


def _put(status: Status, made: Condition, now: float) -> Status:
    """Of now, where the condition does not say of when it is."""
    old = find(status, made.type)
    since = old.lastTransitionTime if old and old.status == made.status else made.lastTransitionTime or rfc3339(now)
    stamped = replace(made, lastUpdateTime=made.lastUpdateTime or rfc3339(now), lastTransitionTime=since)
    return replace(without(status, made.type), conditions=(*without(status, made.type).conditions, stamped))


def without(status: Status, kind: str) -> Status:
    """The status without that condition."""
    return replace(status, conditions=tuple(c for c in status.conditions if c.type != kind))


def has_deadline(d: apps_v1.Deployment) -> bool:
    """Whether progress is watched."""
    return d.spec.progressDeadlineSeconds is not None and d.spec.progressDeadlineSeconds != NO_DEADLINE


def counted(
    d: apps_v1.Deployment, new: apps_v1.ReplicaSet | None, sets: Sequence[apps_v1.ReplicaSet], now: float
) -> Status:
    """Counts, and the condition Available; other conditions as they were."""
    available = sum(rs.status.availableReplicas for rs in sets)
    status = replace(
        d.status,
        observedGeneration=d.metadata.generation,
        replicas=sum(rs.status.replicas for rs in sets),
        updatedReplicas=new.status.replicas if new else 0,
        readyReplicas=sum(rs.status.readyReplicas for rs in sets),
        availableReplicas=available,
        unavailableReplicas=max(0, total(sets) - available),
        terminatingReplicas=_terminating(sets),
    )
    if available >= replicas_of(d) - unavailable(d):
        made = Condition(
            type=AVAILABLE, status="True", reason="MinimumReplicasAvailable",
            message="Deployment has minimum availability.",
        )  # fmt: skip
    else:
        made = Condition(
            type=AVAILABLE, status="False", reason="MinimumReplicasUnavailable",
            message="Deployment does not have minimum availability.",
        )  # fmt: skip
    return with_condition(status, made, now)


def _terminating(sets: Sequence[apps_v1.ReplicaSet]) -> int | None:
    """Of all; None where one that was looked at does not say so. One that nobody has looked at yet has none."""
    seen = [rs.status for rs in sets if rs.status.observedGeneration or rs.status.terminatingReplicas is not None]
    going = [status.terminatingReplicas for status in seen if status.terminatingReplicas is not None]
    return sum(going) if len(going) == len(seen) else None


def progressed(
    d: apps_v1.Deployment, new: apps_v1.ReplicaSet | None, sets: Sequence[apps_v1.ReplicaSet], now: float
) -> Status:
    """The whole status during a rollout."""
    status = counted(d, new, sets, now)
    if not has_deadline(d):
        status = without(status, PROGRESSING)
    current = find(d.status, PROGRESSING)
    finished = status.replicas == status.updatedReplicas and current is not None and current.reason == NEW_AVAILABLE
    if has_deadline(d) and not finished:
        status = _progress(d, new, status, now)
    return _failures(status, [*([new] if new else []), *sets], now)


def _progress(d: apps_v1.Deployment, new: apps_v1.ReplicaSet | None, status: Status, now: float) -> Status:
    who = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{d.metadata.name}"'
    if is_complete(d, status):
        made = Condition(
            type=PROGRESSING, status="True", reason=NEW_AVAILABLE, message=f"{who} has successfully progressed."
        )
        return with_condition(status, made, now)
    if _moved(d.status, status):
        made = Condition(type=PROGRESSING, status="True", reason="ReplicaSetUpdated", message=f"{who} is progressing.")
        # Written even when it says the same: its update time is what the deadline counts from.
        return _put(status, made, now)
    if timed_out(d, status, now):
        made = Condition(
            type=PROGRESSING, status="False", reason=TIMED_OUT, message=f"{who} has timed out progressing."
        )
        return with_condition(status, made, now)
    return status


def _moved(old: Status, new: Status) -> bool:
    return (
        new.updatedReplicas > old.updatedReplicas
        or new.replicas - new.updatedReplicas < old.replicas - old.updatedReplicas
        or new.readyReplicas > old.readyReplicas
        or new.availableReplicas > old.availableReplicas
    )


def timed_out(d: apps_v1.Deployment, status: Status, now: float) -> bool:
    """Nothing moved for longer than the deadline."""
    current = find(status, PROGRESSING)
    if current is None or current.reason == NEW_AVAILABLE:
        return False
    return current.reason == TIMED_OUT or deadline_in(d, status, now) == 0


def deadline_in(d: apps_v1.Deployment, status: Status, now: float) -> float | None:
    """Seconds until the deadline; None where nothing is waited for."""
    current = find(status, PROGRESSING)
    waiting = current is not None and current.reason not in (NEW_AVAILABLE, TIMED_OUT, PAUSED)
    if not waiting or not has_deadline(d) or is_complete(d, status):
        return None
    assert current is not None
    since = parse_time(current.lastUpdateTime) if current.lastUpdateTime else now
    return max(0.0, since + float(d.spec.progressDeadlineSeconds or 0) - now)


def _failures(status: Status, sets: Iterable[apps_v1.ReplicaSet], now: float) -> Status:
    for rs in sets:
        for c in rs.status.conditions:
            if c.type == REPLICA_FAILURE:
                at = c.lastTransitionTime
                made = Condition(
                    type=c.type, status=c.status, reason=c.reason, message=c.message,
                    lastUpdateTime=at, lastTransitionTime=at,
                )  # fmt: skip
                return with_condition(status, made, now)
    return without(status, REPLICA_FAILURE)


def paused(d: apps_v1.Deployment, now: float) -> Status:
    """The status after noting a pause, so that time spent paused does not count against the deadline."""
    current = find(d.status, PROGRESSING)
    was = current is not None and current.reason == PAUSED
    if not has_deadline(d) or (current is not None and current.reason == TIMED_OUT) or d.spec.paused == was:
        return d.status
    reason, message = (PAUSED, "Deployment is paused") if d.spec.paused else (RESUMED, "Deployment is resumed")
    return with_condition(d.status, Condition(type=PROGRESSING, status="Unknown", reason=reason, message=message), now)
