"""The demonstration (`make demo`): from bare machines to an answering Pod, the way a reader of Kubernetes notes knows.

Each step checks what it shows and ends the run with a clear line where it does not hold.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pybernetes.aio.clock import Clock
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.assembly.cluster import (
    ClusterRecord,
    LocalCluster,
    claimed,
    join_command,
    node_names,
    until,
)
from pybernetes.assembly.progress import Progress
from pybernetes.client.rest import Client
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.image import Built, build_image
from pybernetes.localcluster.sandbox import Result, check_machine
from pybernetes.localcluster.spec import STATE_DIR
from pybernetes.rules.readiness import is_ready

NAME = "demo"
IMAGE = "gasbugs/http-go"
WORKERS = ("worker-1", "worker-2")
_FETCH = [
    "python3",
    "-I",
    "-c",
    "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=5).read().decode())",
]


class Demonstration:
    """One run. `examples` is the folder of the project's examples."""

    def __init__(self, examples: Path, progress: Progress, clock: Clock) -> None:
        self.cluster = LocalCluster(ClusterRecord(NAME, node_names(3)), clock)
        self.clock = clock
        self.progress = progress
        self._examples = examples
        self._built: Built | None = None
        self._timeline: list[tuple[str, float]] = []

    async def run(self) -> None:
        """All steps; the cluster is gone afterwards, also after a failure or Ctrl-C. Raises LocalClusterError."""
        check_machine(STATE_DIR.parent.parent)
        with claimed(self.cluster.folder):
            known = LocalCluster.open(NAME, self.clock)
            if known is not None and known.record.complete:
                raise LocalClusterError(f"a cluster {NAME!r} is there: `pybernetes down --name {NAME}` first")
            try:
                for step in _STEPS:
                    await step(self)
            finally:
                with self.progress.step("everything is taken away"):
                    await asyncio.shield(self.cluster.down())

    # -- the steps --------------------------------------------------------------------------------------------------

    async def machines(self) -> None:
        """Three machines on a switch, with an image registry."""
        self.progress.title("1. Three machines, a switch, a registry")
        await self.cluster.machines_up(self.progress)

    async def preparation(self) -> None:
        """What the notes do by hand, judged by kubeadm's preflight."""
        self.progress.title(
            "2. Each host prepared: container runtime, br_netfilter, ip_forward, bridge-nf-call-iptables"
        )
        for node in self.cluster.nodes.values():
            result = await node.exec(["kubeadm", "init", "phase", "preflight"])
            if result.code:
                raise LocalClusterError(f"preflight on {node.name}:\n{result.err or result.out}")
            self.progress.show(f"{node.name}: fit")

    async def init(self) -> None:
        """The control plane."""
        self.progress.title("3. kubeadm init on master")
        with self.progress.step("control plane up"):
            self._init = await self.cluster.init()
        self.progress.show(self._init.out)

    async def join(self) -> None:
        """The workers."""
        self.progress.title("4. kubeadm join on both workers, with the token above")
        command = join_command(self._init.out)
        for name in WORKERS:
            with self.progress.step(f"{name} joined (TLS bootstrap by CSR)"):
                await self.cluster.join(name, command)
        self.progress.show((await self.kubectl("get", "csr")).out)

    async def network(self) -> None:
        """NotReady without the pod network, Ready with it."""
        self.progress.title("5. Nodes are NotReady until the pod network is installed")
        before = await self.kubectl("get", "nodes")
        self.progress.show(before.out)
        if "NotReady" not in before.out:
            raise LocalClusterError("nodes were Ready without a pod network")
        with self.progress.step("pod network installed, all nodes Ready"):
            await self.cluster.install_network()
            await self.cluster.wait_ready(tuple(self.cluster.nodes))
        self.progress.show((await self.kubectl("get", "nodes", "-o", "wide")).out)

    async def image(self) -> None:
        """Build and push: the first of the four steps of an application."""
        self.progress.title(f"6. Image {IMAGE} built and pushed to the registry")
        folder = self._examples / "01-first-pod" / "image"
        with self.progress.step("pybernetes image build, push"):
            archive = self.cluster.folder / "http-go.tar"
            self._built = await asyncio.to_thread(build_image, folder, IMAGE, archive)
            digest = await self.cluster.push(self._built)
        self.progress.show(f"{self._built.reference} {digest}")

    async def first_pod(self) -> None:
        """The descriptor as YAML and as JSON; the answer from another node."""
        self.progress.title("7. kubectl apply -f pod.yaml: the scheduler, a kubelet, containerd, an answer")
        folder = self._examples / "01-first-pod"
        async with self.client() as client:
            timeline = Timeline(client, "http-go", self.clock)
            following = asyncio.create_task(timeline.follow(), name="timeline")
            began = self.clock.monotonic()
            self.progress.show((await self.kubectl("apply", "-f", "-", stdin=(folder / "pod.yaml").read_bytes())).out)
            pod = await self.ready_pod("http-go")
            following.cancel()
            await asyncio.wait([following])
        self._timeline = timeline.rows()
        answer = await self.fetch(self.other_worker(pod.spec.nodeName), f"http://{pod.status.podIP}:8080/")
        took = self.clock.monotonic() - began
        self.progress.show((await self.kubectl("get", "pods", "-o", "wide")).out)
        self.progress.show(
            f"GET http://{pod.status.podIP}:8080/ from another node -> {answer.strip()}  ({took:.1f} s after apply)"
        )
        self.check("the answer is the Pod's name", answer.strip().endswith(" http-go"))
        await self.check_runtime(pod)
        again = await self.kubectl("apply", "-f", "-", stdin=(folder / "pod.json").read_bytes())
        self.check("the same descriptor as JSON changes nothing", again.out.strip() == "pod/http-go unchanged")
        await self.kubectl("delete", "pod", "http-go", "--now")
        await self.kubectl("apply", "-f", "-", stdin=(folder / "pod.json").read_bytes())
        await self.ready_pod("http-go")

    async def check_runtime(self, pod: core_v1.Pod) -> None:
        """Compares what the API says with the registry and with containerd."""
        status = pod.status.containerStatuses[0]
        digest = self._built.digest if self._built else ""
        self.check("imageID has the registry's digest", status.imageID.endswith(digest))
        identity = status.containerID.removeprefix("containerd://")
        node = self.cluster.nodes[pod.spec.nodeName]
        tasks = (await node.exec(["ctr", "-n", "k8s.io", "tasks", "ls"])).check()
        self.check(
            "containerID is what containerd runs", any(identity in t and "RUNNING" in t for t in tasks.splitlines())
        )

    async def two_containers(self) -> None:
        """What containers of one Pod share, and what not."""
        self.progress.title("8. A Pod of two containers: shared host name, network and IPC; own files and processes")
        await self.kubectl("apply", "-f", "-", stdin=(self._examples / "02-two-containers" / "pod.yaml").read_bytes())
        await self.ready_pod("pair")
        web, side = [await self.inside("pair", name, _LOOK) for name in ("web", "side")]
        for shared in ("hostname", "net", "uts", "ipc"):
            self.check(f"same {shared}", web[shared] == side[shared])
        for own in ("pid", "mnt"):
            self.check(f"own {own} namespace", web[own] != side[own])
        answer = await self.kubectl(
            "exec", "pair", "-c", "side", "--", "wget", "-q", "-O", "-", "http://localhost:8080/"
        )
        self.check("side reaches web on localhost", answer.out.strip().endswith("pair"))
        clash = await self.kubectl(
            "exec", "pair", "-c", "side", "--", "timeout", "2", "httpd", "-f", "-p", "8080", check=False
        )
        self.check("a second listener on the port is refused", clash.code != 0 and "in use" in clash.err + clash.out)
        self.check("files are its own", web["www"] == "yes" and side["www"] == "no")

    async def replicas(self) -> None:
        """Replication, a Service, a power cut."""
        self.progress.title("9. A ReplicationController, a Deployment and its Service; a worker loses power")
        for name in ("rc.yaml", "deployment.yaml"):
            text = (self._examples / "03-replicas" / name).read_bytes()
            self.progress.show((await self.kubectl("apply", "-f", "-", stdin=text)).out)
        async with self.client() as client:
            await self.spread(client, WORKERS)
            self.progress.show((await self.kubectl("get", "rc,deploy,svc,pods", "-o", "wide")).out)
            service = await client.of(core_v1.Service).get("http-go", "default")
            address = service.spec.clusterIP
            await self.answers(address, "the Service answers by its ClusterIP from a Pod")
            kept = (await client.of(core_v1.Pod).get("pair", "default")).spec.nodeName
            lost = self.other_worker(kept)
            with self.progress.step(f"{lost} powered off: its Pods are replaced on {kept}"):
                await self.cluster.nodes[lost].power_off()
                await self.spread(client, (kept,), timeout=180)
            await self.answers(address, "the Service goes on answering")
            with self.progress.step(f"{lost} powered on again: it comes back"):
                await self.cluster.power_on(lost)
                await self.cluster.wait_ready((lost,))
        self.progress.show((await self.kubectl("get", "nodes")).out)

    async def end(self) -> None:
        """The first Pod's timeline."""
        self.progress.title("10. The first Pod's timeline")
        for name, milliseconds in self._timeline:
            self.progress.show(f"{name:<12}{milliseconds:>8.0f} ms")

    # -- what steps use ---------------------------------------------------------------------------------------------

    def check(self, claim: str, holds: bool) -> None:
        """Shows a claim that holds; ends the run where it does not."""
        if not holds:
            raise LocalClusterError(f"does not hold: {claim}")
        self.progress.show(f"- {claim}")

    async def kubectl(self, *words: str, stdin: bytes | None = None, check: bool = True) -> Result:
        """kubectl on the master, as its administrator."""
        environment = {"KUBECONFIG": "/etc/kubernetes/admin.conf"}
        result = await self.cluster.master.exec(["kubectl", *words], stdin=stdin, env=environment, timeout=120)
        if check and result.code:
            raise LocalClusterError(f"kubectl {' '.join(words)} failed: {result.err.strip() or result.out.strip()}")
        return result

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of the administrator."""
        async with self.cluster.client() as client:
            yield client

    async def ready_pod(self, name: str) -> core_v1.Pod:
        """Waits until the Pod is Ready."""
        async with self.client() as client:
            pods = await until(
                client,
                core_v1.Pod,
                lambda found: any(p.metadata.name == name and is_ready(p) for p in found),
                f"pod {name} Ready",
                namespace="default",
            )
        return next(pod for pod in pods if pod.metadata.name == name)

    def other_worker(self, name: str) -> str:
        """The worker that is not this one."""
        return next(worker for worker in WORKERS if worker != name)

    async def fetch(self, node: str, url: str) -> str:
        """A GET from a node's own network."""
        return (await self.cluster.nodes[node].exec([*_FETCH, url])).check()

    async def inside(self, pod: str, container: str, script: str) -> dict[str, str]:
        """What a script in a container prints, as `key=value` lines."""
        out = (await self.kubectl("exec", pod, "-c", container, "--", "sh", "-c", script)).out
        return dict(line.partition("=")[::2] for line in out.splitlines() if "=" in line)

    async def answers(self, address: str, claim: str) -> None:
        """Asks a Service several times from a Pod; every answer must come from a Pod of the Deployment."""
        script = f"for i in 1 2 3 4 5 6; do {_get(address, 80)}; done"
        out = (await self.kubectl("exec", "pair", "-c", "side", "--", "sh", "-c", script)).out.split("\n")
        names = [line.rpartition(" ")[2] for line in out if line]
        self.check(claim, len(names) == 6 and all(re.fullmatch(r"http-go-[a-z0-9]+-[a-z0-9]+", name) for name in names))

    async def spread(self, client: Client, nodes: Sequence[str], timeout: float = 90) -> None:
        """Waits until both workloads have three ready Pods, and all of these nodes (and no other) run some."""

        def holds(pods: Sequence[core_v1.Pod]) -> bool:
            for app in ("http-go", "http-go-rc"):
                ready = [p for p in pods if (p.metadata.labels or {}).get("app") == app and is_ready(p)]
                ready = [p for p in ready if not p.metadata.deletionTimestamp]
                if len(ready) < 3 or {p.spec.nodeName for p in ready} != set(nodes):
                    return False
            return True

        await until(
            client, core_v1.Pod, holds, f"six ready Pods on {', '.join(nodes)}", namespace="default", timeout=timeout
        )
        await until(
            client, apps_v1.Deployment, lambda found: any(d.status.readyReplicas == 3 for d in found), "Deployment ready",
            namespace="default",
        )  # fmt: skip


def _get(host: str, port: int) -> str:
    """A shell command that prints the body of GET /, or LOST (Debian's static busybox has a wget that breaks)."""
    return f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {host} {port} | tail -n 1 | grep . || echo LOST"


_LOOK = (
    'echo "hostname=$(hostname)"; for n in net uts ipc pid mnt; do echo "$n=$(readlink /proc/self/ns/$n)"; done; '
    "[ -d /www ] && echo www=yes || echo www=no"
)

_STEPS = (
    Demonstration.machines,
    Demonstration.preparation,
    Demonstration.init,
    Demonstration.join,
    Demonstration.network,
    Demonstration.image,
    Demonstration.first_pod,
    Demonstration.two_containers,
    Demonstration.replicas,
    Demonstration.end,
)


class Timeline:
    """When each step of a Pod's way was seen, in milliseconds from its creation; the API's own times have whole seconds."""

    def __init__(self, client: Client, name: str, clock: Clock) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._seen: dict[str, float] = {}

    def rows(self) -> list[tuple[str, float]]:
        """(step, milliseconds), in order of time."""
        began = self._seen.get("created", 0.0)
        return sorted(((step, (at - began) * 1000) for step, at in self._seen.items()), key=lambda row: row[1])

    async def follow(self) -> None:
        """Watches the Pod and its events until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pods(), name="timeline.pod")
            group.create_task(self._events(), name="timeline.events")

    def _note(self, step: str) -> None:
        self._seen.setdefault(step, self._clock.monotonic())

    async def _pods(self) -> None:
        pods = self._client.of(core_v1.Pod)
        only = f"metadata.name={self._name}"
        listing = await pods.list("default", fields=only)
        async for event in pods.watch(listing.revision, "default", fields=only):
            if event.object is None:
                continue
            self._note("created")
            if event.object.spec.nodeName:
                self._note("scheduled")
            if any(status.state and status.state.running for status in event.object.status.containerStatuses):
                self._note("running")
            if is_ready(event.object):
                self._note("ready")

    async def _events(self) -> None:
        events = self._client.of(core_v1.Event)
        only = f"involvedObject.name={self._name}"
        listing = await events.list("default", fields=only)
        async for event in events.watch(listing.revision, "default", fields=only):
            steps = {"Pulling": "pulling", "Pulled": "pulled", "Started": "started"}
            if event.object is not None and event.object.reason in steps:
                self._note(steps[event.object.reason])
