"""Pulls: policy, sharing, reasons, and who pulls."""

import asyncio
import base64
import json

import pytest
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import container, pod

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import Credentials, Image, RuntimeRefused
from pybernetes.kubelet.images.credentials import from_secrets, full_name
from pybernetes.kubelet.images.puller import ImageError, Puller, duration, policy_of, tagged


class Images:
    """An image store; pulling takes a second."""

    def __init__(self, *there: str, refuses: str = "") -> None:
        self.there = {name: Image(f"sha256:{name}", (name,), (), 1000) for name in there}
        self.pulled: list[tuple[str, Credentials | None]] = []
        self.refuses = refuses

    async def image(self, name: str) -> Image | None:
        return self.there.get(name.removeprefix("sha256:"))

    async def images(self) -> list[Image]:
        return list(self.there.values())

    async def pull(self, name: str, credentials: Credentials | None) -> str:
        self.pulled.append((name, credentials))
        await asyncio.sleep(1)
        if self.refuses:
            raise RuntimeRefused("NOT_FOUND", self.refuses)
        self.there[name] = Image(f"sha256:{name}", (name,), (), 1000)
        return f"sha256:{name}"


def ensure(images: Images, *wanted: core_v1.Container) -> tuple[list[str], list[tuple[str, str, str]]]:
    told: list[tuple[str, str, str]] = []

    async def main() -> list[str]:
        puller = Puller(images, FakeSources(), SimulatedClock(asyncio.get_running_loop()))
        return await asyncio.gather(*(puller.ensure(pod(), c, lambda *e: told.append(e)) for c in wanted))

    return run_simulated(main()), told


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("host:5000/web", "Always"),
        ("web@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_the_tag_decides_on_the_policy(image: str, policy: str) -> None:
    assert policy_of(container(image=image)) == policy


def test_an_image_that_is_there_is_not_pulled() -> None:
    images = Images("busybox:1")
    found, told = ensure(images, container())
    assert found == ["sha256:busybox:1"]
    assert images.pulled == []
    assert told == [
        ("Normal", "Pulled", 'Container image "busybox:1" already present on machine and can be accessed by the pod')
    ]


def test_always_asks_the_registry_every_time() -> None:
    images = Images("busybox:latest")
    _, told = ensure(images, container(image="busybox"))
    assert images.pulled == [("busybox:latest", None)]
    assert told == [
        ("Normal", "Pulling", 'Pulling image "busybox"'),
        (
            "Normal",
            "Pulled",
            'Successfully pulled image "busybox" in 1s (1s including waiting). Image size: 1000 bytes.',
        ),
    ]


def test_one_pull_serves_all_who_wait() -> None:
    images = Images()
    found, _ = ensure(images, container("a"), container("b"))
    assert len(images.pulled) == 1
    assert found == ["sha256:busybox:1"] * 2


def test_never_does_not_pull() -> None:
    with pytest.raises(ImageError) as caught:
        ensure(Images(), container(imagePullPolicy="Never"))
    assert caught.value.reason == "ErrImageNeverPull"


def test_a_refusal_is_told_with_its_reason() -> None:
    with pytest.raises(ImageError) as caught:
        ensure(Images(refuses="no such image"), container())
    assert caught.value.reason == "ErrImagePull"
    assert caught.value.message == "rpc error: code = NotFound desc = no such image"


@pytest.mark.parametrize("image", ["Web", "we b", "", "web:", "web::1", "/web"])
def test_a_wrong_name_is_not_tried(image: str) -> None:
    with pytest.raises(ImageError, match="invalid reference format"):
        tagged(image)


def test_names_get_their_tag() -> None:
    assert tagged("web") == "web:latest"
    assert tagged("localhost:5000/a/b") == "localhost:5000/a/b:latest"
    assert tagged("web:1") == "web:1"


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0s"), (0.085, "85ms"), (1.5, "1.5s"), (62.25, "1m2.25s")])
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def secret(auths: dict[str, object]) -> core_v1.Secret:
    document = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    return core_v1.Secret(data={".dockerconfigjson": document})


def test_credentials_match_registry_and_path() -> None:
    auth = base64.b64encode(b"me:secret").decode()
    known = secret(
        {"example.com/team": {"auth": auth}, "https://index.docker.io/v1/": {"username": "hub", "password": "p"}}
    )
    assert [c.username for c in from_secrets([known], "example.com/team/app:1")] == ["me"]
    assert from_secrets([known], "example.com/teams/app:1") == []
    assert [c.username for c in from_secrets([known], "busybox:1")] == ["hub"]
    assert from_secrets([core_v1.Secret(data={".dockerconfigjson": "bm90IGpzb24="})], "busybox") == []


def test_short_names_are_those_of_the_hub() -> None:
    assert full_name("web") == "docker.io/library/web"
    assert full_name("me/web") == "docker.io/me/web"
    assert full_name("host.example/web") == "host.example/web"
