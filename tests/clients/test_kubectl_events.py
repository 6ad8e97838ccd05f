"""What controllers tell of workloads, as `kubectl get events` and `kubectl describe` show it, held by golden files."""

import json
import re
from typing import Any

from tests.clients import golden
from tests.clients.conftest import Kubectl

COLUMNS = "custom-columns=T:.type,R:.reason,K:.involvedObject.kind,F:.source.component,M:.message"


def workload(kind: str, name: str, version: str = "apps/v1", **spec: Any) -> str:
    pod = {"containers": [{"name": "c", "image": f"{name}:1"}]}
    if kind in ("Job", "CronJob"):
        pod["restartPolicy"] = "Never"  # type: ignore[assignment]
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    if kind == "CronJob":
        spec["jobTemplate"] = {"spec": {"template": template}}
    else:
        spec["template"] = template
    if kind not in ("Job", "CronJob"):
        spec["selector"] = {"matchLabels": {"app": name}}
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})


def told(kubectl: Kubectl) -> str:
    """Who of the controllers told what, each once: type, reason, kind, source, message."""
    lines = kubectl("get", "events", "-o", COLUMNS, "--no-headers").splitlines()
    words = (line.split(maxsplit=4) for line in lines)
    kept = {
        re.sub(r"-[a-z0-9]{5}$", "-RANDOM", " | ".join(cells))
        for cells in words
        if cells[3].endswith(("-controller", "controllermanager"))
    }
    return golden.masked("\n".join(sorted({golden.masked(line).strip() for line in kept})))


def test_the_events_of_workloads_are_told_in_upstreams_words(kubectl: Kubectl):
    made = (
        workload("Deployment", "web", replicas=2),
        workload("StatefulSet", "db", replicas=2, serviceName="db"),
        workload("DaemonSet", "agent"),
        workload("Job", "once", "batch/v1"),
    )
    for manifest in made:
        kubectl("apply", "-f", "-", stdin=manifest)
    for name in ("deploy/web", "sts/db", "ds/agent"):
        kubectl("rollout", "status", name, "--timeout=60s")
    kubectl("scale", "deploy/web", "--replicas=3")
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    kubectl("scale", "deploy/web", "sts/db", "--replicas=1")
    kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deploy/web", "sts/db", "--timeout=60s")
    kubectl("patch", "job", "once", "-p", '{"spec":{"suspend":true}}')
    kubectl("wait", "--for=condition=Suspended", "job/once", "--timeout=30s")
    kubectl(
        "wait", "--for=jsonpath={.reason}=Suspended", "events", "--field-selector=reason=Suspended", "--timeout=30s"
    )
    golden.hold("events.txt", told(kubectl))


def test_a_refusal_is_described_where_users_look(kubectl: Kubectl):
    kubectl("create", "quota", "none", "--hard=pods=0")
    kubectl("wait", "--for=jsonpath={.status.hard.pods}=0", "quota/none", "--timeout=30s")
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    kubectl("wait", "--for=condition=ReplicaFailure", "deploy/web", "--timeout=30s")
    kubectl("wait", "--for=jsonpath={.reason}=FailedCreate", "events", "--all", "--field-selector=reason=FailedCreate",
            "--timeout=30s")  # fmt: skip
    shown = kubectl("describe", "deploy", "web", "--show-events=false").partition("Conditions:")[2]
    shown += kubectl("describe", "rs", "--show-events=false").partition("Conditions:")[2]
    shown += kubectl("describe", "quota", "none")
    golden.hold("refused-described.txt", golden.masked(shown))
    events = re.sub(r"\S+\s+(\(x\d+ over \S+\)\s+)?(?=replicaset-controller)", "AGE  ", kubectl("describe", "rs"))
    assert "Warning  FailedCreate  AGE  replicaset-controller  Error creating: pods " in golden.masked(events)
    assert "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0" in events
