"""Soak of the kubelet: Pods come and go on one node while the kubelet restarts; nothing stays.

`python -m tools.soak.kubelet --rounds N [--seed S]`, as root, with a node's packages. The node is bench/_node.py: the
real API server in this process, the real kubelet, a containerd of its own. A round creates, breaks and deletes Pods for
some seconds. Then all that are left must run; then all are deleted, and no sandbox, container, control group, mount,
volume, log, shim or file descriptor may stay. Pods are on the host's network: they have neither cables nor addresses.
"""

import argparse
import asyncio
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._containerd import IMAGE, OwnContainerd, missing
from bench._node import NODE, NodeUnderTest, gone, node, running

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from tools.soak.controllers import Faults

STEPS = 25
MOST_PODS = 8
_NAME = core_v1.DownwardAPIVolumeFile(path="name", fieldRef=core_v1.ObjectFieldSelector(fieldPath="metadata.name"))
SETTLE = 60.0
"""Seconds until what is to be there is there, and what has gone is gone; longer than a restart's back-off."""
SLACK = {"file descriptors": 8, "shims": 2}
"""What may be more than before: pooled connections; and shims that containerd starts for a RunPodSandbox which is called
off in that moment (the kubelet or containerd ended), and then forgets. Nobody but containerd can know them."""
SHIMS_A_KILL = 2
"""Of starts that were under way when containerd was killed: it has not yet written down where their shims listen."""


class Churn:
    """One round on a node."""

    def __init__(self, made: NodeUnderTest, rng: random.Random, number: int, *, kills: bool) -> None:
        self.made = made
        self.rng = rng
        self.number = number
        self.kills = kills
        self.count = 0
        self.killed = 0
        self.names: list[str] = []

    async def create(self) -> None:
        """A Pod that sleeps, one that ends at once and is restarted, or one with volumes and an init container."""
        if len(self.names) >= MOST_PODS:
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

    async def restart_kubelet(self) -> None:
        """It forgets everything."""
        await self.made.stop_kubelet()
        await asyncio.sleep(self.rng.choice((0.0, 0.5)))
        await self.made.start_kubelet()

    async def kill_containerd(self) -> None:
        """kill -9: shims and containers go on, and so does a shim that has just been started for nothing."""
        if not self.kills:
            return
        self.killed += 1
        await asyncio.to_thread(self.made.containerd.kill)
        await asyncio.sleep(self.rng.choice((0.0, 0.5)))
        await asyncio.to_thread(self.made.containerd.start)

    async def run(self) -> str:
        """Raises AssertionError."""
        before = await left(self.made)
        actions: Sequence[Callable[[], Awaitable[None]]] = (
            *[self.create] * 5, *[self.delete] * 3, self.restart_kubelet, self.restart_kubelet, self.kill_containerd
        )  # fmt: skip
        for _ in range(STEPS):
            await self.rng.choice(actions)()
            await asyncio.sleep(self.rng.choice((0.0, 0.05, 0.3)))
        for name in self.names:
            await self.made.until(name, lambda pod: running(pod) or _done(pod), SETTLE)
        for name in self.names:
            await self.made.pods.delete(Key("default", name))
        for pod in (await self.made.pods.list("default")).items:
            await self.made.until(pod.metadata.name, gone, SETTLE)
        await self._settled(before)
        return f"{self.count} pods"

    async def _settled(self, before: dict[str, set[str]]) -> None:
        difference: dict[str, set[str]] = {}
        slack = {**SLACK, "shims": SLACK["shims"] + SHIMS_A_KILL * self.killed}
        for _ in range(int(SETTLE * 4)):
            now = await left(self.made)
            difference = {what: now[what] - before[what] for what in now if now[what] - before[what]}
            if all(len(difference[what]) <= slack.get(what, 0) for what in difference):
                return
            await asyncio.sleep(0.25)
        raise AssertionError(f"left on {NODE}: {difference}")


def _done(pod: core_v1.Pod | None) -> bool:
    return pod is not None and pod.status.phase in ("Succeeded", "Failed")


async def left(made: NodeUnderTest) -> dict[str, set[str]]:
    """What Pods can leave on a node, by kind."""
    found = {
        "sandboxes": {sandbox.id for sandbox in await made.runtime.sandboxes()},
        "containers": {container.id for container in await made.runtime.containers()},
    }
    return found | await asyncio.to_thread(_on_machine, made)


def _on_machine(made: NodeUnderTest) -> dict[str, set[str]]:
    groups = [folder for folder in made.containerd.cgroup.folders() if folder.exists()]
    pods = made.folder / "kubelet" / "pods"
    return {
        "control groups": {str(child) for folder in groups for child in folder.rglob("pod*") if child.is_dir()},
        "mounts": {mount.target for mount in mounts.table() if Path(mount.target).is_relative_to(made.folder)},
        "volumes": {str(path) for path in pods.glob("*")},
        "logs": {str(path) for name in ("pods", "containers") for path in (made.folder / name).glob("*")},
        "shims": {str(pid) for pid in made.containerd._shims()},
        "file descriptors": set(os.listdir("/proc/self/fd")),
    }


async def soak(rounds: int, first: int, *, kills: bool) -> int:
    """All rounds on one node; 1 at the first fault."""
    with TemporaryDirectory(prefix="pybernetes-soak-") as folder:
        containerd = OwnContainerd(Path(folder) / "containerd", f"pybernetes-soak-{os.getpid()}")
        await asyncio.to_thread(containerd.start)
        faults = Faults()
        logging.getLogger("pybernetes").addHandler(faults)
        try:
            async with node(Path(folder), containerd) as made:
                for number in range(rounds):
                    seed = first + number
                    try:
                        figures = await Churn(made, random.Random(seed), number, kills=kills).run()
                        assert not faults.found, f"a fault was logged: {faults.found[0]}"
                    except AssertionError as fault:
                        print(f"seed {seed}: {fault}", file=sys.stderr)
                        print(f"again: python -m tools.soak.kubelet --rounds 1 --seed {seed}", file=sys.stderr)
                        return 1
                    print(f"kubelet round {number + 1}/{rounds} seed {seed}: {figures}", flush=True)
        finally:
            await asyncio.to_thread(containerd.close)
    return 0


def main() -> int:
    """Rounds of churn; 1 at the first fault, with its seed; 2 where the machine cannot run a node."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill-containerd", action="store_true", help="kill -9 of containerd, too")
    options = parser.parse_args()
    if lacking := missing():
        print(f"the soak of the kubelet {lacking}", file=sys.stderr)
        return 2
    logging.getLogger().addHandler(logging.NullHandler())
    return asyncio.run(soak(options.rounds, options.seed, kills=options.kill_containerd))


if __name__ == "__main__":
    sys.exit(main())
