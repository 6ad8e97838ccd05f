"""Makes images present: pull policy, one shared pull an image, back-off, and the reasons that `kubectl get pods` shows.

A failure carries its reason, and the seconds after which it is worth trying again; the Pod machine's decide() then is asked.
"""

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Credentials, Image, ImageRuntime, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.images.back_off import BackOffs
from pybernetes.kubelet.images.credentials import Login, docker_folders, from_node, from_secrets
from pybernetes.kubelet.images.pace import Pace
from pybernetes.kubelet.images.plugins import Plugins, Providers
from pybernetes.kubelet.images.records import PRELOADED, PullRecords
from pybernetes.kubelet.images.references import BACK_OFF, ERR_PULL, NEVER, ImageError, policy_of, tagged
from pybernetes.kubelet.metrics import PULL_SECONDS, size_of
from pybernetes.kubelet.sources import Sources
from pybernetes.rules.durations import text_of

log = logging.getLogger(__name__)

Tell: TypeAlias = Callable[[Literal["Normal", "Warning"], str, str], None]
"""Records an event about the container: type, reason, message."""


class PullRules(Struct, frozen=True):
    """What the configuration says of pulls."""

    root: Path
    """The kubelet's folder: records of pulls and the node's credentials are below it."""
    parallel: int | None = None
    rate: float = 0.0
    burst: int = 1
    verification: str = PRELOADED
    allowlist: tuple[str, ...] = ()
    providers: Providers | None = None


class Puller:
    """The images of one node."""

    def __init__(
        self,
        runtime: ImageRuntime,
        sources: Sources,
        clock: Clock,
        rules: PullRules,
        blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._blocking = blocking
        self._runtime = runtime
        self._sources = sources
        self._clock = clock
        self._shared: dict[tuple[str, Credentials | None], asyncio.Task[tuple[str, float]]] = {}
        self._turns: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        """Of containers of one Pod that want the same image: a second pull, or its failure, is the first one's."""
        self._back_offs = BackOffs(clock)
        self._pace = Pace(clock, rules.parallel, rules.rate, rules.burst)
        self.records = PullRecords(rules.root / "image_manager", rules.verification, rules.allowlist)
        self._folders = docker_folders(rules.root)
        self._plugins = Plugins(rules.providers, clock) if rules.providers is not None else None

    async def ensure(self, pod: core_v1.Pod, container: core_v1.Container, tell: Tell) -> str:
        """The id of the image to run. Raises ImageError, RuntimeUnavailable."""
        try:
            image = tagged(container.image)
        except ImageError as error:
            tell("Warning", "InspectFailed", error.message)
            tell("Warning", "Failed", f"Error: {error.reason}")
            raise
        place = (pod.metadata.uid, image)
        async with self._turns.setdefault(place, asyncio.Lock()):
            return await self._ensure(pod, container, image, tell)

    async def _ensure(self, pod: core_v1.Pod, container: core_v1.Container, image: str, tell: Tell) -> str:
        policy = policy_of(container)
        logins: Sequence[Login] | None = None
        if policy != "Always":
            there = await self._runtime.image(image)
            if there is not None:
                logins = await self._lent(pod, image, there.id, tell)
                if logins is None:
                    said = "already present on machine and can be accessed by the pod"
                    tell("Normal", "Pulled", f'Container image "{container.image}" {said}')
                    return there.id
            if policy == "Never":
                said = "is not present with pull policy of Never"
                if there is not None:
                    said = "is present with pull policy of Never but does not have the proper credentials to access the image"
                message = f'Container image "{container.image}" {said}'
                tell("Warning", NEVER, message)
                tell("Warning", "Failed", f"Error: {NEVER}")
                raise ImageError(NEVER, message)
        held = self._back_offs.waiting(pod.metadata.uid, image)
        if held is not None:
            message = f'Back-off pulling image "{container.image}": {ERR_PULL}: {held.why}'
            raise ImageError(BACK_OFF, message, wait=held.seconds)
        logins = await self._logins(pod, image, tell) if logins is None else logins
        try:
            return await self._pull(container, image, logins, tell)
        except RuntimeRefused as refused:
            tell("Warning", "Failed", f'Failed to pull image "{container.image}": {refused.rpc}')
            tell("Warning", "Failed", f"Error: {ERR_PULL}")
            wait = self._back_offs.failed(pod.metadata.uid, image, refused.rpc)
            raise ImageError(ERR_PULL, refused.rpc, wait=wait) from None

    async def _lent(self, pod: core_v1.Pod, image: str, ref: str, tell: Tell) -> Sequence[Login] | None:
        """None where the Pod may have an image that is here; else the logins with which the registry must be asked."""
        if not await self._blocking(self.records.needs_pull, image, ref, ()):
            return None
        logins = await self._logins(pod, image, tell)
        origins = [login.origin for login in logins if login.origin is not None]
        needs = await self._blocking(self.records.needs_pull, image, ref, origins)
        return logins if needs else None

    async def _pull(self, container: core_v1.Container, image: str, logins: Sequence[Login], tell: Tell) -> str:
        """Raises RuntimeRefused."""
        tell("Normal", "Pulling", f'Pulling image "{container.image}"')
        asked = self._clock.monotonic()
        ref, took = await self._any(image, logins)
        there = await self._runtime.image(ref)
        size = there.size if there is not None else 0
        waited = self._clock.monotonic() - asked
        alone = min(took, waited)  # less for whom joined another's pull
        PULL_SECONDS.observe(alone, size_of(size))
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{container.image}" in {shown_duration(alone)} ({shown_duration(waited)} including waiting).'
            f" Image size: {size} bytes.",
        )
        return ref

    async def _any(self, image: str, logins: Sequence[Login]) -> tuple[str, float]:
        """Tries each until one may pull: the image, and how long that pull took. Raises the last RuntimeRefused."""
        tried: Sequence[Login | None] = logins or (None,)
        for login in tried[:-1]:
            try:
                return await self._once(image, login)
            except RuntimeRefused:
                continue
        return await self._once(image, tried[-1])

    async def _once(self, image: str, login: Login | None) -> tuple[str, float]:
        """One pull for all who want the same image at the same time; it goes on while any of them waits."""
        who = login.credentials if login is not None else None
        key = (image, who)
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.create_task(self._paced(image, who), name=f"pull {image}")
            task.add_done_callback(lambda _: self._shared.pop(key, None))
        ref, took = await asyncio.shield(task)
        origin = login.origin if login is not None else None
        await self._blocking(self.records.pulled, image, ref, origin, rfc3339(self._clock.now()))
        return ref, took

    async def _paced(self, image: str, who: Credentials | None) -> tuple[str, float]:
        async with self._pace.place():
            began = self._clock.monotonic()
            await self._blocking(self.records.begin, image)
            try:
                return await self._runtime.pull(image, who), self._clock.monotonic() - began
            finally:
                await self._blocking(self.records.end, image)

    async def _logins(self, pod: core_v1.Pod, image: str, tell: Tell) -> Sequence[Login]:
        """Of the Pod's secrets, then of the node. A secret that cannot be read is no error: the image may be public."""
        found, missing = [], []
        for ref in pod.spec.imagePullSecrets:
            try:
                found.append(await self._sources.secret(pod.metadata.namespace, ref.name))
            except (ApiError, OSError) as error:
                log.warning("no image pull secret pod=%s secret=%s error=%s", pod.metadata.name, ref.name, error)
                missing.append(ref.name)
        if missing:
            names = ", ".join(missing)
            message = (
                f"Unable to retrieve some image pull secrets ({names}); attempting to pull the image may not succeed."
            )
            tell("Warning", "FailedToRetrieveImagePullSecret", message)
        of_node: Sequence[Login] = await self._blocking(from_node, self._folders, image)
        of_plugins = await self._plugins.logins(image) if self._plugins is not None else ()
        return [*from_secrets(found, image), *of_node, *of_plugins]

    async def close(self) -> None:
        """Ends pulls that are under way."""
        tasks = list(self._shared.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def inspect(self, image: str) -> Image | None:
        """What the runtime knows of an image."""
        try:
            return await self._runtime.image(image)
        except (RuntimeRefused, RuntimeUnavailable):
            return None


def shown_duration(seconds: float) -> str:
    """In whole milliseconds, as events have it: `1.234s`, `85ms`, `2m3s`."""
    return text_of(round(seconds, 3))
