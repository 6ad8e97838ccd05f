"""STATUS, READY and RESTARTS as kubectl users know them."""

import orjson
import pytest

from pybernetes.aio.clock import parse_time
from pybernetes.apiserver import tables
from pybernetes.apiserver.catalog import built
from pybernetes.apiserver.resources.core._pod_table import pod_status
from pybernetes.apiserver.resources.core.pods import RESOURCE

(PODS,) = built(RESOURCE)

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def container(state, name="c", **more):
    return {"name": name, "state": state, "restartCount": 0, **more}


def pod(*containers, init=(), phase="Running", spec=None, meta=None, **status):
    names = [{"name": c["name"]} for c in containers] or [{"name": "c"}]
    return {
        "metadata": {"name": "p", **(meta or {})},
        "spec": {"containers": names, **(spec or {})},
        "status": {
            "phase": phase,
            "containerStatuses": list(containers),
            "initContainerStatuses": list(init),
            **status,
        },
    }


def cells(obj, now="2026-01-01T00:05:00Z"):
    row = tables.cells(tables.row_of(PODS, obj), parse_time(now))
    return orjson.loads(b"".join((*row, b"}")))["cells"][1:]


INIT = {"initContainers": [{"name": "i"}, {"name": "j"}]}
SIDECAR = {"initContainers": [{"name": "i", "restartPolicy": "Always"}]}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
GONE = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("obj", "status"),
    [
        (pod(phase="Pending"), "Pending"),
        (pod(container({"waiting": {"reason": "ContainerCreating"}}), phase="Pending"), "ContainerCreating"),
        (pod(container(RUNNING, ready=True)), "Running"),
        (pod(container({"waiting": {"reason": "CrashLoopBackOff"}})), "CrashLoopBackOff"),
        (pod(container(DONE), phase="Succeeded"), "Completed"),
        (pod(container({"terminated": {"exitCode": 1, "reason": "Error"}}), phase="Failed"), "Error"),
        (pod(container({"terminated": {"exitCode": 3}}), phase="Failed"), "ExitCode:3"),
        (pod(container({"terminated": {"exitCode": 0, "signal": 9}}), phase="Failed"), "Signal:9"),
        (pod(container(DONE), container(RUNNING, "d", ready=True), conditions=READY), "Running"),
        (pod(container(DONE), container(RUNNING, "d", ready=True)), "NotReady"),
        (pod(phase="Failed", reason="Evicted"), "Evicted"),
        (pod(container(RUNNING, ready=True), meta=GONE), "Terminating"),
        (pod(container(DONE), phase="Succeeded", meta=GONE), "Completed"),
        (pod(meta=GONE, reason="NodeLost"), "Unknown"),
        (pod(phase="Pending", init=[container(RUNNING, "i")], spec=INIT), "Init:0/2"),
        (pod(phase="Pending", init=[container(DONE, "i"), container(RUNNING, "j")], spec=INIT), "Init:1/2"),
        (
            pod(phase="Pending", init=[container({"waiting": {"reason": "ImagePullBackOff"}}, "i")], spec=INIT),
            "Init:ImagePullBackOff",
        ),
        (
            pod(phase="Pending", init=[container({"terminated": {"exitCode": 1, "reason": "Error"}}, "i")], spec=INIT),
            "Init:Error",
        ),
        (
            pod(container(RUNNING, ready=True), init=[container(RUNNING, "i", started=True, ready=True)], spec=SIDECAR),
            "Running",
        ),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated", "status": "False"}]),
            "SchedulingGated",
        ),
    ],
)
def test_status_is_upstreams(obj, status):
    assert pod_status(obj) == status


def test_ready_counts_sidecars_too():
    obj = pod(container(RUNNING, ready=True), init=[container(RUNNING, "i", started=True, ready=True)], spec=SIDECAR)
    assert cells(obj)[0] == "2/2"
    assert cells(pod(container(RUNNING), container(RUNNING, "d", ready=True)))[0] == "1/2"


def test_restarts_say_when_the_last_one_was():
    ended = {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}}
    assert cells(pod(container(RUNNING, ready=True, restartCount=3, lastState=ended)))[2] == "3 (5m ago)"
    assert cells(pod(container(RUNNING, ready=True)))[2] == "0"


def test_wide_columns_show_none_where_nothing_is():
    assert cells(pod())[4:] == ["<none>"] * 4
    obj = pod(spec={"nodeName": "n1", "readinessGates": [{"conditionType": "a/b"}]}, podIPs=[{"ip": "10.0.0.1"}])
    assert cells(obj)[4:] == ["10.0.0.1", "n1", "<none>", "0/1"]
