"""What `rollout status` says of Deployments, DaemonSets and StatefulSets."""

import pytest

from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.rollouts import progress, template_of


def deployment(generation: int = 1, **status: object) -> dict[str, object]:
    return {
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 1, **status},
    }


@pytest.mark.parametrize(
    ("obj", "text", "done"),
    [
        (deployment(generation=2), "Waiting for deployment spec update to be observed...", False),
        (
            deployment(updatedReplicas=1),
            'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...',
            False,
        ),
        (
            deployment(updatedReplicas=3, replicas=4),
            'Waiting for deployment "web" rollout to finish: 1 old replicas are pending termination...',
            False,
        ),
        (
            deployment(updatedReplicas=3, replicas=3, availableReplicas=2),
            'Waiting for deployment "web" rollout to finish: 2 of 3 updated replicas are available...',
            False,
        ),
        (
            deployment(updatedReplicas=3, replicas=3, availableReplicas=3),
            'deployment "web" successfully rolled out',
            True,
        ),
    ],
)
def test_progress(obj: dict[str, object], text: str, done: bool):
    assert progress("deployments", obj) == (text, done)


def test_a_passed_deadline_ends_the_wait():
    late = deployment(conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}])
    with pytest.raises(Refused, match="exceeded its progress deadline"):
        progress("deployments", late)


def stateful_set(partition: int | None = None, generation: int = 1, **status: object) -> dict[str, object]:
    strategy: dict[str, object] = {"type": "RollingUpdate"}
    if partition is not None:
        strategy["rollingUpdate"] = {"partition": partition}
    return {
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": 3, "updateStrategy": strategy},
        "status": {"observedGeneration": 1, "updateRevision": "web-2", **status},
    }


@pytest.mark.parametrize(
    ("obj", "text", "done"),
    [
        (stateful_set(generation=2), "Waiting for statefulset spec update to be observed...", False),
        (stateful_set(readyReplicas=1), "Waiting for 2 pods to be ready...", False),
        (
            stateful_set(partition=1, readyReplicas=3, updatedReplicas=1),
            "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...",
            False,
        ),
        (
            stateful_set(partition=1, readyReplicas=3, updatedReplicas=2),
            "partitioned roll out complete: 2 new pods have been updated...",
            True,
        ),
        (
            stateful_set(readyReplicas=3, updatedReplicas=1, currentRevision="web-1"),
            "waiting for statefulset rolling update to complete 1 pods at revision web-2...",
            False,
        ),
        (
            stateful_set(readyReplicas=3, updatedReplicas=3, currentReplicas=3, currentRevision="web-2"),
            "statefulset rolling update complete 3 pods at revision web-2...",
            True,
        ),
    ],
)
def test_progress_of_a_stateful_set(obj: dict[str, object], text: str, done: bool):
    assert progress("statefulsets", obj) == (text, done)


def daemon_set(generation: int = 1, kind: str = "RollingUpdate", **status: object) -> dict[str, object]:
    return {
        "metadata": {"name": "agent", "generation": generation},
        "spec": {"updateStrategy": {"type": kind}},
        "status": {"observedGeneration": 1, "desiredNumberScheduled": 3, **status},
    }


@pytest.mark.parametrize(
    ("obj", "text", "done"),
    [
        (daemon_set(generation=2), "Waiting for daemon set spec update to be observed...", False),
        (
            daemon_set(updatedNumberScheduled=1),
            'Waiting for daemon set "agent" rollout to finish: 1 out of 3 new pods have been updated...',
            False,
        ),
        (
            daemon_set(updatedNumberScheduled=3, numberAvailable=2),
            'Waiting for daemon set "agent" rollout to finish: 2 of 3 updated pods are available...',
            False,
        ),
        (
            daemon_set(updatedNumberScheduled=3, numberAvailable=3),
            'daemon set "agent" successfully rolled out',
            True,
        ),
    ],
)
def test_progress_of_a_daemon_set(obj: dict[str, object], text: str, done: bool):
    assert progress("daemonsets", obj) == (text, done)


def test_what_is_replaced_by_hand_has_no_progress():
    with pytest.raises(Refused, match="only available for RollingUpdate"):
        progress("daemonsets", daemon_set(kind="OnDelete"))


def test_the_template_of_a_revision_is_the_owners():
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {}}
    kept = {"metadata": {"labels": {"app": "web", "pod-template-hash": "abc"}}, "spec": {}}
    assert template_of({"data": {"spec": {"template": {**template, "$patch": "replace"}}}}) == template
    assert template_of({"spec": {"template": kept}}) == template
