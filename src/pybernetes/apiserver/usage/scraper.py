"""Scraper: reads the kubelets' figures every 15 seconds while somebody asks for them. figures.py makes rates of them.

Nobody asks for most of a cluster's life: then no kubelet is bothered. Whoever asks first after that waits for two
readings, which are a few seconds apart.
"""

import asyncio
import logging
from collections.abc import Mapping
from sys import intern

from msgspec import Struct

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Object
from pybernetes.apiserver.connect import NODES, PODS
from pybernetes.apiserver.registry import Registry
from pybernetes.apiserver.usage.figures import NODE, History, Owner, Rate, parse
from pybernetes.wire.http import Request, read_body

log = logging.getLogger(__name__)

INTERVAL = 15.0
KEEP = 300.0
"""So long after the last question kubelets are still read."""
SECOND = 3.0
"""Seconds from the first reading to the second: kubelets read their machine anew every two."""
PATIENCE = 6.0
TIMEOUT = 10.0
TOGETHER = 32
"""Kubelets that are read at once."""
_NONE: Mapping[str, str] = {}


class Known(Struct, frozen=True, gc=False):
    """Of a Pod, what answers need."""

    node: str
    running: bool
    labels: Mapping[str, str]


class Scraper:
    """The figures of a cluster's nodes and Pods. run() until cancelled; `asked` before each answer."""

    def __init__(self, registry: Registry) -> None:
        self.nodes: dict[str, Object] = {}
        self.pods: dict[Owner, Known] = {}
        self._registry = registry
        self._clock = registry.clock
        self._histories: dict[str, History] = {}
        self._silent: set[str] = set()
        self._rounds = 0
        self._asked = 0.0
        self._wanted = asyncio.Event()
        self._useful = asyncio.Event()
        registry.subscribe(NODES, self._node_changed)
        registry.subscribe(PODS, self._pod_changed, glance=True)

    def _node_changed(self, kind: str, node: Object) -> None:
        name = node["metadata"]["name"]
        if kind == "DELETED":
            self.nodes.pop(name, None)
            self._histories.pop(name, None)
        else:
            self.nodes[name] = node

    def _pod_changed(self, kind: str, pod: Object) -> None:
        metadata = pod["metadata"]
        owner = (intern(metadata["namespace"]), metadata["name"])
        if kind == "DELETED":
            self.pods.pop(owner, None)
            return
        running = (pod.get("status") or {}).get("phase") == "Running"
        node = intern((pod.get("spec") or {}).get("nodeName") or "")
        self.pods[owner] = Known(node, running, metadata.get("labels") or _NONE)

    async def asked(self) -> None:
        """Somebody wants figures: they are read from now on. Waits for the first ones, for PATIENCE at most."""
        self._asked = self._clock.monotonic()
        self._wanted.set()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._useful.wait()
        except TimeoutError:
            log.info("no kubelet has told twice what it uses")

    def of_node(self, name: str) -> Rate | None:
        """What a node uses; None while nothing is known."""
        history = self._histories.get(name)
        return None if history is None else history.rates(NODE, INTERVAL).get("")

    def of_pod(self, owner: Owner) -> Mapping[str, Rate]:
        """What the containers of a running Pod use; empty while nothing is known."""
        pod = self.pods.get(owner)
        history = self._histories.get(pod.node) if pod is not None and pod.running else None
        return {} if history is None else history.rates(owner, INTERVAL)

    async def run(self) -> None:
        """Reads, while somebody asks."""
        while True:
            await self._wanted.wait()
            while self._clock.monotonic() - self._asked < KEEP:
                answered = await self._round()
                self._rounds += 1
                if self._rounds > 1 or not answered:
                    self._useful.set()
                await self._clock.sleep(SECOND if self._rounds == 1 and answered else INTERVAL)
            self._wanted.clear()
            self._useful.clear()
            self._histories.clear()
            self._rounds = 0

    async def _round(self) -> bool:
        """Every kubelet once; whether one has answered."""
        slots = asyncio.Semaphore(TOGETHER)
        answers: list[bool] = []

        async def read(name: str, node: Object) -> None:
            async with slots:
                answers.append(await self._read(name, node))

        async with asyncio.TaskGroup() as group:
            for name, node in list(self.nodes.items()):
                group.create_task(read(name, node), name=f"apiserver.usage {name}")
        return any(answers)

    async def _read(self, name: str, node: Object) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT):
                response = await self._registry.kubelets.transport(node)(Request("GET", "/metrics/resource"))
                body = await read_body(response)
            if response.status != 200:
                raise ValueError(f"{response.status} {body[:200].decode(errors='replace')}")
            sample = parse(body.decode())
        except (ApiError, OSError, ValueError) as error:  # a timeout is an OSError
            if name not in self._silent:
                log.info("a kubelet does not tell what it uses node=%s error=%s", name, error)
                self._silent.add(name)
            self._histories.pop(name, None)
            return False
        self._silent.discard(name)
        if name in self.nodes:
            self._histories.setdefault(name, History()).take(sample)
        return True
