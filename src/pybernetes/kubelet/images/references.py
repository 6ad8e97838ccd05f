"""What a container's image is called, when it is pulled, and what is said where it cannot be had. Pure; puller.py pulls."""

import re

from pybernetes.api.types import core_v1

ERR_PULL, BACK_OFF, NEVER, INVALID = "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"
"""Reasons of a container that waits for its image."""
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:\[[a-fA-F0-9:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::[\w][\w.-]{{0,127}})?(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{{32,}})?"
)


class ImageError(Exception):
    """An image that cannot be used now. `reason` is that of the waiting container; `image` where it is not its own;
    `wait`: seconds until the next pull, of those that are held up."""

    def __init__(self, reason: str, message: str, image: str = "", wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait
        self.reason = reason
        self.message = message
        self.image = image


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
        why = f"invalid reference format{_in_capitals(image)}"
        raise ImageError(
            INVALID, f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'
        )
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"


def _in_capitals(image: str) -> str:
    """What is to be said of a name with capital letters; a host may have them."""
    host, slash, rest = image.partition("/")
    named = slash and ("." in host or ":" in host or host == "localhost" or host != host.lower())
    name = (rest if named else image if slash else f"library/{image}").partition(":")[0]
    return f": repository name ({name}) must be lowercase" if name != name.lower() else ""
