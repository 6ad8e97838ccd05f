"""Soak of the kubelet without containers: Pods made and deleted at random while containers crash, the runtime fails, and kubelets restart.

`python -m tools.soak.pod_worker --rounds N [--seed S]`. The real kubelet against the real API server on memory, and a runtime
in memory that refuses, loses answers, goes away and loses power. At every moment a Pod has one ready sandbox at most
and no container twice; in the end trouble stops, every Pod runs, and of deleted ones nothing is left. Time runs a
hundred times faster than the clock on the wall; the order of things is not repeatable, the choices of a seed are.
"""

import asyncio
import logging
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key, User
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.kernel import mounts
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.cri.events import Exit, RuntimeEvent
from pybernetes.kubelet.kubelet import Kubelet
from pybernetes.kubelet.settings import Settings
from pybernetes.store.memory import MemoryStore
from tools.soak._rounds import arguments, run_rounds

NODE = "n1"
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
IDENTITY = User(f"system:node:{NODE}", groups=("system:nodes", "system:authenticated"))
SPEED = 100.0
EPOCH = 1_767_225_600.0
STEPS = 40
SETTLE = 2000.0
"""Virtual seconds in which everything must have come right: several of the longest back-offs."""


class FastClock:
    """SPEED seconds in one."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return self._loop.time() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / SPEED)


class MemoryRuntime:
    """A runtime without containers: it remembers what it was told, and complains where the kubelet breaks a law."""

    def __init__(self, clock: FastClock, chance: random.Random) -> None:
        self.clock = clock
        self.chance = chance
        self.trouble = True
        self.away = False
        self.faults: list[str] = []
        self._sandboxes: dict[str, m.Sandbox] = {}
        self._containers: dict[str, m.Container] = {}
        self._events: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self._count = 0

    async def update_container(self, container: str, resources: m.Resources) -> None:
        """No container of the soak is resized."""

    async def image_folder(self) -> str:
        """There is no disk."""
        return ""

    async def network_folder(self) -> str:
        """Its network is never configured: it is there."""
        return ""

    def pid(self) -> int | None:
        """It is no process."""
        return None

    async def layers(self, uid: str) -> Mapping[str, m.Layer]:
        """Nothing is written."""
        return {}

    async def used_images(self) -> frozenset[str]:
        """Every image is taken for used."""
        return frozenset(image.id for image in await self.images())

    async def remove_image(self, id: str) -> None:
        """Never asked for: every image is used."""

    async def view(self, image: str, key: str, now: str) -> m.HostMount:
        raise m.RuntimeRefused("UNIMPLEMENTED", "no images are mounted here")

    async def release(self, key: str) -> None:
        """There is none."""

    # -- trouble -------------------------------------------------------------------------------------------------------

    def crash(self) -> None:
        """One container ends."""
        running = [c for c in self._containers.values() if c.state == m.State.RUNNING]
        if running:
            self._end(self.chance.choice(running), self.chance.choice([0, 1, 137]))

    def power_cut(self) -> None:
        """Everything ends; what was written down is still there."""
        for container in list(self._containers.values()):
            if container.state != m.State.EXITED:
                self._end(container, 255)
        self._sandboxes = {id: replace(s, ready=False) for id, s in self._sandboxes.items()}

    def _end(self, container: m.Container, code: int) -> None:
        ended = replace(container, state=m.State.EXITED, finished=self.clock.now(), exit_code=code)
        self._containers[container.id] = ended
        self._events.put_nowait(RuntimeEvent("/tasks/exit", container.id, Exit(code, self.clock.now())))

    async def stream(self) -> AsyncIterator[RuntimeEvent]:
        """Events; lost when the runtime goes away."""
        while not self.away:
            yield await self._events.get()
        raise m.RuntimeUnavailable("away")

    async def _answer(self, change: Callable[[], None] | None = None) -> None:
        """Takes a moment, and may refuse before or after the deed."""
        await asyncio.sleep(self.chance.random() * 0.004)
        if self.away:
            raise m.RuntimeUnavailable("away")
        luck = self.chance.random() if self.trouble and change is not None else 1.0
        if luck < 0.05:
            raise m.RuntimeRefused("UNKNOWN", "bad luck")
        if change is not None:
            change()
        if luck < 0.1:
            raise m.RuntimeRefused("DEADLINE_EXCEEDED", "the answer was lost")

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    # -- CRI -----------------------------------------------------------------------------------------------------------

    async def version(self) -> m.Version:
        await self._answer()
        return m.Version("memory", "1", "v1")

    async def status(self) -> m.RuntimeStatus:
        await self._answer()
        return m.RuntimeStatus(True, "", True, "", "")

    async def sandboxes(self, uid: str = "") -> Sequence[m.Sandbox]:
        await self._answer()
        return [s for s in self._sandboxes.values() if uid in ("", s.pod.uid)]

    async def containers(self, uid: str = "") -> Sequence[m.Container]:
        await self._answer()
        return [c for c in self._containers.values() if uid in ("", c.pod.uid)]

    async def sandbox(self, known: m.Sandbox) -> m.Sandbox | None:
        await self._answer()
        return self._sandboxes.get(known.id)

    async def container(self, known: m.Container) -> m.Container | None:
        await self._answer()
        return self._containers.get(known.id)

    async def run_sandbox(self, spec: m.SandboxSpec) -> str:
        made = m.Sandbox(self._id("s"), spec.pod, spec.attempt, True, self.clock.now(), ("10.0.0.1",))

        def change() -> None:
            mine = [s for s in self._sandboxes.values() if s.pod.uid == spec.pod.uid]
            if any(s.ready for s in mine):
                self.faults.append(f"{spec.pod}: a second sandbox")
            if any(s.attempt == spec.attempt for s in mine):
                self.faults.append(f"{spec.pod}: sandbox name is reserved")
            self._sandboxes[made.id] = made

        await self._answer(change)
        return made.id

    async def stop_sandbox(self, sandbox: str) -> None:
        def change() -> None:
            for container in list(self._containers.values()):
                if container.sandbox == sandbox and container.state == m.State.RUNNING:
                    self.faults.append(f"{container.pod}: sandbox stopped under {container.name}")
            if sandbox in self._sandboxes:
                self._sandboxes[sandbox] = replace(self._sandboxes[sandbox], ready=False)

        await self._answer(change)

    async def remove_sandbox(self, sandbox: str) -> None:
        def change() -> None:
            self._sandboxes.pop(sandbox, None)
            self._containers = {id: c for id, c in self._containers.items() if c.sandbox != sandbox}

        await self._answer(change)

    async def create_container(self, sandbox: str, spec: m.ContainerSpec, pod: m.SandboxSpec) -> str:
        made = m.Container(
            self._id("c"),
            sandbox,
            pod.pod,
            spec.name,
            spec.attempt,
            m.State.CREATED,
            created=self.clock.now(),
            restart_delay=float(spec.annotations[m.RESTART_DELAY]),
            annotations=spec.annotations,
        )

        def change() -> None:
            if sandbox not in self._sandboxes or not self._sandboxes[sandbox].ready:
                raise m.RuntimeRefused("NOT_FOUND", "sandbox not found")
            mine = [c for c in self._containers.values() if c.pod.uid == pod.pod.uid and c.name == spec.name]
            if any(c.state != m.State.EXITED for c in mine) or any(c.attempt >= spec.attempt for c in mine):
                self.faults.append(f"{pod.pod}: container {spec.name} twice")
            self._containers[made.id] = made

        await self._answer(change)
        return made.id

    async def start_container(self, container: str) -> None:
        def change() -> None:
            found = self._containers.get(container)
            if found is None or found.state != m.State.CREATED:
                raise m.RuntimeRefused("UNKNOWN", "container is not in created state")
            self._containers[container] = running = replace(found, state=m.State.RUNNING, started=self.clock.now())
            if running.name.startswith("init"):
                self._end(running, 0)

        await self._answer(change)

    async def stop_container(self, container: str, grace: float) -> None:
        await self.clock.sleep(self.chance.random() * grace)

        def change() -> None:
            found = self._containers.get(container)
            if found is not None and found.state == m.State.RUNNING:
                self._end(found, 137)

        await self._answer(change)

    async def remove_container(self, container: str) -> None:
        def change() -> None:
            self._containers.pop(container, None)

        await self._answer(change)

    async def exec(self, container: str, command: Sequence[str], timeout: float) -> m.ExecResult:
        await self._answer()
        return m.ExecResult(0, b"", b"")

    async def image(self, name: str) -> m.Image | None:
        await self._answer()
        return m.Image(name, (name,), (), 1)

    async def images(self) -> Sequence[m.Image]:
        return []

    async def pull(self, name: str, credentials: m.Credentials | None) -> str:
        await self._answer(lambda: None)
        return name

    async def exec_url(self, container: str, command: Sequence[str], streams: m.StreamOptions) -> str:
        raise m.RuntimeRefused("UNIMPLEMENTED", "exec")

    async def attach_url(self, container: str, streams: m.StreamOptions) -> str:
        raise m.RuntimeRefused("UNIMPLEMENTED", "attach")

    async def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str:
        raise m.RuntimeRefused("UNIMPLEMENTED", "port-forward")

    async def reopen_log(self, container: str) -> None:
        raise m.RuntimeRefused("UNIMPLEMENTED", "logs")

    async def checkpoint(self, container: str, location: str, timeout: int) -> None:
        raise m.RuntimeRefused("UNIMPLEMENTED", "checkpoints")


class World:
    """One round."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.clock = FastClock(seed)
        self.runtime = MemoryRuntime(self.clock, self.chance)
        self.api = ApiServer(Config(disable_admission=("ServiceAccount",)), MemoryStore(), self.clock)
        self.pods = Client(direct(self.api.handler, ADMIN), clock=self.clock).of(core_v1.Pod)
        self.folder = folder
        self.names: set[str] = set()
        self._kubelet: asyncio.Task[None] | None = None
        self.counted: Counter[str] = Counter()

    def start_kubelet(self) -> None:
        """A new one, which remembers nothing."""
        self.counted["kubelets"] += 1
        settings = Settings(
            NODE,
            ("192.0.2.1",),
            root=self.folder / "kubelet",
            config=Configuration(pod_logs_dir=str(self.folder / "logs"), serialize_image_pulls=False),
        )
        client = Client(direct(self.api.handler, IDENTITY), clock=self.clock)
        kubelet = Kubelet(settings, self.runtime, client, events=self.runtime, cgroups=PodCgroups(within=()))
        self._kubelet = asyncio.create_task(kubelet.run(), name="kubelet")

    async def stop_kubelet(self) -> None:
        """Its end, at any moment."""
        if self._kubelet is not None:
            self._kubelet.cancel()
            with suppress(asyncio.CancelledError):
                await self._kubelet

    async def create(self) -> None:
        self.counted["pods"] += 1
        name = f"p{self.chance.randrange(6)}"
        one = core_v1.Container(name="c", image="x:1", imagePullPolicy="IfNotPresent")
        inits = tuple(replace(one, name=f"init{n}") for n in range(self.chance.randrange(3)))
        if self.chance.random() < 0.4:
            inits = (*inits, replace(one, name="side", restartPolicy="Always"))
        if self.chance.random() < 0.3:
            codes = core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(1,))
            rule = core_v1.ContainerRestartRule(action="RestartAllContainers", exitCodes=codes)
            one = replace(one, restartPolicy="Always", restartPolicyRules=(rule,))
        volume = core_v1.Volume(name="v", emptyDir=core_v1.EmptyDirVolumeSource())
        spec = core_v1.PodSpec(nodeName=NODE, initContainers=inits, containers=(one,), volumes=(volume,))
        with suppress(ApiError):
            await self.pods.create(core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), spec=spec))
            self.names.add(name)

    async def delete(self) -> None:
        if self.names:
            name = self.chance.choice(sorted(self.names))
            with suppress(ApiError):
                await self.pods.delete(Key("default", name), grace=self.chance.choice([0, 1, 30]))
                self.names.discard(name)

    async def step(self) -> None:
        """One thing happens."""
        luck = self.chance.random()
        if luck < 0.35:
            await self.create()
        elif luck < 0.55:
            await self.delete()
        elif luck < 0.75:
            self.runtime.crash()
        elif luck < 0.85:
            self.runtime.away = not self.runtime.away
        elif luck < 0.9:
            self.runtime.power_cut()
        else:
            await self.stop_kubelet()
            self.start_kubelet()
        await self.clock.sleep(self.chance.choice([0, 0.1, 1, 8]))

    async def wrong(self) -> str:
        """What is not as it should be; empty when all is well."""
        there = {pod.metadata.name: pod for pod in (await self.pods.list("default")).items}
        if there.keys() != self.names:
            return f"Pods {sorted(there)} instead of {sorted(self.names)}"
        for name, pod in there.items():
            if not any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions):
                return f"{name} is not ready: {pod.status}"
        uids = sorted(pod.metadata.uid for pod in there.values())
        if sorted(s.pod.uid for s in await self.runtime.sandboxes()) != uids:
            return "sandboxes are left or missing"
        left = {f.name for f in (self.folder / "kubelet" / "pods").glob("*")}
        return "" if left == set(uids) else "folders are left or missing"


async def play(seed: int, folder: Path) -> dict[str, int]:
    """One round. Raises AssertionError."""
    world = World(seed, folder)
    server = asyncio.create_task(world.api.run(), name="apiserver")
    try:
        await world.api.ready.wait()
        world.start_kubelet()
        for _ in range(STEPS):
            await world.step()
        world.runtime.trouble = world.runtime.away = False
        until = world.clock.monotonic() + SETTLE
        while wrong := await world.wrong():
            assert world.clock.monotonic() < until, wrong
            await world.clock.sleep(5)
        assert not world.runtime.faults, world.runtime.faults[0]
        return world.counted
    finally:
        await world.stop_kubelet()
        mounts.unmount_below(folder / "kubelet")
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server


def main() -> int:
    """1 at the first fault."""
    options = arguments(__doc__, rounds=10).parse_args()
    logging.disable(logging.ERROR)

    def one_round(seed: int) -> dict[str, int]:
        with TemporaryDirectory(prefix="pybernetes-soak-") as folder:
            return asyncio.run(play(seed, Path(folder)))

    return run_rounds("pod_worker", options, one_round)


if __name__ == "__main__":
    sys.exit(main())
