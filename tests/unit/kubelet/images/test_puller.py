"""Pulls: policy, sharing, reasons, and who pulls."""

import asyncio
import base64
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.kubelet.fakes import FakeSources, at_once
from tests.unit.kubelet.pods import container, pod

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cri.model import Credentials, Image, RuntimeRefused
from pybernetes.kubelet.images.credentials import from_secrets, full_name
from pybernetes.kubelet.images.puller import Puller, PullRules, shown_duration
from pybernetes.kubelet.images.records import ALLOWLISTED, ALWAYS, NEVER, PRELOADED, Origin, PullRecords, bare
from pybernetes.kubelet.images.references import ImageError, policy_of, tagged


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


def another() -> core_v1.Pod:
    """Not the Pod of the others."""
    return replace(pod(), metadata=replace(pod().metadata, uid="another"))


def ensure(
    images: Images,
    *wanted: core_v1.Container,
    sources: FakeSources | None = None,
    rules: PullRules | None = None,
    secrets: tuple[str, ...] = (),
) -> tuple[list[str], list[tuple[str, str, str]]]:
    told: list[tuple[str, str, str]] = []
    refs = tuple(core_v1.LocalObjectReference(name=name) for name in secrets)

    async def main(root: Path) -> list[str]:
        clock = SimulatedClock(asyncio.get_running_loop())
        puller = Puller(images, sources or FakeSources(), clock, rules or PullRules(root), at_once)
        of = pod(imagePullSecrets=refs)
        return await asyncio.gather(*(puller.ensure(of, c, lambda *e: told.append(e)) for c in wanted))

    with tempfile.TemporaryDirectory() as root:
        return run_simulated(main(Path(root))), told


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


def test_pulls_are_counted_by_the_size_of_the_image() -> None:
    sizes = {0: "0-10MB", 1000: "0-10MB", 10 << 20: "10MB-100MB", 1 << 30: "1GB-5GB", 1 << 40: "GT100GB"}
    assert {size: metrics.size_of(size) for size in sizes} == sizes
    found = metrics.PULL_SECONDS.values.get(("0-10MB",))
    before = sum(found.counts) if found is not None else 0
    ensure(Images("busybox:latest"), container(image="busybox"))
    assert sum(metrics.PULL_SECONDS.values["0-10MB",].counts) == before + 1


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


def test_who_joins_a_pull_has_waited_no_shorter_than_pulled() -> None:
    async def main(root: Path) -> list[str]:
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        told: list[str] = []
        puller = Puller(Images(), FakeSources(), clock, PullRules(root), at_once)

        async def late() -> None:
            await clock.sleep(0.4)
            await puller.ensure(another(), container(image="web"), lambda *said: told.append(said[2]))

        await asyncio.gather(puller.ensure(pod(), container(image="web"), lambda *_: None), late())
        return told

    with tempfile.TemporaryDirectory() as folder:
        told = run_simulated(main(Path(folder)))
    assert 'Successfully pulled image "web" in 600ms (600ms including waiting). Image size: 1000 bytes.' in told


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


@pytest.mark.parametrize(
    ("image", "name"), [("Web:1", "library/Web"), ("foo/BAR:1", "foo/BAR"), ("localhost:5000/a/B", "a/B"), ("a//b", "")]
)
def test_a_name_in_capitals_is_said_to_be_one(image: str, name: str) -> None:
    with pytest.raises(ImageError) as caught:
        tagged(image)
    more = f": repository name ({name}) must be lowercase" if name else ""
    assert caught.value.message.endswith(f": invalid reference format{more}")


def test_names_get_their_tag() -> None:
    assert tagged("web") == "web:latest"
    assert tagged("localhost:5000/a/b") == "localhost:5000/a/b:latest"
    assert tagged("web:1") == "web:1"


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0s"), (0.085, "85ms"), (1.5, "1.5s"), (62.25, "1m2.25s")])
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert shown_duration(seconds) == text


def secret(auths: dict[str, object], name: str = "regcred") -> core_v1.Secret:
    document = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    meta = meta_v1.ObjectMeta(name=name, namespace="default", uid=f"uid of {name}")
    return core_v1.Secret(metadata=meta, data={".dockerconfigjson": document})


def test_credentials_match_registry_and_path() -> None:
    auth = base64.b64encode(b"me:secret").decode()
    known = secret(
        {"example.com/team": {"auth": auth}, "https://index.docker.io/v1/": {"username": "hub", "password": "p"}}
    )
    assert [c.credentials.username for c in from_secrets([known], "example.com/team/app:1")] == ["me"]
    assert from_secrets([known], "example.com/teams/app:1") == []
    assert [c.credentials.username for c in from_secrets([known], "busybox:1")] == ["hub"]
    assert from_secrets([core_v1.Secret(data={".dockerconfigjson": "bm90IGpzb24="})], "busybox") == []


def test_short_names_are_those_of_the_hub() -> None:
    assert full_name("web") == "docker.io/library/web"
    assert full_name("me/web") == "docker.io/me/web"
    assert full_name("host.example/web") == "host.example/web"


def test_a_secret_that_is_missing_is_told_and_the_pull_is_tried_without() -> None:
    images = Images()
    _, told = ensure(images, container(), secrets=("gone", "lost"))
    assert images.pulled == [("busybox:1", None)]
    assert told[0] == (
        "Warning",
        "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (gone, lost); attempting to pull the image may not succeed.",
    )


def test_the_node_has_credentials_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"docker.io": {"username": "node", "password": "p"}}}))
    (tmp_path / ".dockercfg").write_text("{broken")
    images = Images()
    ensure(images, container(), rules=PullRules(tmp_path))
    assert [who.username for _, who in images.pulled if who is not None] == ["node"]


def test_pulls_go_one_by_one_where_the_configuration_says_so(tmp_path: Path) -> None:
    _, told = ensure(Images(), container("a"), container("b", image="web:1"), rules=PullRules(tmp_path, parallel=1))
    done = [message for _, reason, message in told if reason == "Pulled"]
    assert "in 1s (1s including waiting)" in done[0]
    assert "in 1s (2s including waiting)" in done[1]


def test_pulls_beyond_the_rate_wait(tmp_path: Path) -> None:
    wanted = [container(f"c{n}", image=f"web:{n}") for n in range(5)]
    _, told = ensure(Images(), *wanted, rules=PullRules(tmp_path, rate=0.5, burst=3))
    waits = sorted(message.partition("(")[2].split()[0] for _, reason, message in told if reason == "Pulled")
    assert waits == ["1s", "1s", "1s", "3s", "5s"]


def private(images: Images, root: Path, login: str, *wanted: core_v1.Container, policy: str = PRELOADED) -> list[str]:
    """Reasons of the events when a Pod with that login starts."""
    sources = FakeSources()
    sources.secrets[login] = secret({"docker.io": {"username": login, "password": "p"}}, login)
    rules = PullRules(root, verification=policy)
    return [reason for _, reason, _ in ensure(images, *wanted, sources=sources, rules=rules, secrets=(login,))[1]]


def test_a_private_image_is_lent_only_to_those_who_may_pull_it(tmp_path: Path) -> None:
    images = Images()
    assert private(images, tmp_path, "ann", container()) == ["Pulling", "Pulled"]
    assert private(images, tmp_path, "ann", container()) == ["Pulled"]
    assert private(images, tmp_path, "bob", container()) == ["Pulling", "Pulled"]
    assert private(images, tmp_path, "bob", container()) == ["Pulled"]
    assert [who.username for _, who in images.pulled if who is not None] == ["ann", "bob"]
    with pytest.raises(ImageError, match="does not have the proper credentials"):
        private(images, tmp_path, "eve", container(imagePullPolicy="Never"))


def test_an_image_that_anybody_may_pull_is_everybodys(tmp_path: Path) -> None:
    images = Images()
    ensure(images, container(), rules=PullRules(tmp_path))
    assert private(images, tmp_path, "ann", container()) == ["Pulled"]


def test_images_that_were_there_before_are_free_or_not_by_policy(tmp_path: Path) -> None:
    for policy, allowlist, asked in (
        (NEVER, (), 0),
        (PRELOADED, (), 0),
        (ALLOWLISTED, ("busybox",), 0),
        (ALLOWLISTED, ("web",), 1),
        (ALWAYS, (), 1),
    ):
        images = Images("busybox:1")
        folder = tmp_path / f"{policy}{asked}"
        ensure(images, container(), rules=PullRules(folder, verification=policy, allowlist=allowlist))
        assert len(images.pulled) == asked


def test_a_pull_that_was_cut_off_leaves_no_image_that_was_there_before(tmp_path: Path) -> None:
    records = PullRecords(tmp_path)
    assert not records.needs_pull("web:1", "sha256:1", ())
    records.begin("web:1")
    assert records.needs_pull("web:1", "sha256:1", ())
    records.pulled("web:1", "sha256:1", None, "2026-01-01T00:00:00Z")
    records.end("web:1")
    assert not records.needs_pull("web:1", "sha256:1", ())
    records.forget_all_but(["sha256:2"])
    assert not list((tmp_path / "pulled").iterdir())


def test_pods_that_pulled_an_image_together_are_all_recorded(tmp_path: Path) -> None:
    records = PullRecords(tmp_path)
    origins = [Origin(uid=f"u{n}", namespace="n", name=f"s{n}", hash=f"h{n}") for n in range(24)]

    def pulled(origin: Origin) -> None:
        records.begin("web:1")
        records.pulled("web:1", "sha256:1", origin, "2026-01-01T00:00:00Z")

    with ThreadPoolExecutor(len(origins)) as threads:
        assert list(threads.map(pulled, origins)) == [None] * len(origins)
    assert [o.name for o in origins if records.needs_pull("web:1", "sha256:1", (o,))] == []


def test_names_lose_their_tag_and_digest() -> None:
    assert [bare(n) for n in ("web", "web:1", "h:5000/a/web:1", "h:5000/a/web@sha256:0")] == [
        "web",
        "web",
        "h:5000/a/web",
        "h:5000/a/web",
    ]


def test_containers_of_a_pod_share_the_back_off_of_an_image_and_other_pods_do_not() -> None:
    images = Images(refuses="no such image")
    told: list[str] = []

    async def main(root: Path) -> list[tuple[str, float | None]]:
        clock = SimulatedClock(asyncio.get_running_loop())
        puller = Puller(images, FakeSources(), clock, PullRules(root), at_once)

        async def attempt(of: core_v1.Pod, name: str) -> tuple[str, float | None]:
            with pytest.raises(ImageError) as caught:
                await puller.ensure(of, container(name, image="web:1"), lambda *e: told.append(f"{name}: {e[2]}"))
            return caught.value.reason, caught.value.wait

        found = list(await asyncio.gather(attempt(pod(), "a"), attempt(pod(), "b")))
        found.append(await attempt(another(), "c"))
        await clock.sleep(9)  # with c's pull ten seconds after a's
        found += [await attempt(pod(), "b"), await attempt(pod(), "a")]
        await clock.sleep(601)
        found.append(await attempt(pod(), "a"))
        return found

    with tempfile.TemporaryDirectory() as root:
        found = run_simulated(main(Path(root)))
    pulled, held = "ErrImagePull", "ImagePullBackOff"
    assert found == [(pulled, 10.0), (held, 10.0), (pulled, 10.0), (pulled, 20.0), (held, 20.0), (pulled, 10.0)]
    assert len(images.pulled) == 4
    assert not any(text.startswith("b: Failed") for text in told[:3])


def test_a_held_up_pull_says_why_the_last_one_failed() -> None:
    async def main(root: Path) -> str:
        clock = SimulatedClock(asyncio.get_running_loop())
        puller = Puller(Images(refuses="no such image"), FakeSources(), clock, PullRules(root), at_once)
        for _ in range(2):
            with pytest.raises(ImageError) as caught:
                await puller.ensure(pod(), container(image="web"), lambda *_: None)
        return caught.value.message

    with tempfile.TemporaryDirectory() as root:
        said = run_simulated(main(Path(root)))
    assert said.startswith('Back-off pulling image "web": ErrImagePull: ')
    assert said.endswith("no such image")
