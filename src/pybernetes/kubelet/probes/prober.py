"""Liveness, readiness and startup probes of one running container. Its results are pod_machine.Health.

The startup probe gates both others; thresholds count consecutive results. See "Probe outcomes".
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cri.model import Container
from pybernetes.kubelet.hooks import Answer, Hooks
from pybernetes.kubelet.pod_actions import Health

log = logging.getLogger(__name__)

Changed: TypeAlias = Callable[[Health], None]
Tell: TypeAlias = Callable[[str, str], None]


def has_probes(container: core_v1.Container) -> bool:
    """Whether any probe is set."""
    return any((container.livenessProbe, container.readinessProbe, container.startupProbe))


class Prober:
    """The probes of one run of a container. Made when it runs, cancelled when it ends."""

    def __init__(self, container: core_v1.Container, run: Container, ip: str, hooks: Hooks, clock: Clock) -> None:
        self._container = container
        self._run = run
        self._ip = ip
        self._hooks = hooks
        self._clock = clock
        self._health = Health()

    def begin(self, old: core_v1.ContainerStatus | None) -> Health:
        """Before any result: not ready, not started where probes will say so; as reported where it ran already."""
        container = self._container
        started = container.startupProbe is None or bool(old and old.started)
        ready = started and (container.readinessProbe is None or bool(old and old.ready))
        self._health = Health(started=started, ready=ready)
        return self._health

    async def run(self, changed: Changed, tell: Tell) -> None:
        """Probes until cancelled."""
        container = self._container
        if container.startupProbe is not None and not self._health.started:
            await self._startup(container.startupProbe, changed, tell)
        async with asyncio.TaskGroup() as group:
            if container.readinessProbe is not None:
                group.create_task(self._readiness(container.readinessProbe, changed, tell))
            if container.livenessProbe is not None:
                group.create_task(self._liveness(container.livenessProbe, changed, tell))

    def _set(self, changed: Changed, health: Health) -> None:
        if health != self._health:
            self._health = health
            changed(health)

    async def _startup(self, probe: core_v1.Probe, changed: Changed, tell: Tell) -> None:
        await self._initial(probe)
        failures = successes = 0
        while True:
            answer = await self._once(probe)
            if answer.ok:
                successes, failures = successes + 1, 0
                if successes >= (probe.successThreshold or 1):
                    ready = self._container.readinessProbe is None
                    self._set(changed, Health(started=True, ready=ready))
                    return
            else:
                failures, successes = failures + 1, 0
                tell("Unhealthy", f"Startup probe failed: {answer.output}")
                if failures >= (probe.failureThreshold or 3):
                    self._unhealthy("startup", probe, changed)
            await self._clock.sleep(probe.periodSeconds or 10)

    async def _readiness(self, probe: core_v1.Probe, changed: Changed, tell: Tell) -> None:
        await self._initial(probe)
        failures = successes = 0
        while True:
            answer = await self._once(probe)
            if answer.ok:
                successes, failures = successes + 1, 0
                if successes >= (probe.successThreshold or 1):
                    self._set(changed, self._with(ready=True))
            else:
                failures, successes = failures + 1, 0
                tell("Unhealthy", f"Readiness probe failed: {answer.output}")
                if failures >= (probe.failureThreshold or 3):
                    self._set(changed, self._with(ready=False))
            await self._clock.sleep(probe.periodSeconds or 10)

    async def _liveness(self, probe: core_v1.Probe, changed: Changed, tell: Tell) -> None:
        await self._initial(probe)
        failures = 0
        while True:
            answer = await self._once(probe)
            failures = 0 if answer.ok else failures + 1
            if failures:
                tell("Unhealthy", f"Liveness probe failed: {answer.output}")
            if failures >= (probe.failureThreshold or 3):
                self._unhealthy("liveness", probe, changed)
            await self._clock.sleep(probe.periodSeconds or 10)

    def _unhealthy(self, kind: str, probe: core_v1.Probe, changed: Changed) -> None:
        grace = None if probe.terminationGracePeriodSeconds is None else float(probe.terminationGracePeriodSeconds)
        why = f"Container {self._container.name} failed {kind} probe, will be restarted"
        self._set(changed, Health(started=self._health.started, ready=False, unhealthy=why, grace=grace))

    def _with(self, *, ready: bool) -> Health:
        now = self._health
        return Health(started=now.started, ready=ready, unhealthy=now.unhealthy, grace=now.grace)

    async def _initial(self, probe: core_v1.Probe) -> None:
        """Waits until initialDelaySeconds after the container's start."""
        left = self._run.started + probe.initialDelaySeconds - self._clock.now()
        await self._clock.sleep(min(left, probe.initialDelaySeconds))  # more is left only where the clock was set back

    async def _once(self, probe: core_v1.Probe) -> Answer:
        began = self._clock.monotonic()
        answer = await self._ask(probe)
        container, pod = self._container, self._run.pod
        kinds = ((container.livenessProbe, "Liveness"), (container.readinessProbe, "Readiness"))
        kind = next((name for one, name in kinds if one is probe), "Startup")
        result = "successful" if answer.ok else "failed"
        metrics.PROBES.add(kind, result, container.name, pod.name, pod.namespace, pod.uid)
        if answer.ok:
            seconds = self._clock.monotonic() - began
            metrics.PROBE_SECONDS.observe(seconds, kind, container.name, pod.name, pod.namespace)
        return answer

    async def _ask(self, probe: core_v1.Probe) -> Answer:
        timeout = float(probe.timeoutSeconds or 1)
        try:
            if probe.exec is not None:
                return await self._hooks.exec(self._run.id, probe.exec.command, timeout)
            async with asyncio.timeout(timeout):
                if probe.httpGet is not None:
                    return await self._hooks.http(probe.httpGet, self._container, self._ip)
                if probe.tcpSocket is not None:
                    return await self._hooks.tcp(probe.tcpSocket, self._container, self._ip)
                if probe.grpc is not None:
                    return await self._hooks.grpc(probe.grpc, self._ip)
        except TimeoutError:
            return Answer(False, "context deadline exceeded")
        return Answer(False, "this kind of probe is not supported")
