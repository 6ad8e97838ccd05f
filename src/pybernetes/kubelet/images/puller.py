"""Makes images present: pull policy, one shared pull an image, and the reasons that `kubectl get pods` shows.

Back-off between tries is the Pod machine's: a failure here carries its reason, and decide() is asked again later.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import NotFound
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Credentials, Image, ImageRuntime, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.images.credentials import from_secrets
from pybernetes.kubelet.sources import Sources

log = logging.getLogger(__name__)

ERR_PULL, BACK_OFF, NEVER, INVALID = "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"
Tell: TypeAlias = Callable[[Literal["Normal", "Warning"], str, str], None]
"""Records an event about the container: type, reason, message."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:\[[a-fA-F0-9:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::[\w][\w.-]{{0,127}})?(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{{32,}})?"
)


class ImageError(Exception):
    """An image that cannot be used now. `reason` is that of the waiting container."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def policy_of(container: core_v1.Container) -> str:
    """imagePullPolicy, or upstream's default for the tag."""
    if container.imagePullPolicy:
        return container.imagePullPolicy
    if "@" in container.image:
        return "IfNotPresent"
    tag = container.image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def tagged(image: str) -> str:
    """With its tag: `web` is `web:latest`. Raises ImageError for what is no image reference."""
    if not _REFERENCE.fullmatch(image):
        raise ImageError(
            INVALID,
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            "invalid reference format",
        )
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"


class Puller:
    """The images of one node."""

    def __init__(self, runtime: ImageRuntime, sources: Sources, clock: Clock, *, parallel: int | None = None) -> None:
        self._runtime = runtime
        self._sources = sources
        self._clock = clock
        self._shared: dict[tuple[str, Credentials | None], asyncio.Task[str]] = {}
        self._limit = asyncio.Semaphore(parallel) if parallel else None

    async def ensure(self, pod: core_v1.Pod, container: core_v1.Container, tell: Tell) -> str:
        """The id of the image to run. Raises ImageError, RuntimeUnavailable."""
        try:
            image = tagged(container.image)
        except ImageError as error:
            tell("Warning", "InspectFailed", error.message)
            tell("Warning", "Failed", f"Error: {error.reason}")
            raise
        policy = policy_of(container)
        if policy != "Always":
            there = await self._runtime.image(image)
            if there is not None:
                tell(
                    "Normal",
                    "Pulled",
                    f'Container image "{container.image}" already present on machine and can be accessed by the pod',
                )
                return there.id
            if policy == "Never":
                message = f'Container image "{container.image}" is not present with pull policy of Never'
                tell("Warning", NEVER, message)
                tell("Warning", "Failed", f"Error: {NEVER}")
                raise ImageError(NEVER, message)
        return await self._pull(pod, container, image, tell)

    async def _pull(self, pod: core_v1.Pod, container: core_v1.Container, image: str, tell: Tell) -> str:
        tell("Normal", "Pulling", f'Pulling image "{container.image}"')
        asked = self._clock.monotonic()
        credentials = from_secrets(await self._secrets(pod), image)
        try:
            ref = await self._any(image, credentials or [None])
        except RuntimeRefused as refused:
            tell("Warning", "Failed", f'Failed to pull image "{container.image}": {refused.rpc}')
            tell("Warning", "Failed", f"Error: {ERR_PULL}")
            raise ImageError(ERR_PULL, refused.rpc) from None
        took = self._clock.monotonic() - asked
        there = await self._runtime.image(ref)
        size = there.size if there is not None else 0
        shown = duration(took)
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{container.image}" in {shown} ({shown} including waiting).'
            f" Image size: {size} bytes.",
        )
        return ref

    async def _any(self, image: str, credentials: Sequence[Credentials | None]) -> str:
        """Tries each until one may pull. Raises RuntimeRefused with the last refusal."""
        for who in credentials[:-1]:
            try:
                return await self._once(image, who)
            except RuntimeRefused:
                continue
        return await self._once(image, credentials[-1])

    async def _once(self, image: str, who: Credentials | None) -> str:
        """One pull for all who want the same image at the same time; it goes on while any of them waits."""
        key = (image, who)
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.create_task(self._bounded(image, who), name=f"pull {image}")
            task.add_done_callback(lambda _: self._shared.pop(key, None))
        return await asyncio.shield(task)

    async def _bounded(self, image: str, who: Credentials | None) -> str:
        if self._limit is None:
            return await self._runtime.pull(image, who)
        async with self._limit:
            return await self._runtime.pull(image, who)

    async def _secrets(self, pod: core_v1.Pod) -> list[core_v1.Secret]:
        """Secrets that are missing are no error: the image may be public."""
        found = []
        for ref in pod.spec.imagePullSecrets:
            try:
                found.append(await self._sources.secret(pod.metadata.namespace, ref.name))
            except NotFound:
                log.warning("image pull secret is missing pod=%s secret=%s", pod.metadata.name, ref.name)
        return found

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


def duration(seconds: float) -> str:
    """As Go prints a duration of whole milliseconds: `1.234s`, `85ms`, `2m3s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds else "0s"
    minutes, rest = divmod(round(seconds, 3), 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
