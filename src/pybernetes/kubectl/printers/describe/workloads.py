"""What makes Pods: sets, Deployments, Jobs; and what limits and scales them."""

from collections.abc import Iterable
from typing import Any

from pybernetes.aio.clock import parse_time
from pybernetes.api.objects import Object
from pybernetes.kubectl.printers.describe import blocks, pods
from pybernetes.kubectl.printers.describe.blocks import Lines, flag, meta, moment, none, selector, spec, status
from pybernetes.kubectl.session import Session
from pybernetes.rules.ages import age

_PHASES = (("Running", "Running"), ("Pending", "Waiting"), ("Succeeded", "Succeeded"), ("Failed", "Failed"))
_REVISION = "deployment.kubernetes.io/revision"


async def deployment(session: Session, obj: Object) -> Lines:
    """Its numbers, its strategy, and the ReplicaSets it has."""
    own, now = spec(obj), status(obj)
    counts = (
        f"{own.get('replicas', 1)} desired | {now.get('updatedReplicas', 0)} updated | {now.get('replicas', 0)} total"
        f" | {now.get('availableReplicas', 0)} available | {now.get('unavailableReplicas', 0)} unavailable"
    )
    strategy = own.get("strategy") or {}
    lines = [*blocks.name(obj), blocks.created(obj), *blocks.labels(obj), *blocks.annotations(obj)]
    lines += [f"Selector:\t{selector(own.get('selector'))}", f"Replicas:\t{counts}"]
    lines += [f"StrategyType:\t{strategy.get('type', '')}", f"MinReadySeconds:\t{own.get('minReadySeconds', 0)}"]
    if rolling := strategy.get("rollingUpdate"):
        text = f"{rolling.get('maxUnavailable')} max unavailable, {rolling.get('maxSurge')} max surge"
        lines.append(f"RollingUpdateStrategy:\t{text}")
    lines += [*pods.template(own["template"]), *blocks.conditions(obj, "type", "status", "reason")]
    path = f"/apis/apps/v1/namespaces/{meta(obj)['namespace']}/replicasets"
    query = {"labelSelector": selector(own.get("selector"))}
    found = [o for o in (await session.request("GET", path, query=query)).get("items") or () if _owns(obj, o)]
    if not found:
        return lines
    newest = max(found, key=lambda one: int((meta(one).get("annotations") or {}).get(_REVISION, 0)))
    old = [one for one in found if one is not newest]
    return [*lines, f"OldReplicaSets:\t{_sets(old)}", f"NewReplicaSet:\t{_sets([newest])}"]


def _sets(found: Iterable[Object]) -> str:
    shown = (
        f"{meta(o)['name']} ({status(o).get('replicas', 0)}/{spec(o).get('replicas', 1)} replicas created)"
        for o in found
    )
    return none(", ".join(shown))


async def replica_set(session: Session, obj: Object) -> Lines:
    """Of a ReplicaSet or ReplicationController."""
    own = spec(obj)
    lines = [*blocks.name(obj), f"Selector:\t{selector(own.get('selector'))}"]
    lines += [*blocks.labels(obj), *blocks.annotations(obj), *blocks.controlled_by(obj)]
    lines.append(f"Replicas:\t{status(obj).get('replicas', 0)} current / {own.get('replicas', 1)} desired")
    lines += [f"Pods Status:\t{await _phases(session, obj)}", *pods.template(own["template"])]
    return [*lines, *blocks.conditions(obj, "type", "status", "reason")]


async def stateful_set(session: Session, obj: Object) -> Lines:
    """Its numbers, its strategy, and the claims of each Pod."""
    own, now = spec(obj), status(obj)
    strategy = own.get("updateStrategy") or {}
    lines = [*blocks.name(obj), blocks.created(obj), f"Selector:\t{selector(own.get('selector'))}"]
    lines += [*blocks.labels(obj), *blocks.annotations(obj)]
    lines.append(f"Replicas:\t{own.get('replicas', 1)} desired | {now.get('replicas', 0)} total")
    lines.append(f"Update Strategy:\t{strategy.get('type', '')}")
    if rolling := strategy.get("rollingUpdate"):
        lines += [f"  Partition:\t{rolling['partition']}"] if rolling.get("partition") is not None else []
        lines += [f"  MaxUnavailable:\t{rolling['maxUnavailable']}"] if rolling.get("maxUnavailable") else []
    lines += [f"Pods Status:\t{await _phases(session, obj)}", *pods.template(own["template"])]
    claims = own.get("volumeClaimTemplates") or ()
    lines.append("Volume Claims:" if claims else "Volume Claims:\t<none>")
    for claim in claims:
        wanted = spec(claim)
        size = ((wanted.get("resources") or {}).get("requests") or {}).get("storage", "<default>")
        lines += [f"  Name:\t{meta(claim)['name']}", f"  StorageClass:\t{wanted.get('storageClassName', '')}"]
        lines += blocks.pairs("  Labels", meta(claim).get("labels"))
        lines += blocks.annotations(claim, "  Annotations", "  ")
        lines += [f"  Capacity:\t{size}", f"  Access Modes:\t{blocks.listed(wanted.get('accessModes'))}"]
    return lines


async def daemon_set(session: Session, obj: Object) -> Lines:
    """How many nodes have their Pod."""
    own, now = spec(obj), status(obj)
    lines = [f"Name:\t{meta(obj)['name']}", f"Selector:\t{selector(own.get('selector'))}"]
    lines.append(f"Node-Selector:\t{none(selector(spec(own['template']).get('nodeSelector')))}")
    lines += [*blocks.labels(obj), *blocks.annotations(obj)]
    for title, field in (
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ):
        lines.append(f"{title}: {now.get(field, 0)}")
    return [*lines, f"Pods Status:\t{await _phases(session, obj)}", *pods.template(own["template"])]


async def _phases(session: Session, obj: Object) -> str:
    path = f"/api/v1/namespaces/{meta(obj)['namespace']}/pods"
    query = {"labelSelector": selector(spec(obj).get("selector"))}
    found = [o for o in (await session.request("GET", path, query=query)).get("items") or () if _owns(obj, o)]
    phases = [status(one).get("phase", "Pending") for one in found]
    return " / ".join(f"{phases.count(phase)} {shown}" for phase, shown in _PHASES)


def _owns(owner: Object, obj: Object) -> bool:
    return any(o["uid"] == meta(owner)["uid"] for o in meta(obj).get("ownerReferences") or () if o.get("controller"))


async def job(_: Session, obj: Object) -> Lines:
    """How far it is."""
    own, now = spec(obj), status(obj)
    lines = [*blocks.name(obj)]
    if own.get("selector") is not None:
        lines.append(f"Selector:\t{selector(own['selector'])}")
    lines += [*blocks.labels(obj), *blocks.annotations(obj), *blocks.controlled_by(obj)]
    lines += [f"Parallelism:\t{own['parallelism']}"] if own.get("parallelism") is not None else []
    lines.append(f"Completions:\t{own.get('completions', '<unset>')}")
    for title, field in (
        ("Completion Mode", "completionMode"),
        ("Suspend", "suspend"),
        ("Backoff Limit", "backoffLimit"),
    ):
        if own.get(field) is not None:
            value = own[field]
            lines.append(f"{title}:\t{blocks.go(value) if isinstance(value, bool) else value}")
    if own.get("ttlSecondsAfterFinished") is not None:
        lines.append(f"TTL Seconds After Finished:\t{own['ttlSecondsAfterFinished']}")
    began, ended = now.get("startTime"), now.get("completionTime")
    lines += [f"Start Time:\t{moment(began)}"] if began else []
    lines += [f"Completed At:\t{moment(ended)}"] if ended else []
    if began and ended:
        lines.append(f"Duration:\t{age(parse_time(ended) - parse_time(began))}")
    lines += [f"Active Deadline Seconds:\t{own['activeDeadlineSeconds']}s"] if "activeDeadlineSeconds" in own else []
    active = f"{now.get('active', 0)} Active"
    active += f" ({now['ready']} Ready)" if now.get("ready") is not None else ""
    lines.append(f"Pods Statuses:\t{active} / {now.get('succeeded', 0)} Succeeded / {now.get('failed', 0)} Failed")
    if own.get("completionMode") == "Indexed":
        lines.append(f"Completed Indexes:\t{_indexes(now.get('completedIndexes', ''))}")
    return [*lines, *pods.template(own["template"])]


def _indexes(text: str) -> str:
    """The first ten intervals or so, as kubectl caps them."""
    kept = text.split(",")
    return none(text if len(kept) <= 11 else ",".join([*kept[:10], "..."]))


async def cron_job(_: Session, obj: Object) -> Lines:
    """When it runs, what, and what runs now."""
    own, now = spec(obj), status(obj)
    work = spec(own["jobTemplate"])
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj), f"Schedule:\t{own.get('schedule', '')}"]
    lines.append(f"Concurrency Policy:\t{own.get('concurrencyPolicy', '')}")
    lines.append(f"Suspend:\t{flag(own.get('suspend'))}")
    for title, field in (
        ("Successful Job History Limit", "successfulJobsHistoryLimit"),
        ("Failed Job History Limit", "failedJobsHistoryLimit"),
    ):
        lines.append(f"{title}:\t{own.get(field, '<unset>')}")
    deadline = own.get("startingDeadlineSeconds")
    lines.append(f"Starting Deadline Seconds:\t{'<unset>' if deadline is None else f'{deadline}s'}")
    lines.append(f"Selector:\t{selector(work['selector']) if work.get('selector') is not None else '<unset>'}")
    lines += [f"{field.capitalize()}:\t{work.get(field, '<unset>')}" for field in ("parallelism", "completions")]
    if work.get("activeDeadlineSeconds") is not None:
        lines.append(f"Active Deadline Seconds:\t{work['activeDeadlineSeconds']}s")
    lines += pods.template(work["template"])
    lines.append(f"Last Schedule Time:\t{moment(now.get('lastScheduleTime'))}")
    return [*lines, f"Active Jobs:\t{none(', '.join(one['name'] for one in now.get('active') or ()))}"]


async def disruption_budget(_: Session, obj: Object) -> Lines:
    """What it allows now."""
    own, now = spec(obj), status(obj)
    lines = blocks.name(obj)
    if own.get("minAvailable") is not None:
        lines.append(f"Min available:\t{own['minAvailable']}")
    elif own.get("maxUnavailable") is not None:
        lines.append(f"Max unavailable:\t{own['maxUnavailable']}")
    lines.append(f"Selector:\t{selector(own['selector']) if own.get('selector') is not None else '<unset>'}")
    lines.append("Status:")
    for title, field in (
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ):
        lines.append(f"    {title}:\t{now.get(field, 0)}")
    return lines


async def autoscaler(_: Session, obj: Object) -> Lines:
    """What it looks at, and what it found."""
    own, now = spec(obj), status(obj)
    target = own["scaleTargetRef"]
    lines = [*blocks.name(obj), *blocks.labels(obj), *blocks.annotations(obj), blocks.created(obj)]
    lines += [f"Reference:\t{target['kind']}/{target['name']}", "Metrics:\t( current / target )"]
    current = now.get("currentMetrics") or []
    for at, metric in enumerate(own.get("metrics") or ()):
        found = current[at] if at < len(current) else {}
        lines.append(f"  {_metric(metric, found)}")
    lines += [f"Min replicas:\t{own.get('minReplicas', '<unset>')}", f"Max replicas:\t{own['maxReplicas']}"]
    lines += _behavior(own.get("behavior") or {})
    pods_now = f"{now.get('currentReplicas', 0)} current / {now.get('desiredReplicas', 0)} desired"
    lines.append(f"{target['kind']} pods:\t{pods_now}")
    return [*lines, *blocks.conditions(obj, "type", "status", "reason", "message")]


def _metric(metric: Object, found: Object) -> str:
    kind = metric["type"]
    own = metric.get(kind[:1].lower() + kind[1:]) or {}
    now = (found.get(kind[:1].lower() + kind[1:]) or {}).get("current") or {}
    goal = own.get("target") or {}
    match kind:
        case "External":
            what = own["metric"]["name"]
            if goal.get("averageValue") is not None:
                return f'"{what}" (target average value):\t{_of(now, "averageValue")} / {goal["averageValue"]}'
            return f'"{what}" (target value):\t{_of(now, "value")} / {goal.get("value")}'
        case "Pods":
            return f'"{own["metric"]["name"]}" on pods:\t{_of(now, "averageValue")} / {goal.get("averageValue")}'
        case "Object":
            what = f'"{own["metric"]["name"]}" on {own["describedObject"]["kind"]}/{own["describedObject"]["name"]}'
            if goal.get("type") == "AverageValue":
                return f"{what} (target average value):\t{_of(now, 'averageValue')} / {goal['averageValue']}"
            return f"{what} (target value):\t{_of(now, 'value')} / {goal.get('value')}"
    what = f"resource {own['name']}"
    what += f' of container "{own["container"]}"' if kind == "ContainerResource" else ""
    if goal.get("averageValue") is not None:
        return f"{what} on pods:\t{_of(now, 'averageValue')} / {goal['averageValue']}"
    seen = "<unknown>"
    if now.get("averageUtilization") is not None:
        seen = f"{now['averageUtilization']}% ({now.get('averageValue', '0')})"
    return f"{what} on pods  (as a percentage of request):\t{seen} / {goal.get('averageUtilization', '<auto>')}%"


def _of(now: Object, field: str) -> Any:
    return now.get(field, "<unknown>")


def _behavior(of: Object) -> Lines:
    lines = ["Behavior:"] if of else []
    for field, title in (("scaleUp", "Scale Up"), ("scaleDown", "Scale Down")):
        if rules := of.get(field):
            lines.append(f"  {title}:")
            window = rules.get("stabilizationWindowSeconds")
            lines += [f"    Stabilization Window: {window} seconds"] if window is not None else []
            if rules.get("policies"):
                lines += [f"    Select Policy: {rules.get('selectPolicy', 'Max')}", "    Policies:"]
                for one in rules["policies"]:
                    lines.append(
                        f"      - Type: {one['type']}\tValue: {one['value']}\tPeriod: {one['periodSeconds']} seconds"
                    )
            elif rules.get("selectPolicy"):
                lines.append(f"    Select Policy: {rules['selectPolicy']}")
    return lines
