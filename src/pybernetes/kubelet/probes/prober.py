"""Liveness, readiness and startup probes of one running container. Its results are pod_machine.Health.

The startup probe gates both others; thresholds count consecutive results. See "Probe outcomes". Once the Pod ends,
readiness alone is asked further: who sends it requests must know.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cri.model import Container
from pybernetes.kubelet.hooks import Answer, Hooks
from pybernetes.kubelet.pod_actions import Health

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["Liveness", "Readiness", "Startup"]
Changed: TypeAlias = Callable[[Health], None]
Tell: TypeAlias = Callable[[str, str], None]
_TRIES = 3
"""So often an action that could not be done is tried before its result is thrown away."""


def has_probes(container: core_v1.Container) -> bool:
    """Whether any probe is set."""
    return any((container.livenessProbe, container.readinessProbe, container.startupProbe))


class Target(Struct, frozen=True):
    """What is probed."""

    container: core_v1.Container
    run: Container
    ip: str

    def variables(self) -> Mapping[str, str]:
        """What `$(NAME)` in a probe's command may mean: variables whose values stand in the Pod."""
        return {e.name: e.value for e in self.container.env if e.valueFrom is None}


class _Row:
    """Results in a row."""

    def __init__(self, probe: core_v1.Probe) -> None:
        self._wanted = {True: probe.successThreshold or 1, False: probe.failureThreshold or 3}
        self._last: bool | None = None
        self._count = 0

    def counts(self, ok: bool) -> bool:
        """Whether enough results like this one have come one after another."""
        self._count = self._count + 1 if ok is self._last else 1
        self._last = ok
        return self._count >= self._wanted[ok]


class Prober:
    """The probes of one run of a container. Made when it runs, cancelled when it ends."""

    def __init__(self, target: Target, hooks: Hooks, clock: Clock, jitter: float = 0.0) -> None:
        self._target = target
        self._container = target.container
        self._hooks = hooks
        self._clock = clock
        self._jitter = jitter
        """0 to 1: the part of a period that passes before the first probe."""
        self._health = Health()
        self._changed: Changed = lambda health: None
        self._tell: Tell = lambda reason, message: None
        self._ending: Callable[[], bool] = lambda: False

    def begin(self, old: core_v1.ContainerStatus | None) -> Health:
        """Before any result: not ready, not started where probes will say so; as reported where it ran already."""
        container = self._container
        started = container.startupProbe is None or bool(old and old.started)
        ready = started and (container.readinessProbe is None or bool(old and old.ready))
        answered = container.startupProbe is None and container.readinessProbe is None
        self._health = Health(started=started, ready=ready, answered=answered)
        if old is None:
            self._jitter = 0.0  # nothing is known of it (a static Pod after a restart): it is asked at once
        return self._health

    async def run(self, changed: Changed, tell: Tell, ending: Callable[[], bool] = lambda: False) -> None:
        """Probes until cancelled. `ending` says whether the Pod is being stopped."""
        self._changed, self._tell, self._ending = changed, tell, ending
        container = self._container
        if container.startupProbe is not None and not self._health.started:
            await self._repeat("Startup", container.startupProbe, self._startup)
            if not self._health.started:
                return
        async with asyncio.TaskGroup() as group:
            if container.readinessProbe is not None:
                group.create_task(self._repeat("Readiness", container.readinessProbe, self._readiness))
            if container.livenessProbe is not None:
                group.create_task(self._repeat("Liveness", container.livenessProbe, self._liveness))

    async def _repeat(self, kind: Kind, probe: core_v1.Probe, take: Callable[[core_v1.Probe, bool], bool]) -> None:
        """Asks once a period until `take` says that it has heard enough."""
        period = float(probe.periodSeconds or 10)
        if self._jitter:
            await self._clock.sleep(self._jitter * period)
        left = self._target.run.started + probe.initialDelaySeconds - self._clock.now()
        await self._clock.sleep(min(left, probe.initialDelaySeconds))  # more is left only where the clock was set back
        row = _Row(probe)
        due = self._clock.monotonic()
        while kind == "Readiness" or not self._ending():
            answer = await self._ask(kind, probe)
            quiet = kind != "Readiness" and self._ending()
            if answer is not None and not quiet:
                self._report(kind, answer)
                if row.counts(answer.ok) and take(probe, answer.ok):
                    return
            due = max(due + period, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())

    async def _ask(self, kind: Kind, probe: core_v1.Probe) -> Answer | None:
        """One result; None where the action could not be done however often it was tried."""
        began = self._clock.monotonic()
        for _ in range(_TRIES):
            answer = await self._once(probe)
            if not answer.error:
                break
        container, pod = self._container.name, self._target.run.pod
        result = "unknown" if answer.error else "successful" if answer.ok else "failed"
        metrics.PROBES.add(kind, result, container, pod.name, pod.namespace, pod.uid)
        if result != "failed":
            metrics.PROBE_SECONDS.observe(self._clock.monotonic() - began, kind, container, pod.name, pod.namespace)
        if answer.error:
            self._tell("Unhealthy", f"{kind} probe errored and resulted in unknown state: {answer.output}")
            return None
        return answer

    def _report(self, kind: Kind, answer: Answer) -> None:
        if not answer.ok:
            self._tell("Unhealthy", f"{kind} probe failed: {answer.output}")
        elif answer.warning:
            self._tell("ProbeWarning", f"{kind} probe warning: {answer.output}")

    def _startup(self, probe: core_v1.Probe, ok: bool) -> bool:
        if ok:
            alone = self._container.readinessProbe is None
            self._set(Health(started=True, ready=alone, answered=alone))
        else:
            self._unhealthy("startup", probe)
        return True

    def _readiness(self, probe: core_v1.Probe, ok: bool) -> bool:
        self._set(replace(self._health, ready=ok, answered=True))
        return False

    def _liveness(self, probe: core_v1.Probe, ok: bool) -> bool:
        if not ok:
            self._unhealthy("liveness", probe)
        return not ok  # nothing is asked of a container that is being stopped

    def _set(self, health: Health) -> None:
        if health != self._health:
            self._health = health
            self._changed(health)

    def _unhealthy(self, kind: str, probe: core_v1.Probe) -> None:
        grace = None if probe.terminationGracePeriodSeconds is None else float(probe.terminationGracePeriodSeconds)
        why = f"Container {self._container.name} failed {kind} probe"
        self._set(replace(self._health, unhealthy=why, grace=grace, answered=True))

    async def _once(self, probe: core_v1.Probe) -> Answer:
        timeout, target = float(probe.timeoutSeconds or 1), self._target
        if probe.exec is not None:
            return await self._hooks.exec(target.run.id, probe.exec.command, timeout, target.variables())
        if probe.httpGet is not None:
            return await self._hooks.http(probe.httpGet, target.container, target.ip, timeout)
        if probe.tcpSocket is not None:
            return await self._hooks.tcp(probe.tcpSocket, target.container, target.ip, timeout)
        if probe.grpc is not None:
            return await self._hooks.grpc(probe.grpc, target.ip, timeout)
        return Answer(False, "missing probe handler", error=True)
