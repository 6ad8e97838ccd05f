"""Controllers with a ServiceAccount each: who the API server sees, and that each role is enough and no more."""

import asyncio
import os
import socket
import sys

import msgspec
import pytest
from tests.component.controllers.world import World, account_user, deployment, simulated, template, world

from pybernetes.api.errors import Forbidden
from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, autoscaling_v2, batch_v1, core_v1, policy_v1
from pybernetes.testing import Cluster

ACCOUNT = "system:serviceaccount:kube-system:"


async def make_everything(w: World) -> None:
    """Something for nearly every controller to do."""
    await deployment(w, "web", 2)
    selected = {"selector": {"matchLabels": {"app": "s"}}, "template": template(app="s")}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await w.create(apps_v1.StatefulSet, "s", spec={**selected, "serviceName": "s", "volumeClaimTemplates": [claim]})
    await w.create(
        apps_v1.DaemonSet, "d", spec={"selector": {"matchLabels": {"app": "d"}}, "template": template(app="d")}
    )
    await w.create(
        core_v1.ReplicationController,
        "rc",
        spec={"replicas": 1, "selector": {"app": "rc"}, "template": template(app="rc")},
    )
    ended = {"spec": {**template()["spec"], "restartPolicy": "Never"}}
    ended["metadata"] = {"annotations": {"simulated.pybernetes.io/run-seconds": "1"}}
    await w.create(batch_v1.Job, "j", spec={"template": ended, "ttlSecondsAfterFinished": 5})
    await w.create(batch_v1.CronJob, "c", spec={"schedule": "* * * * *", "jobTemplate": {"spec": {"template": ended}}})
    await w.create(core_v1.Service, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    await w.create(core_v1.Service, "bare", spec={"ports": [{"port": 80}]})
    subsets = [{"addresses": [{"ip": "10.9.9.9"}], "ports": [{"port": 80}]}]
    await w.create(core_v1.Endpoints, "bare", subsets=subsets)
    await w.create(core_v1.Namespace, "going")
    await w.create(core_v1.ConfigMap, "in-it", namespace="going")
    await w.create(
        policy_v1.PodDisruptionBudget, "b", spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    )
    target = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "scaled"}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    selected = {"selector": {"matchLabels": {"app": "scaled"}}, "template": template(app="scaled")}
    await w.create(apps_v1.ReplicaSet, "scaled", spec={"replicas": 1, **selected})
    await w.create(
        autoscaling_v2.HorizontalPodAutoscaler,
        "h",
        spec={"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 3, "metrics": [cpu]},
    )
    volume = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "mine",
        "hostPath": {"path": "/x"}, "persistentVolumeReclaimPolicy": "Delete",
    }  # fmt: skip
    await w.client.of(core_v1.PersistentVolume).create(
        msgspec.convert({"metadata": {"name": "v"}, "spec": volume}, core_v1.PersistentVolume)
    )
    await w.create(core_v1.PersistentVolumeClaim, "bound", spec={**claim["spec"], "storageClassName": "mine"})
    await w.create(core_v1.ResourceQuota, "q", spec={"hard": {"pods": "100"}})
    await w.create(core_v1.Pod, "evicted", spec={"nodeName": "node-1", "containers": [{"name": "c", "image": "i"}]})


@simulated
async def test_each_controller_does_its_work_as_itself_within_its_role():
    async with world(accounts=True) as w:
        await make_everything(w)
        await w.clock.sleep(20)
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "")
        await w.delete(core_v1.Namespace, "going", "")
        await w.delete(apps_v1.Deployment, "web", propagation="Foreground")
        await w.node_down("node-2")
        await w.clock.sleep(120)
        writes = {
            (call.user.removeprefix(ACCOUNT), call.verb, call.resource) for call in w.audit.writes() if call.code < 400
        }
        assert {
            ("deployment-controller", "create", "replicasets.apps"),
            ("replicaset-controller", "create", "pods"),
            ("statefulset-controller", "create", "persistentvolumeclaims"),
            ("daemon-set-controller", "create", "controllerrevisions.apps"),
            ("replication-controller", "create", "pods"),
            ("job-controller", "patch", "jobs.batch/status"),
            ("cronjob-controller", "create", "jobs.batch"),
            ("ttl-after-finished-controller", "delete", "jobs.batch"),
            ("endpoint-controller", "create", "endpoints"),
            ("endpointslice-controller", "create", "endpointslices.discovery.k8s.io"),
            ("endpointslicemirroring-controller", "create", "endpointslices.discovery.k8s.io"),
            ("generic-garbage-collector", "delete", "replicasets.apps"),
            ("namespace-controller", "update", "namespaces/finalize"),
            ("node-controller", "patch", "nodes/status"),
            ("node-controller", "delete", "pods"),
            ("root-ca-cert-publisher", "create", "configmaps"),
            ("service-account-controller", "create", "serviceaccounts"),
            ("job-controller", "create", "events"),
            ("disruption-controller", "patch", "poddisruptionbudgets.policy/status"),
            ("horizontal-pod-autoscaler", "update", "replicasets.apps/scale"),
            ("horizontal-pod-autoscaler", "patch", "horizontalpodautoscalers.autoscaling/status"),
            ("persistent-volume-binder", "patch", "persistentvolumes"),
            ("persistent-volume-binder", "patch", "persistentvolumeclaims/status"),
        } <= writes
        ours = [call for call in w.audit if call.user.startswith(ACCOUNT)]
        assert [str(call) for call in ours if call.code == 403 and "is not allowed" not in call.message] == []
        managers = {call.verb for call in w.audit if call.user == "system:kube-controller-manager"}
        assert managers <= {"list", "watch", "get"}


@simulated
async def test_a_controller_cannot_do_what_its_role_does_not_allow():
    async with world(nodes=1) as w:
        replicas = w.as_user(account_user("replicaset-controller"))
        with pytest.raises(Forbidden):
            await replicas.of(core_v1.Node).delete("node-1")
        with pytest.raises(Forbidden):
            await replicas.of(core_v1.Secret).list("kube-system")
        with pytest.raises(Forbidden):
            await w.as_user(account_user("ttl-after-finished-controller")).of(core_v1.Pod).delete(Key("default", "x"))


async def test_the_command_gives_each_controller_a_token_of_its_account():
    async with Cluster(nodes=1, controllers=()) as cluster:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "pybernetes.cmd.kube_controller_manager", f"--kubeconfig={cluster.kubeconfig()}"),
            *("--bind-address=127.0.0.1", f"--secure-port={port}", "--use-service-account-credentials=true"),
            env={**os.environ, "PYTHONWARNINGS": ""},
        )
        try:
            client = cluster.client()
            spec = {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template(app="a")}
            body = {"metadata": {"name": "a", "namespace": "default"}, "spec": spec}
            await client.raw("POST", "/apis/apps/v1/namespaces/default/deployments", body)
            async with asyncio.timeout(60):
                listing = await client.of(core_v1.Pod).list("default")
                if not listing.items:
                    async for _ in client.of(core_v1.Pod).watch(listing.revision, "default", timeout=50):
                        break
            made = {
                call.resource: call.user
                for call in cluster.audit.writes()
                if call.verb == "create" and call.code == 201
            }
            assert made["replicasets.apps"] == f"{ACCOUNT}deployment-controller"
            assert made["pods"] == f"{ACCOUNT}replicaset-controller"
            assert made["serviceaccounts/token"] in ("kubernetes-admin", "system:kube-controller-manager")
        finally:
            process.terminate()
            await process.wait()
