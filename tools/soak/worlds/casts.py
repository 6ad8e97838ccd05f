"""What users do with each kind. A world plays some casts, not all: few objects, many accidents.

The names of a cast begin with a letter of its own, which its Pods carry as their label `app`.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pybernetes.api.types import apps_v1, batch_v1, core_v1
from tools.soak.worlds import casts_around as around
from tools.soak.worlds import casts_volumes as volumes
from tools.soak.worlds.actions import IMAGES, Action, change_one, delete_any, place, template
from tools.soak.worlds.attacher import attach, mount
from tools.soak.worlds.ledger import Obj
from tools.soak.worlds.world import World


@dataclass(frozen=True, slots=True)
class Cast:
    """The actions of one kind, each as often as it is likely; the first is how its worlds begin."""

    actions: Sequence[Action]
    held: tuple[str, ...] = ()
    """Resources whose late caches matter most to it."""
    meanwhile: tuple[Callable[[World], Coroutine[Any, Any, None]], ...] = ()
    """Who works beside it, for ever."""


def _pods(w: World) -> dict[str, str]:
    """How the Pods of a template behave."""
    return w.rng.choice(({}, {}, {"ready_after_seconds": "2"}, {"ready_after_seconds": "8"}, {"stop_seconds": "4"}))


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
    await change_one(w, apps_v1.Deployment, w.pick("Deployment"), {"spec": {"replicas": w.rng.randrange(8)}})


async def roll_deployment(w: World) -> None:
    """To another template or back to an earlier one."""
    obj = w.pick("Deployment")
    if obj:
        await change_one(w, apps_v1.Deployment, obj, _new_template(w, obj))


async def roll_back_deployment(w: World) -> None:
    """By the annotation that the controller answers to."""
    notes = {"deprecated.deployment.rollback.to": str(w.rng.randrange(4))}
    await change_one(w, apps_v1.Deployment, w.pick("Deployment"), {"metadata": {"annotations": notes}})


async def pause_deployment(w: World) -> None:
    obj = w.pick("Deployment")
    if obj:
        await change_one(w, apps_v1.Deployment, obj, {"spec": {"paused": not obj["spec"].get("paused", False)}})


async def change_strategy(w: World) -> None:
    change: Obj = {"type": "RollingUpdate", "rollingUpdate": _spread(w)}
    if w.rng.random() < 0.3:
        change = {"type": "Recreate", "rollingUpdate": None}
    await change_one(w, apps_v1.Deployment, w.pick("Deployment"), {"spec": {"strategy": change}})


async def delete_deployment(w: World) -> None:
    await delete_any(w, apps_v1.Deployment, "Deployment")


# --- ReplicationControllers


async def create_rc(w: World) -> None:
    """Two may select the same Pods, or those of a Deployment: each has its own, by uid, and leaves the others' alone."""
    name = w.rng.choice(("r0", "r1"))
    app = name if w.rng.random() < 0.6 else w.rng.choice(("r0", "r1", "a0"))
    spec = {"replicas": w.rng.randrange(6), "selector": {"app": app}, "template": template(app, "one", **_pods(w))}
    await w.make(core_v1.ReplicationController, {"metadata": {"name": name}, "spec": spec}, place(w))


async def scale_rc(w: World) -> None:
    change = {"spec": {"replicas": w.rng.randrange(7)}}
    await change_one(w, core_v1.ReplicationController, w.pick("ReplicationController"), change)


async def delete_rc(w: World) -> None:
    await delete_any(w, core_v1.ReplicationController, "ReplicationController")


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
    await change_one(w, apps_v1.StatefulSet, w.pick("StatefulSet"), {"spec": {"replicas": w.rng.randrange(6)}})


async def roll_statefulset(w: World) -> None:
    obj = w.pick("StatefulSet")
    if obj:
        await change_one(w, apps_v1.StatefulSet, obj, _new_template(w, obj))


async def change_update(w: World) -> None:
    await change_one(w, apps_v1.StatefulSet, w.pick("StatefulSet"), {"spec": {"updateStrategy": _update_of_set(w)}})


async def delete_statefulset(w: World) -> None:
    await delete_any(w, apps_v1.StatefulSet, "StatefulSet")


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
        await change_one(w, apps_v1.DaemonSet, obj, _new_template(w, obj))


async def change_daemons(w: World) -> None:
    await change_one(w, apps_v1.DaemonSet, w.pick("DaemonSet"), {"spec": {"updateStrategy": _update_of_daemons(w)}})


async def place_daemons(w: World) -> None:
    """On some nodes only, or on all; a node loses or gets the label that they ask for."""
    if w.rng.random() < 0.5:
        node = w.pick("Node")
        if node:
            change = {"metadata": {"labels": {"agents": w.rng.choice(("yes", None))}}}
            await w.change(core_v1.Node, node["metadata"]["name"], change, "")
        return
    wanted = w.rng.choice(({"agents": "yes"}, {"agents": None}))
    await change_one(
        w, apps_v1.DaemonSet, w.pick("DaemonSet"), {"spec": {"template": {"spec": {"nodeSelector": wanted}}}}
    )


async def delete_daemonset(w: World) -> None:
    await delete_any(w, apps_v1.DaemonSet, "DaemonSet")


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
        await change_one(w, batch_v1.Job, obj, {"spec": {"suspend": not obj["spec"].get("suspend", False)}})


async def scale_job(w: World) -> None:
    await change_one(w, batch_v1.Job, w.pick("Job", _free), {"spec": {"parallelism": w.rng.choice((0, 1, 3, 5))}})


async def delete_job(w: World) -> None:
    await delete_any(w, batch_v1.Job, "Job")


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
        await change_one(w, batch_v1.CronJob, obj, {"spec": {"suspend": not obj["spec"].get("suspend", False)}})


async def change_policy(w: World) -> None:
    change = {"spec": {"concurrencyPolicy": w.rng.choice(("Allow", "Forbid", "Replace"))}}
    await change_one(w, batch_v1.CronJob, w.pick("CronJob"), change)


async def delete_cronjob(w: World) -> None:
    await delete_any(w, batch_v1.CronJob, "CronJob")


CASTS: Mapping[str, Cast] = {
    "deployments": Cast(
        (*[create_deployment] * 4, *[scale_deployment] * 3, *[roll_deployment] * 5, roll_back_deployment,
         pause_deployment, change_strategy, delete_deployment),
        ("replicasets", "replicasets", "pods", "deployments"),
    ),
    "rcs": Cast((*[create_rc] * 3, *[scale_rc] * 3, delete_rc), ("pods", "replicationcontrollers")),
    "statefulsets": Cast(
        (*[create_statefulset] * 4, *[scale_statefulset] * 3, *[roll_statefulset] * 4, change_update, delete_statefulset),
        ("pods", "statefulsets", "controllerrevisions", "persistentvolumeclaims"),
    ),
    "daemonsets": Cast(
        (*[create_daemonset] * 4, *[roll_daemonset] * 4, change_daemons, *[place_daemons] * 2, delete_daemonset),
        ("pods", "daemonsets", "nodes", "controllerrevisions"),
    ),
    "jobs": Cast((*[create_job] * 6, *[suspend_job] * 2, *[scale_job] * 2, delete_job), ("pods", "jobs")),
    "cronjobs": Cast((*[create_cronjob] * 4, suspend_cronjob, change_policy, delete_cronjob), ("jobs", "cronjobs")),
    "services": Cast(
        (*[around.create_service] * 4, *[around.point_service] * 2, around.delete_service),
        ("pods", "services", "endpoints", "endpointslices"),
    ),
    "mirrors": Cast(
        (*[around.create_mirrored] * 4, *[around.change_endpoints] * 4, around.delete_endpoints, around.point_service,
         around.delete_service),
        ("endpoints", "endpointslices", "services"),
    ),
    "owners": Cast(
        (*[around.create_owned] * 5, *[around.create_family] * 3, *[around.delete_owner] * 4, around.let_go),
        ("configmaps",),
    ),
    "tokens": Cast(
        (*[around.create_account] * 2, *[around.create_token] * 4, *[around.delete_account] * 2, around.delete_token),
        ("serviceaccounts",),
    ),
    "namespaces": Cast((*[around.create_side] * 3, around.delete_side)),
    "budgets": Cast(
        (*[around.create_budget] * 2, *[around.drain] * 5, around.delete_budget), ("pods", "poddisruptionbudgets")
    ),
    "quotas": Cast((*[around.create_quota] * 2, around.change_quota, around.delete_quota)),
    "autoscalers": Cast(
        (*[around.create_autoscaler] * 4, *[around.change_demand] * 4, *[around.bound_autoscaler] * 2,
         around.delete_autoscaler),
        ("deployments", "horizontalpodautoscalers"),
    ),
    "scratch": Cast(
        (*[volumes.create_scratch] * 6, *[volumes.delete_scratch] * 3, volumes.create_foreign_claim,
         volumes.delete_claim),
        ("pods", "persistentvolumeclaims"),
    ),
    "disks": Cast(
        (*[volumes.create_user_of_disk] * 6, *[volumes.delete_user_of_disk] * 4, volumes.delete_claim,
         volumes.put_node_out_of_service),
        ("nodes", "nodes", "pods", "volumeattachments", "persistentvolumeclaims", "persistentvolumes"),
        (attach, mount),
    ),
}  # fmt: skip
WORKLOADS = ("deployments", "rcs", "statefulsets", "daemonsets", "jobs", "cronjobs")
OTHERS = ("budgets", "services", "owners", "namespaces", "quotas", "mirrors", "tokens", "scratch", "disks")


def cast_for(w: World) -> list[str]:
    """What one world plays: one or two workloads, and one or two of the others."""
    played = [*w.rng.sample(WORKLOADS, w.rng.choice((1, 2, 2))), *w.rng.sample(OTHERS, w.rng.choice((0, 1, 2)))]
    return [*played, "autoscalers"] if "deployments" in played and w.rng.random() < 0.25 else played
