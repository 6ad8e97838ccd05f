"""What users do with each kind. A world plays some casts, not all: few objects, many accidents.

The names of a cast begin with a letter of its own, which its Pods carry as their label `app`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pybernetes.api.errors import ApiError
from pybernetes.api.types import apps_v1, autoscaling_v2, batch_v1, core_v1, policy_v1
from tools.soak.worlds.actions import IMAGES, SIDE, Action, evict_pod, place, template
from tools.soak.worlds.ledger import Obj
from tools.soak.worlds.world import World


@dataclass(frozen=True, slots=True)
class Cast:
    """The actions of one kind, each as often as it is likely; the first is how its worlds begin."""

    actions: Sequence[Action]


def _pods(w: World) -> dict[str, str]:
    """How the Pods of a template behave."""
    return w.rng.choice(({}, {}, {"ready_after_seconds": "2"}, {"ready_after_seconds": "8"}, {"stop_seconds": "4"}))


async def _delete(w: World, kind: type[Any], name: str) -> None:
    obj = w.pick(name)
    if obj:
        policy = w.rng.choice(("Background", "Background", "Foreground", "Orphan"))
        await w.remove(kind, obj["metadata"]["name"], obj["metadata"]["namespace"], propagationPolicy=policy)


async def _change(w: World, kind: type[Any], obj: Obj | None, change: Obj) -> None:
    if obj:
        await w.change(kind, obj["metadata"]["name"], change, obj["metadata"]["namespace"])


def _new_template(w: World, obj: Obj) -> Obj:
    app = obj["metadata"]["name"]
    return {"spec": {"template": template(app, w.rng.choice(IMAGES), **_pods(w))}}


def _spread(w: World) -> Obj:
    """Numbers or percentages, never both zero."""
    surge, missing = w.rng.choice(((1, 0), (0, 1), ("25%", "25%"), (2, 2), ("50%", 0), ("100%", "34%")))
    return {"maxSurge": surge, "maxUnavailable": missing}


# --- Deployments


async def create_deployment(w: World) -> None:
    app = w.rng.choice(("a0", "a1", "a2"))
    strategy: Obj = {"type": "RollingUpdate", "rollingUpdate": _spread(w)}
    if w.rng.random() < 0.2:
        strategy = {"type": "Recreate"}
    spec = {
        "replicas": w.rng.randrange(6), "strategy": strategy, "selector": {"matchLabels": {"app": app}},
        "template": template(app, "one", **_pods(w)), "revisionHistoryLimit": w.rng.choice((0, 2, 10)),
        "minReadySeconds": w.rng.choice((0, 0, 3)),
    }  # fmt: skip
    await w.make(apps_v1.Deployment, {"metadata": {"name": app}, "spec": spec}, place(w))


async def scale_deployment(w: World) -> None:
    await _change(w, apps_v1.Deployment, w.pick("Deployment"), {"spec": {"replicas": w.rng.randrange(8)}})


async def roll_deployment(w: World) -> None:
    """To another template or back to an earlier one."""
    obj = w.pick("Deployment")
    if obj:
        await _change(w, apps_v1.Deployment, obj, _new_template(w, obj))


async def pause_deployment(w: World) -> None:
    obj = w.pick("Deployment")
    if obj:
        await _change(w, apps_v1.Deployment, obj, {"spec": {"paused": not obj["spec"].get("paused", False)}})


async def change_strategy(w: World) -> None:
    change: Obj = {"type": "RollingUpdate", "rollingUpdate": _spread(w)}
    if w.rng.random() < 0.3:
        change = {"type": "Recreate", "rollingUpdate": None}
    await _change(w, apps_v1.Deployment, w.pick("Deployment"), {"spec": {"strategy": change}})


async def delete_deployment(w: World) -> None:
    await _delete(w, apps_v1.Deployment, "Deployment")


# --- ReplicationControllers


async def create_rc(w: World) -> None:
    app = w.rng.choice(("r0", "r1"))
    spec = {"replicas": w.rng.randrange(6), "selector": {"app": app}, "template": template(app, "one", **_pods(w))}
    await w.make(core_v1.ReplicationController, {"metadata": {"name": app}, "spec": spec}, place(w))


async def scale_rc(w: World) -> None:
    change = {"spec": {"replicas": w.rng.randrange(7)}}
    await _change(w, core_v1.ReplicationController, w.pick("ReplicationController"), change)


async def delete_rc(w: World) -> None:
    await _delete(w, core_v1.ReplicationController, "ReplicationController")


# --- StatefulSets


async def create_statefulset(w: World) -> None:
    app = w.rng.choice(("t0", "t1"))
    rng = w.rng
    spec: Obj = {
        "replicas": rng.randrange(5), "serviceName": "s", "selector": {"matchLabels": {"app": app}},
        "template": template(app, "one", **_pods(w)), "minReadySeconds": rng.choice((0, 0, 3)),
        "podManagementPolicy": rng.choice(("OrderedReady", "OrderedReady", "Parallel")),
        "updateStrategy": _update_of_set(w),
    }  # fmt: skip
    if rng.random() < 0.3:
        spec["ordinals"] = {"start": 3}
    if rng.random() < 0.4:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
        kept = {"whenScaled": rng.choice(("Retain", "Delete")), "whenDeleted": rng.choice(("Retain", "Delete"))}
        spec["persistentVolumeClaimRetentionPolicy"] = kept
    await w.make(apps_v1.StatefulSet, {"metadata": {"name": app}, "spec": spec}, place(w))


def _update_of_set(w: World) -> Obj:
    if w.rng.random() < 0.2:
        return {"type": "OnDelete", "rollingUpdate": None}
    return {"type": "RollingUpdate", "rollingUpdate": {"partition": w.rng.choice((0, 0, 0, 2))}}


async def scale_statefulset(w: World) -> None:
    await _change(w, apps_v1.StatefulSet, w.pick("StatefulSet"), {"spec": {"replicas": w.rng.randrange(6)}})


async def roll_statefulset(w: World) -> None:
    obj = w.pick("StatefulSet")
    if obj:
        await _change(w, apps_v1.StatefulSet, obj, _new_template(w, obj))


async def change_update(w: World) -> None:
    await _change(w, apps_v1.StatefulSet, w.pick("StatefulSet"), {"spec": {"updateStrategy": _update_of_set(w)}})


async def delete_statefulset(w: World) -> None:
    await _delete(w, apps_v1.StatefulSet, "StatefulSet")


# --- DaemonSets


async def create_daemonset(w: World) -> None:
    app = w.rng.choice(("d0", "d1"))
    spec = {
        "selector": {"matchLabels": {"app": app}}, "template": template(app, "one", **_pods(w)),
        "updateStrategy": _update_of_daemons(w), "minReadySeconds": w.rng.choice((0, 0, 3)),
    }  # fmt: skip
    await w.make(apps_v1.DaemonSet, {"metadata": {"name": app}, "spec": spec}, place(w))


def _update_of_daemons(w: World) -> Obj:
    if w.rng.random() < 0.2:
        return {"type": "OnDelete", "rollingUpdate": None}
    surge, missing = w.rng.choice(((0, 1), (0, 2), (1, 0), ("50%", 0), (0, "34%")))
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}}


async def roll_daemonset(w: World) -> None:
    obj = w.pick("DaemonSet")
    if obj:
        await _change(w, apps_v1.DaemonSet, obj, _new_template(w, obj))


async def change_daemons(w: World) -> None:
    await _change(w, apps_v1.DaemonSet, w.pick("DaemonSet"), {"spec": {"updateStrategy": _update_of_daemons(w)}})


async def place_daemons(w: World) -> None:
    """On some nodes only, or on all; a node loses or gets the label that they ask for."""
    if w.rng.random() < 0.5:
        node = w.pick("Node")
        if node:
            change = {"metadata": {"labels": {"agents": w.rng.choice(("yes", None))}}}
            await w.change(core_v1.Node, node["metadata"]["name"], change, "")
        return
    wanted = w.rng.choice(({"agents": "yes"}, {"agents": None}))
    await _change(w, apps_v1.DaemonSet, w.pick("DaemonSet"), {"spec": {"template": {"spec": {"nodeSelector": wanted}}}})


async def delete_daemonset(w: World) -> None:
    await _delete(w, apps_v1.DaemonSet, "DaemonSet")


# --- Jobs


def _work(w: World, app: str) -> Obj:
    said = {"run_seconds": w.rng.choice(("0", "1", "5", "20"))}
    if w.rng.random() < 0.25:
        said["exit_code"] = w.rng.choice(("1", "3"))
    made = template(app, "one", **said)
    made["spec"]["restartPolicy"] = w.rng.choice(("Never", "Never", "OnFailure"))
    return made


def _job(w: World, app: str) -> Obj:
    rng = w.rng
    spec: Obj = {
        "parallelism": rng.choice((1, 2, 4)), "completions": rng.choice((1, 3, 5)), "template": _work(w, app),
        "backoffLimit": rng.choice((0, 2)),
    }  # fmt: skip
    if rng.random() < 0.4:
        spec["completionMode"] = "Indexed"
        if rng.random() < 0.5:
            spec |= {"backoffLimitPerIndex": 1, "backoffLimit": 5}
            spec["template"]["spec"]["restartPolicy"] = "Never"
    if rng.random() < 0.3:
        spec["template"]["spec"]["restartPolicy"] = "Never"
        disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
        by_code = {
            "action": rng.choice(("FailJob", "Ignore", "Count")),
            "onExitCodes": {"operator": "In", "values": [3]},
        }
        if by_code["action"] == "Ignore":
            spec["template"] = template(app, "one", run_seconds="5")  # or it would go on for ever
            spec["template"]["spec"]["restartPolicy"] = "Never"
        spec["podFailurePolicy"] = {"rules": [disrupted, by_code]}
    if rng.random() < 0.2:
        spec["suspend"] = True
    if rng.random() < 0.2:
        spec["ttlSecondsAfterFinished"] = 30
    if rng.random() < 0.2 and "podFailurePolicy" not in spec:
        spec["podReplacementPolicy"] = "Failed"
    return spec


async def create_job(w: World) -> None:
    app = w.rng.choice(("j0", "j1", "j2"))
    await w.make(batch_v1.Job, {"metadata": {"name": app}, "spec": _job(w, app)}, place(w))


def _free(job: Obj) -> bool:
    return not job["metadata"].get("ownerReferences")


async def suspend_job(w: World) -> None:
    obj = w.pick("Job", _free)
    if obj:
        await _change(w, batch_v1.Job, obj, {"spec": {"suspend": not obj["spec"].get("suspend", False)}})


async def scale_job(w: World) -> None:
    await _change(w, batch_v1.Job, w.pick("Job", _free), {"spec": {"parallelism": w.rng.choice((0, 1, 3, 5))}})


async def delete_job(w: World) -> None:
    await _delete(w, batch_v1.Job, "Job")


# --- CronJobs


async def create_cronjob(w: World) -> None:
    app = w.rng.choice(("c0", "c1"))
    spec = {
        "schedule": w.rng.choice(("* * * * *", "*/2 * * * *")), "successfulJobsHistoryLimit": w.rng.choice((0, 1, 3)),
        "failedJobsHistoryLimit": 1, "concurrencyPolicy": w.rng.choice(("Allow", "Forbid", "Forbid", "Replace")),
        "jobTemplate": {"spec": {"backoffLimit": 0, "template": _ticking(w, app)}},
    }  # fmt: skip
    if w.rng.random() < 0.3:
        spec["startingDeadlineSeconds"] = w.rng.choice((20, 200))
    await w.make(batch_v1.CronJob, {"metadata": {"name": app}, "spec": spec}, place(w))


def _ticking(w: World, app: str) -> Obj:
    made = template(app, "one", run_seconds=w.rng.choice(("1", "20", "80", "150")))
    made["spec"]["restartPolicy"] = "Never"
    return made


async def suspend_cronjob(w: World) -> None:
    obj = w.pick("CronJob")
    if obj:
        await _change(w, batch_v1.CronJob, obj, {"spec": {"suspend": not obj["spec"].get("suspend", False)}})


async def change_policy(w: World) -> None:
    change = {"spec": {"concurrencyPolicy": w.rng.choice(("Allow", "Forbid", "Replace"))}}
    await _change(w, batch_v1.CronJob, w.pick("CronJob"), change)


async def delete_cronjob(w: World) -> None:
    await _delete(w, batch_v1.CronJob, "CronJob")


# --- Services


def _app(w: World) -> str:
    pod = w.pick("Pod")
    return str((pod or {}).get("metadata", {}).get("labels", {}).get("app", "a0"))


async def create_service(w: World) -> None:
    name = w.rng.choice(("s0", "s1"))
    spec = {"selector": {"app": _app(w)}, "ports": [{"port": 80}], "publishNotReadyAddresses": w.rng.random() < 0.2}
    await w.make(core_v1.Service, {"metadata": {"name": name}, "spec": spec}, place(w))


def _ours(service: Obj) -> bool:
    return str(service["metadata"]["name"]) != "kubernetes"


async def point_service(w: World) -> None:
    """The Service gets another app, or no selector."""
    selector = {"app": _app(w)} if w.rng.random() < 0.8 else None
    await _change(w, core_v1.Service, w.pick("Service", _ours), {"spec": {"selector": selector}})


async def delete_service(w: World) -> None:
    obj = w.pick("Service", _ours)
    if obj:
        await w.remove(core_v1.Service, obj["metadata"]["name"], obj["metadata"]["namespace"])


# --- what owns and is owned


async def create_owned(w: World) -> None:
    """A ConfigMap or Secret that hangs on one or two ConfigMaps: that are there, that were, or with a wrong name."""
    there = w.ledger.all("ConfigMap", "default")
    refs = []
    for owner in w.rng.sample(there, min(len(there), w.rng.choice((0, 1, 2)))):
        meta = owner["metadata"]
        ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]}
        if w.rng.random() < 0.15:
            ref["name"] = "wrong"
        if w.rng.random() < 0.4:
            ref["blockOwnerDeletion"] = True
        refs.append(ref)
    if w.rng.random() < 0.2:
        for ref in refs:
            ref.pop("blockOwnerDeletion", None)  # it can never be collected: its owners would wait for ever
        refs.append({"apiVersion": "nobody.example/v1", "kind": "Unknown", "name": "x", "uid": f"u{w.rng.random()}"})
    meta = {"name": f"m{w.rng.randrange(8)}", "ownerReferences": refs}
    await w.make(w.rng.choice((core_v1.ConfigMap, core_v1.Secret)), {"metadata": meta})


async def delete_owner(w: World) -> None:
    obj = w.pick("ConfigMap", lambda obj: obj["metadata"]["name"].startswith("m"))
    if obj:
        policy = w.rng.choice(("Background", "Foreground", "Orphan"))
        await w.remove(core_v1.ConfigMap, obj["metadata"]["name"], propagationPolicy=policy)


# --- namespaces and quotas


async def create_side(w: World) -> None:
    await w.make(core_v1.Namespace, {"metadata": {"name": SIDE}}, "")


async def delete_side(w: World) -> None:
    """With all that is in it."""
    await w.remove(core_v1.Namespace, SIDE, "")


async def create_quota(w: World) -> None:
    spec = {"hard": {"pods": str(w.rng.choice((3, 6, 12))), "count/configmaps": "6"}}
    await w.make(core_v1.ResourceQuota, {"metadata": {"name": "q"}, "spec": spec}, place(w))


async def change_quota(w: World) -> None:
    change = {"spec": {"hard": {"pods": str(w.rng.choice((2, 5, 10)))}}}
    await _change(w, core_v1.ResourceQuota, w.pick("ResourceQuota"), change)


async def delete_quota(w: World) -> None:
    obj = w.pick("ResourceQuota")
    if obj:
        await w.remove(core_v1.ResourceQuota, obj["metadata"]["name"], obj["metadata"]["namespace"])


# --- budgets


async def create_budget(w: World) -> None:
    """For an app that is there, in numbers or percentages."""
    pod = w.pick("Pod")
    if pod:
        limit = w.rng.choice(
            ({"minAvailable": 1}, {"minAvailable": "60%"}, {"maxUnavailable": 1}, {"maxUnavailable": "30%"})
        )
        app = (pod["metadata"].get("labels") or {}).get("app", "a0")
        spec = {"selector": {"matchLabels": {"app": app}}, **limit}
        made = {"metadata": {"name": f"b{w.rng.randrange(2)}"}, "spec": spec}
        await w.make(policy_v1.PodDisruptionBudget, made, pod["metadata"]["namespace"])


async def drain(w: World) -> None:
    """Evicts Pod after Pod, as far as budgets allow."""
    for _ in range(4):
        with suppress(ApiError):
            await evict_pod(w)


async def delete_budget(w: World) -> None:
    obj = w.pick("PodDisruptionBudget")
    if obj:
        await w.remove(policy_v1.PodDisruptionBudget, obj["metadata"]["name"], obj["metadata"]["namespace"])


# --- autoscalers


def _bounds(w: World) -> Obj:
    least = w.rng.randrange(1, 5)
    return {"minReplicas": least, "maxReplicas": least + w.rng.randrange(4)}


async def create_autoscaler(w: World) -> None:
    """Of a Deployment that is there or not, with its name: two of one Deployment would pull it to and fro for ever."""
    app = w.rng.choice(("a0", "a1", "a2"))
    target = {"type": "AverageValue", "averageValue": "1"}
    spec = {
        **_bounds(w), "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app},
        "metrics": [{"type": "External", "external": {"metric": {"name": "demand"}, "target": target}}],
    }  # fmt: skip
    if w.rng.random() < 0.5:
        rules = {"stabilizationWindowSeconds": w.rng.choice((0, 60)), "selectPolicy": w.rng.choice(("Max", "Min"))}
        spec["behavior"] = {"scaleUp": rules, "scaleDown": rules}
    await w.make(autoscaling_v2.HorizontalPodAutoscaler, {"metadata": {"name": app}, "spec": spec}, place(w))


async def bound_autoscaler(w: World) -> None:
    obj = w.pick("HorizontalPodAutoscaler")
    await _change(w, autoscaling_v2.HorizontalPodAutoscaler, obj, {"spec": _bounds(w)})


async def change_demand(w: World) -> None:
    w.demand = w.rng.randrange(9)


async def delete_autoscaler(w: World) -> None:
    await _delete(w, autoscaling_v2.HorizontalPodAutoscaler, "HorizontalPodAutoscaler")


CASTS: Mapping[str, Cast] = {
    "deployments": Cast(
        (*[create_deployment] * 4, *[scale_deployment] * 3, *[roll_deployment] * 5, pause_deployment, change_strategy,
         delete_deployment)
    ),
    "rcs": Cast((*[create_rc] * 3, *[scale_rc] * 3, delete_rc)),
    "statefulsets": Cast(
        (*[create_statefulset] * 4, *[scale_statefulset] * 3, *[roll_statefulset] * 4, change_update, delete_statefulset)
    ),
    "daemonsets": Cast(
        (*[create_daemonset] * 4, *[roll_daemonset] * 4, change_daemons, *[place_daemons] * 2, delete_daemonset)
    ),
    "jobs": Cast((*[create_job] * 6, *[suspend_job] * 2, *[scale_job] * 2, delete_job)),
    "cronjobs": Cast((*[create_cronjob] * 4, suspend_cronjob, change_policy, delete_cronjob)),
    "services": Cast((*[create_service] * 4, *[point_service] * 2, delete_service)),
    "owners": Cast((*[create_owned] * 8, *[delete_owner] * 3)),
    "namespaces": Cast((*[create_side] * 3, delete_side)),
    "budgets": Cast((*[create_budget] * 2, *[drain] * 5, delete_budget)),
    "quotas": Cast((*[create_quota] * 2, change_quota, delete_quota)),
    "autoscalers": Cast((*[create_autoscaler] * 4, *[change_demand] * 4, *[bound_autoscaler] * 2, delete_autoscaler)),
}  # fmt: skip
WORKLOADS = ("deployments", "rcs", "statefulsets", "daemonsets", "jobs", "cronjobs")
OTHERS = ("budgets", "services", "owners", "namespaces", "quotas")


def cast_for(w: World) -> list[str]:
    """What one world plays: one or two workloads, and one or two of the others."""
    return [*w.rng.sample(WORKLOADS, w.rng.choice((1, 2, 2))), *w.rng.sample(OTHERS, w.rng.choice((0, 1, 2)))]
