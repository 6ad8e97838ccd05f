"""Static Pods: follows a folder and a URL and keeps the table of Pods at what they say. Needs no API server.

A changed manifest ends the old Pod and, when nothing is left of it, starts the new one. manifests.py reads; mirrors.py
shows the Pods in the API.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from pybernetes.aio.clock import Clock, rfc3339, rfc3339_nano
from pybernetes.api.types import core_v1
from pybernetes.client.guard import Guard
from pybernetes.kernel.inotify import FolderWatch
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import PodRef, Runtime, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.manifests import Folder, ManifestError, PodRules, Reader
from pybernetes.kubelet.pod_machine import pod_grace
from pybernetes.kubelet.pods import Pods
from pybernetes.wire.http import Headers, Request, read_body
from pybernetes.wire.tls import client_context

log = logging.getLogger(__name__)

_SETTLE = 0.02
"""Seconds after a change until the folder is read: whoever writes a file tells of it several times."""
_RUNTIME_RETRY = 1.0
Name = tuple[str, str]
"""Namespace and name."""


class StaticPods:
    """The static Pods of one node. run() until cancelled; `complete` is set once all sources have been read."""

    def __init__(self, table: Pods, runtime: Runtime, config: Configuration, reader: Reader, clock: Clock) -> None:
        self.reader = reader
        """To be set before run()."""
        self.complete = asyncio.Event()
        self.changed: list[Callable[[Name], None]] = []
        """Told of each name that has got a Pod, or another one, or none."""
        self._table = table
        self._runtime = runtime
        self._config = config
        self._clock = clock
        self._said: dict[str, Sequence[core_v1.Pod]] = {}
        self._wanted: dict[Name, core_v1.Pod] = {}
        self._pods: dict[Name, core_v1.Pod] = {}
        """What the table has: a Pod that is ending too, until nothing is left of it."""
        self._old: dict[Name, set[str]] = {}
        """Uids of what earlier manifests left in the runtime while no kubelet ran."""
        table.gone.append(self._gone)

    def get(self, name: Name) -> core_v1.Pod | None:
        """The Pod of that name, unless it is ending."""
        pod = self._pods.get(name)
        return pod if pod is not None and pod.metadata.deletionTimestamp is None else None

    def ending(self, name: Name) -> core_v1.Pod | None:
        """The Pod of that name that is ending."""
        pod = self._pods.get(name)
        return pod if pod is not None and pod.metadata.deletionTimestamp is not None else None

    def by_uid(self, uid: str) -> core_v1.Pod | None:
        """The Pod with that uid, ending or not."""
        return next((pod for pod in self._pods.values() if pod.metadata.uid == uid), None)

    def ended(self, uid: str) -> None:
        """Nothing of an ending Pod runs any more."""
        pod = self.by_uid(uid)
        if pod is not None:
            self._table.changed(pod, None)

    async def run(self) -> None:
        """Follows the sources."""
        await self._look_back()
        config = self._config
        async with asyncio.TaskGroup() as group:
            first = []
            if config.static_pod_path:
                first.append(asyncio.Event())
                group.create_task(self._follow_folder(Path(config.static_pod_path), first[-1]), name="static.folder")
            if config.static_pod_url:
                first.append(asyncio.Event())
                group.create_task(self._follow_url(config.static_pod_url, first[-1]), name="static.url")
            for event in first:
                await event.wait()
            self.complete.set()

    async def _look_back(self) -> None:
        """What the runtime has of each name: a manifest may have changed while no kubelet ran."""
        while True:
            try:
                for sandbox in await self._runtime.sandboxes():
                    self._old.setdefault((sandbox.pod.namespace, sandbox.pod.name), set()).add(sandbox.pod.uid)
                return
            except (RuntimeUnavailable, RuntimeRefused) as error:
                log.warning("cannot list Pods of the runtime error=%s", error)
                await self._clock.sleep(_RUNTIME_RETRY)

    # -- sources -------------------------------------------------------------------------------------------------------

    async def _follow_folder(self, path: Path, first: asyncio.Event) -> None:
        folder = Folder(path, self.reader)
        watch: FolderWatch | None = None
        try:
            while True:
                watch = watch or _watch(path)
                if watch is not None:
                    watch.changed.clear()
                with Guard("static Pods of a folder"):
                    try:
                        self.take("file", await asyncio.to_thread(folder.scan))
                    except FileNotFoundError:
                        self.take("file", ())  # as upstream: a folder that is missing has no Pods, and may come
                    except OSError as error:
                        log.error("cannot read static Pods folder=%s error=%s", path, error)
                first.set()
                await self._wait(watch)
                if watch is not None and watch.gone:
                    watch.close()
                    watch = None
        finally:
            if watch is not None:
                watch.close()

    async def _wait(self, watch: FolderWatch | None) -> None:
        """Until the folder changes, or it is time to read it anyway."""
        seconds = self._config.file_check_frequency
        if watch is None:
            await self._clock.sleep(seconds)
            return
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        change = asyncio.ensure_future(watch.changed.wait())
        try:
            await asyncio.wait({sleep, change}, return_when=asyncio.FIRST_COMPLETED)
            if change.done():
                await self._clock.sleep(_SETTLE)
        finally:
            sleep.cancel()
            change.cancel()

    async def _follow_url(self, url: str, first: asyncio.Event) -> None:
        before: bytes | None = None
        while True:
            with Guard("static Pods of a URL"):
                try:
                    data = await fetch(url, self._config.static_pod_url_header)
                    if data != before:
                        self.take("http", self.reader.answer(url, data))
                        before = data
                except (ManifestError, OSError) as error:
                    log.error("cannot read static Pods url=%s error=%s", url, error)
            first.set()
            await self._clock.sleep(self._config.http_check_frequency)

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def take(self, source: str, pods: Sequence[core_v1.Pod]) -> None:
        """A source says which Pods it has. Of two with one name the first counts."""
        self._said[source] = pods
        wanted: dict[Name, core_v1.Pod] = {}
        for pod in (pod for said in self._said.values() for pod in said):
            name = name_of(pod)
            if name in wanted:
                log.error("a static Pod of that name is there already, ignored namespace=%s name=%s", *name)
            else:
                wanted[name] = pod
        self._wanted = wanted
        for name in {*self._pods, *wanted}:
            self._settle(name)

    def _settle(self, name: Name) -> None:
        """Brings the table closer to what is wanted of a name; called again when something of it has gone."""
        wanted, there = self._wanted.get(name), self._pods.get(name)
        if there is None:
            if wanted is not None and not self._lingers(wanted):
                log.info("static Pod namespace=%s name=%s uid=%s", *name, wanted.metadata.uid)
                self._pods[name] = wanted
                self._table.changed(None, wanted)
        elif there.metadata.deletionTimestamp is None and (wanted is None or wanted.metadata.uid != there.metadata.uid):
            log.info("static Pod ends namespace=%s name=%s uid=%s", *name, there.metadata.uid)
            grace = int(pod_grace(there))
            now = rfc3339(self._clock.now())
            meta = replace(there.metadata, deletionTimestamp=now, deletionGracePeriodSeconds=grace)
            self._pods[name] = replace(there, metadata=meta)
            self._table.changed(there, self._pods[name])
        else:
            return
        for listener in self.changed:
            listener(name)

    def _lingers(self, pod: core_v1.Pod) -> bool:
        """Whether an earlier Pod of the name has not gone yet; what no manifest stands for any more is ended here."""
        name = name_of(pod)
        old = {uid for uid in self._old.get(name, ()) if uid != pod.metadata.uid}
        if not old:
            return False
        self._old[name] = old
        for uid in old:
            self._table.orphan(PodRef(*name, uid))
        return True

    def _gone(self, uid: str) -> None:
        """Nothing is left of a Pod: its successor may start."""
        for name, old in list(self._old.items()):
            if uid in old:
                old.discard(uid)
                self._settle(name)
        for name, pod in list(self._pods.items()):
            if pod.metadata.uid == uid and pod.metadata.deletionTimestamp is not None:
                del self._pods[name]
                self._settle(name)
                for listener in self.changed:
                    listener(name)


def name_of(pod: core_v1.Pod) -> Name:
    """Namespace and name: what a static Pod shares with its mirror."""
    return pod.metadata.namespace, pod.metadata.name


def reader_of(node: str, rules: PodRules, clock: Clock) -> Reader:
    """A Reader for this node."""
    return Reader(node, rules, lambda: rfc3339_nano(clock.now()))


async def fetch(url: str, headers: Mapping[str, Sequence[str]]) -> bytes:
    """The body that a server answers with. Raises ManifestError, OSError."""
    from pybernetes.wire.client import HttpClient  # only where a URL is configured

    parts = urlsplit(url)
    try:
        tls = client_context() if parts.scheme == "https" else None
        client = HttpClient(f"{parts.scheme}://{parts.netloc}", ssl=tls, timeout=10.0)
    except ValueError as error:
        raise ManifestError(str(error)) from None
    try:
        sent = Headers([(name, value) for name, values in headers.items() for value in values])
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        answer = await client(Request("GET", target, sent))
        body = await read_body(answer)
        if answer.status != 200:
            raise ManifestError(f"the server answered {answer.status}")
        if not body:
            raise ManifestError("zero-length data")
        return body
    finally:
        await client.aclose()


def _watch(path: Path) -> FolderWatch | None:
    """None where the kernel does not tell of changes: the folder is then read every fileCheckFrequency."""
    try:
        return FolderWatch(path)
    except OSError:
        return None
