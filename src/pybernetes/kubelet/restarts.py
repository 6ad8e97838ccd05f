"""Restarts: which runs of containers may have successors, when, and what a run was made from. pod_machine.py acts on it.

Rules outrank the container's policy, and that the Pod's (KEP-5307); sidecars always run again (KEP-753). Pure.
"""

import hashlib

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Container
from pybernetes.kubelet.pod_containers import containers_of

CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_ALL = "RestartAllContainers"
FIRST_DELAY = 10.0
"""Seconds before the second restart of a container; the first one is at once, each later one waits twice as long."""
HEALTHY_RUN = 600.0
"""A run of so many seconds makes the next restart immediate again."""
_SKEW = 1.0
"""Seconds by which the runtime's clock may be ahead of ours."""


def may_restart(pod: core_v1.Pod, container: core_v1.Container, ended: Container) -> bool:
    """Whether an ended run may have a successor: rules outrank the container's policy, and that the Pod's.

    A run that was stopped for a new spec has one whatever they say; one that had ended by itself does not for that alone.
    """
    if is_sidecar(container) or ended.replaced or rule_for(container, ended.exit_code) is not None:
        return True
    policy = policy_of(pod, container)
    if any(c.name == container.name for c in pod.spec.initContainers):
        return ended.exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


def policy_of(pod: core_v1.Pod, container: core_v1.Container) -> str:
    """Always, OnFailure or Never."""
    return container.restartPolicy or pod.spec.restartPolicy or "Always"


def rule_for(container: core_v1.Container, exit_code: int) -> core_v1.ContainerRestartRule | None:
    """The first of restartPolicyRules that names the exit code (KEP-5307)."""
    for rule in container.restartPolicyRules:
        codes = rule.exitCodes
        if codes is not None and (exit_code in codes.values) == (codes.operator == "In"):
            return rule
    return None


def may_restart_all(pod: core_v1.Pod) -> bool:
    """Whether a rule could restart all containers (KEP-5532)."""
    return any(r.action == RESTART_ALL for c in containers_of(pod) for r in c.restartPolicyRules)


def container_hash(container: core_v1.Container) -> str:
    """Identity of what a running container was made from: name, image, and resources that change by a restart alone."""
    made = _digest(f"{container.name}\0{container.image}")
    asked = container.resources
    fixed = [(n, asked.requests.get(n), asked.limits.get(n)) for n in ("cpu", "memory") if restarts_for(container, n)]
    return f"{made}-{_digest(repr(fixed))}" if fixed else made


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def restarts_for(container: core_v1.Container, resource: str) -> bool:
    """Whether a change of the resource restarts the container (resizePolicy RestartContainer)."""
    return any(p.resourceName == resource and p.restartPolicy == "RestartContainer" for p in container.resizePolicy)


def is_sidecar(container: core_v1.Container) -> bool:
    """An init container that goes on running (KEP-753)."""
    return container.restartPolicy == "Always"


def changed(container: core_v1.Container, run: Container) -> bool:
    """Whether its spec is another than the one that the run was made from."""
    return run.annotations.get(CONTAINER_HASH, container_hash(container)) != container_hash(container)


def restart_time(run: Container, now: float) -> float:
    """When the successor of an ended run may start; at once where the clock was set back since it ended."""
    return run.finished + _due_delay(run) if run.finished <= now + _SKEW else now


def _due_delay(run: Container) -> float:
    return 0.0 if run.started and run.finished - run.started > HEALTHY_RUN else run.restart_delay


def next_delay(run: Container, longest: float) -> float:
    """What to write down with the successor of `run`: what the one after it will wait."""
    due = _due_delay(run)
    return min(longest, 2 * due if due else FIRST_DELAY)
