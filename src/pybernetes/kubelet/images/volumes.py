"""Images as volumes: pulled like those of containers, and viewed by the runtime. volumes/image.py mounts the views."""

import contextlib
from collections.abc import Callable, Iterable

from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import HostMount, RuntimeRefused, ViewRuntime
from pybernetes.kubelet.images.credentials import full_name
from pybernetes.kubelet.images.puller import Puller
from pybernetes.kubelet.images.references import ImageError, tagged


class ImageVolumes:
    """Of one node. `tell(pod, kind, reason, message)` makes an event."""

    def __init__(
        self,
        puller: Puller,
        runtime: ViewRuntime,
        tell: Callable[[core_v1.Pod, str, str, str], None],
        clock: Clock,
    ) -> None:
        self._puller = puller
        self._runtime = runtime
        self._tell = tell
        self._clock = clock

    async def pull(self, pod: core_v1.Pod, source: core_v1.ImageVolumeSource) -> str:
        """Makes the image present, as its pull policy wants it; its id. Raises ImageError, with its name."""
        asked = core_v1.Container(image=source.reference, imagePullPolicy=source.pullPolicy)
        try:
            return await self._puller.ensure(pod, asked, lambda *event: self._tell(pod, *event))
        except ImageError as error:
            raise ImageError(error.reason, error.message, source.reference, error.wait) from None

    async def view(self, image: str, key: str) -> HostMount:
        """Of an image that is here. Raises OSError."""
        try:
            return await self._runtime.view(image, key, rfc3339(self._clock.now()))
        except RuntimeRefused as refused:
            raise OSError(f"image {image}: {refused.message}") from None

    async def release(self, key: str) -> None:
        """Takes a view away that is mounted no more. Raises OSError."""
        try:
            await self._runtime.release(key)
        except RuntimeRefused as refused:
            raise OSError(f"view {key}: {refused.message}") from None


def mounted_images(pods: Iterable[core_v1.Pod]) -> Iterable[str]:
    """Full names of the images that Pods have as volumes."""
    for pod in pods:
        for volume in pod.spec.volumes:
            if volume.image is not None:
                with contextlib.suppress(ImageError):  # no name of an image: nothing is mounted
                    yield full_name(tagged(volume.image.reference))
