"""Soak of the kubelet: Pods come and go on one node while the kubelet is killed; no Pod suffers, and nothing stays.

`python -m tools.soak.kubelet --rounds N [--seed S]`, as root, with a node's packages. The node is bench/_process.py: the
real API server in this process, the real kubelet as one of its own, a containerd of its own behind a proxy. A round
creates, breaks and deletes Pods for some seconds, kills the kubelet with -9, cuts it off from the API server, and lets calls
of the runtime be slow, refused or lost. No container of a Pod that ran well may end by that. Then all that are left must
run; then all are deleted, and no sandbox, container, control group, mount, volume, log or shim may stay, and the kubelet
must be as small as before. Pods are on the host's network: they have neither cables nor addresses.
"""

import asyncio
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._containerd import IMAGE, OwnContainerd, missing
from bench._node import NODE, gone, running
from bench._process import ProcessNode, process_node
from bench._proxy import FaultyRuntime, Trouble
from msgspec import Struct

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.cri.model import State
from tools.soak._faults import Faults
from tools.soak._rounds import arguments, run_rounds

STEPS = 30
_NAME = core_v1.DownwardAPIVolumeFile(path="name", fieldRef=core_v1.ObjectFieldSelector(fieldPath="metadata.name"))
SETTLE = 60.0
"""Seconds until what is to be there is there, and what has gone is gone; longer than a restart's back-off."""
SHIMS_A_KILL = 2
"""Shims that may be more than before, for each kill: containerd forgets one that it has just started when the RunPodSandbox
is called off in that moment (its caller has ended, or itself). Nothing runs in them, and nobody but containerd knows them."""
MOST_DESCRIPTORS = 100
"""Of a kubelet whose Pods have gone."""
_STATIC = f"""\
apiVersion: v1
kind: Pod
metadata: {{name: static, namespace: default}}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: "{IMAGE}", command: [sleep, "1000"]}}]
"""
TROUBLE = Trouble(slow=0.3, refuse=0.1, lose=0.1)


class Options(Struct, frozen=True):
    """What a round is told."""

    seed: int
    number: int
    pods: int
    kill_containerd: bool
    away: float
    """Seconds for which the API server is away at the end of the churn, while a static Pod runs."""


class Churn:
    """One round on a node."""

    def __init__(self, made: ProcessNode, proxy: FaultyRuntime, rng: random.Random, options: Options) -> None:
        self.made = made
        self.proxy = proxy
        self.rng = rng
        self.options = options
        self.number = options.number
        self.count = 0
        self.killed = 0
        self.names: list[str] = []
        self.restarts = 0
        self.calm: dict[str, str] = {}
        """Container by the name of a Pod that runs well and that nobody has touched."""

    async def create(self) -> None:
        """A Pod that sleeps, one that ends at once and is restarted, or one with volumes and an init container."""
        if len(self.names) >= self.options.pods:
            return
        self.count += 1
        name = f"p{self.number}-{self.count}"
        match self.rng.choice(("plain", "plain", "volumes", "init", "ends")):
            case "plain":
                await self.made.create(name)
            case "ends":
                await self.made.create(name, "sh", "-c", "sleep 0.2", restartPolicy="Never")
            case "volumes":
                memory = core_v1.EmptyDirVolumeSource(medium="Memory")
                names = core_v1.DownwardAPIVolumeSource(items=(_NAME,))
                volumes = (
                    core_v1.Volume(name="facts", downwardAPI=names),
                    core_v1.Volume(name="disk", emptyDir=core_v1.EmptyDirVolumeSource()),
                    core_v1.Volume(name="memory", emptyDir=memory),
                )
                mounted = tuple(core_v1.VolumeMount(name=v.name, mountPath=f"/{v.name}") for v in volumes)
                one = core_v1.Container(name="c", image=IMAGE, command=("sleep", "1000"), volumeMounts=mounted)
                await self.made.create(name, volumes=volumes, containers=(one,))
            case "init":
                first = core_v1.Container(name="first", image=IMAGE, command=("sleep", "0.1"))
                await self.made.create(name, initContainers=(first,))
        self.names.append(name)

    async def delete(self) -> None:
        """One of the Pods, sometimes before it has started, sometimes by force."""
        if self.names:
            name = self.names.pop(self.rng.randrange(len(self.names)))
            with suppress(ApiError):
                await self.made.pods.delete(Key("default", name), grace=self.rng.choice((None, 0, 1)))

    async def kill_kubelet(self) -> None:
        """It forgets everything, and what it was doing is half done."""
        await self._look_at_calm()
        self.restarts += 1
        await self.made.kill_kubelet()
        await asyncio.sleep(self.rng.choice((0.0, 0.5)))
        await self.made.start_kubelet()

    async def cut(self) -> None:
        """The API server is away for a moment."""
        await self.made.cut_api()
        await asyncio.sleep(self.rng.choice((0.1, 1.0, 3.0)))
        await self.made.open_api()

    async def trouble(self) -> None:
        """From now on calls of the runtime fail, or no longer."""
        self.proxy.trouble = self.rng.choice((TROUBLE, Trouble(), Trouble()))

    async def kill_containerd(self) -> None:
        """kill -9: shims and containers go on, and so does a shim that has just been started for nothing."""
        if not self.options.kill_containerd:
            return
        self.killed += 1
        await asyncio.to_thread(self.made.containerd.kill)
        await asyncio.sleep(self.rng.choice((0.0, 0.5)))
        await asyncio.to_thread(self.made.containerd.start)

    async def run(self) -> dict[str, int]:
        """Raises AssertionError."""
        before = await left(self.made)
        actions: Sequence[Callable[[], Awaitable[None]]] = (
            *[self.create] * 12, *[self.delete] * 4, *[self.kill_kubelet] * 3, self.cut, *[self.trouble] * 2,
            self.kill_containerd,
        )  # fmt: skip
        for _ in range(STEPS + 2 * self.options.pods):
            await self.rng.choice(actions)()
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.05, 0.3)))
        self.proxy.trouble = Trouble()
        if self.options.away:
            await self._without_api(self.options.away)
        await self.kill_kubelet()
        for name in self.names:
            await self.made.until(name, lambda pod: running(pod) or _done(pod), SETTLE)
        await self._check_calm()
        for name in self.names:
            await self.made.pods.delete(Key("default", name), grace=1)
        for pod in (await self.made.pods.list("default")).items:
            await self.made.until(pod.metadata.name, gone, SETTLE)
        await self._settled(before)
        descriptors, memory = self._size()
        assert descriptors < MOST_DESCRIPTORS, f"the kubelet has {descriptors} file descriptors"
        print(f"the kubelet has {memory} MB")
        return {"pods": self.count, "kills": self.restarts, "undisturbed": len(self.calm)}

    async def _without_api(self, seconds: float) -> None:
        """Pods go on, those that end do so unseen, and a static Pod is neither ended nor restarted; then all is told."""
        manifest = self.made.manifests / "static.yaml"
        manifest.write_text(_STATIC)
        mirror = f"static-{NODE}"
        before = await self.made.until(mirror, running, SETTLE)
        ends = f"e{self.number}"
        await self.made.create(ends, "sh", "-c", f"sleep {seconds / 2}; exit 3", restartPolicy="Never")
        await self.made.until(ends, running, SETTLE)
        await self.made.cut_api()
        await asyncio.sleep(seconds)
        await self.made.open_api()
        ended = await self.made.until(ends, _done, SETTLE)
        said = ended.status.containerStatuses[0].state.terminated or core_v1.ContainerStateTerminated()
        assert said.exitCode == 3, f"{ends} ended unseen: {ended.status}"
        after = await self.made.until(mirror, running, SETTLE)
        assert _runs(after) == _runs(before), f"the static Pod was touched: {after.status}"
        manifest.unlink()
        self.names.append(ends)

    def _size(self) -> tuple[int, int]:
        """File descriptors and resident megabytes of the kubelet."""
        assert self.made.process is not None
        proc = Path(f"/proc/{self.made.process.pid}")
        pages = int((proc / "statm").read_text().split()[1])
        return len(os.listdir(proc / "fd")), pages * os.sysconf("SC_PAGESIZE") >> 20

    async def _look_at_calm(self) -> None:
        """Notes the containers of Pods that run well. (Those that end by themselves are no witnesses.)"""
        for pod in (await self.made.pods.list("default")).items:
            if running(pod) and pod.spec.restartPolicy != "Never" and pod.metadata.name in self.names:
                self.calm.setdefault(pod.metadata.name, pod.status.containerStatuses[0].containerID)

    async def _check_calm(self) -> None:
        """Where containerd itself was not killed, each of them still runs."""
        wanted = {name: id.rpartition("/")[2] for name, id in self.calm.items() if name in self.names}
        alive = {c.id for c in await self.made.runtime.containers() if c.state == State.RUNNING}
        lost = sorted(name for name, id in wanted.items() if id not in alive)
        assert not lost, f"ended or restarted though nobody asked for it: {lost}"

    async def _settled(self, before: dict[str, set[str]]) -> None:
        difference: dict[str, set[str]] = {}
        slack = {"shims": SHIMS_A_KILL * (self.killed + self.restarts)}
        for _ in range(int(SETTLE * 4)):
            now = await left(self.made)
            difference = {what: now[what] - before[what] for what in now if now[what] - before[what]}
            if all(len(difference[what]) <= slack.get(what, 0) for what in difference):
                return
            await asyncio.sleep(0.25)
        raise AssertionError(f"left on {NODE}: {difference}")


def _runs(pod: core_v1.Pod) -> list[tuple[str, int]]:
    return [(status.containerID, status.restartCount) for status in pod.status.containerStatuses]


def _done(pod: core_v1.Pod | None) -> bool:
    return pod is not None and pod.status.phase in ("Succeeded", "Failed")


def _traceback(log: str) -> str:
    """The first traceback of a log with the line that announces it; "" where there is none."""
    before, found, after = log.partition("Traceback")
    return f"{before[-1000:].rpartition(chr(10) + chr(10))[2]}{found}{after[:4000]}" if found else ""


async def left(made: ProcessNode) -> dict[str, set[str]]:
    """What Pods can leave on a node, by kind."""
    found = {
        "sandboxes": {sandbox.id for sandbox in await made.runtime.sandboxes()},
        "containers": {container.id for container in await made.runtime.containers()},
    }
    return found | await asyncio.to_thread(_on_machine, made)


def _on_machine(made: ProcessNode) -> dict[str, set[str]]:
    groups = [folder for folder in made.containerd.cgroup.folders() if folder.exists()]
    pods = made.folder / "kubelet" / "pods"
    return {
        "control groups": {str(child) for folder in groups for child in folder.rglob("pod*") if child.is_dir()},
        "mounts": {mount.target for mount in mounts.table() if Path(mount.target).is_relative_to(made.folder)},
        "volumes": {str(path) for path in pods.glob("*")},
        "logs": {str(path) for name in ("pods", "containers") for path in (made.folder / name).glob("*")},
        "shims": {str(pid) for pid in made.containerd._shims()},
    }


def main() -> int:
    """Rounds of churn on one node; 1 at the first fault, with its seed; 2 where the machine cannot run a node."""
    parser = arguments(__doc__)
    parser.add_argument("--pods", type=int, default=50, help="at most at once")
    parser.add_argument("--kill-containerd", action="store_true", help="kill -9 of containerd, too")
    parser.add_argument("--away", type=float, default=0.0, help="seconds for which each round has no API server")
    options = parser.parse_args()
    if lacking := missing():
        print(f"the soak of the kubelet {lacking}", file=sys.stderr)
        return 2
    logging.getLogger().addHandler(logging.NullHandler())
    faults = Faults()
    logging.getLogger("pybernetes").addHandler(faults)
    flags = f" --pods {options.pods}" + " --kill-containerd" * options.kill_containerd
    with TemporaryDirectory(prefix="pybernetes-soak-") as folder, asyncio.Runner() as runner:
        containerd = OwnContainerd(Path(folder) / "containerd", f"pybernetes-soak-{os.getpid()}")
        containerd.start()
        stack = AsyncExitStack()

        async def begin() -> tuple[ProcessNode, FaultyRuntime]:
            socket = Path(folder) / "proxy.sock"
            proxy = await stack.enter_async_context(FaultyRuntime(socket, containerd.endpoint, options.seed))
            node = process_node(Path(folder) / "n", containerd, proxy.endpoint)
            return await stack.enter_async_context(node), proxy

        async def play(seed: int) -> dict[str, int]:
            given = Options(seed, seed - options.seed, options.pods, options.kill_containerd, options.away)
            try:
                figures = await Churn(made, proxy, random.Random(seed), given).run()
            except (AssertionError, TimeoutError):
                print(made.log()[-3000:], file=sys.stderr)
                raise
            assert not faults.found, f"a fault was logged: {faults.found[0]}"
            assert not (traceback := _traceback(made.log())), f"the kubelet has written a traceback\n{traceback}"
            return figures

        try:
            made, proxy = runner.run(begin())
            more = f"{flags} --away {options.away}" if options.away else flags
            return run_rounds("kubelet", options, lambda seed: runner.run(play(seed)), more)
        finally:
            runner.run(stack.aclose())
            containerd.close()


if __name__ == "__main__":
    sys.exit(main())
