"""Credential provider plugins: their configuration, programs, and what is kept of their answers."""

import asyncio
import json
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.kubelet.fakes import FakeSources
from tests.unit.kubelet.pods import container, pod

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.kubelet.cri.model import Credentials, Image
from pybernetes.kubelet.images.plugins import Answer, Plugins, Provider, ProviderError, Providers, read_providers
from pybernetes.kubelet.images.puller import Puller, PullRules

V1 = "credentialprovider.kubelet.k8s.io/v1"
CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: cloud
  matchImages: ["*.registry.example", "team.*.example:5000/apps"]
  defaultCacheDuration: 1h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [get, "-v"]
  env: [{name: PROFILE, value: blue}]
"""
PROGRAM = """\
#!/usr/bin/env python3
import json, os, sys
request = json.load(sys.stdin)
assert request["kind"] == "CredentialProviderRequest" and request["apiVersion"].endswith("/v1"), request
password = f"{request['image']} {' '.join(sys.argv[1:])} {os.environ['PROFILE']} {'PATH' in os.environ}"
auth = {"*.registry.example": {"username": "robot", "password": password}, "other": {"username": "no"}}
print(json.dumps({"kind": "CredentialProviderResponse", "apiVersion": request["apiVersion"],
                  "cacheKeyType": "Image", "auth": auth}))
"""


def program(folder: Path, text: str = PROGRAM, name: str = "cloud") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(textwrap.dedent(text))
    file.chmod(0o755)
    return folder


def configured(folder: Path, text: str = CONFIG) -> Path:
    file = folder / "providers.yaml"
    file.write_text(text)
    return file


async def test_a_program_is_asked_for_images_of_its_registries(tmp_path: Path) -> None:
    providers = read_providers(configured(tmp_path), program(tmp_path / "bin"))
    plugins = Plugins(providers, SystemClock())
    (login,) = await plugins.logins("a.registry.example/web:1@sha256:" + "0" * 64)
    assert (login.credentials.username, login.origin) == ("robot", None)
    assert login.credentials.password == "a.registry.example/web get -v blue True"
    assert await plugins.logins("a.b.registry.example/web") == []
    assert await plugins.logins("busybox") == []


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho broken >&2; exit 3\n",
        "#!/bin/sh\necho '{'\n",
        '#!/bin/sh\necho \'{"kind": "Pod", "apiVersion": "v1"}\'\n',
        f'#!/bin/sh\necho \'{{"kind": "CredentialProviderResponse", "apiVersion": "{V1}", "cacheKeyType": "Moon"}}\'\n',
    ],
)
async def test_a_program_that_fails_says_nothing(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    plugins = Plugins(read_providers(configured(tmp_path), program(tmp_path / "bin", text)), SystemClock())
    assert await plugins.logins("a.registry.example/web") == []
    assert "no credentials plugin=cloud image=a.registry.example/web" in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("kubelet.config.k8s.io/v1", "v1", "is not a CredentialProviderConfig of kubelet.config.k8s.io/v1"),
        ("name: cloud", "name: ../cloud", 'providers[0].name: Invalid value: "../cloud"'),
        ("name: cloud", "name: none", "bin/none did not exist"),
        ("defaultCacheDuration: 1h", 'defaultCacheDuration: "1"', 'time: missing unit in duration "1"'),
        ("defaultCacheDuration: 1h", "defaultCacheDuration: -1s", "must be greater than or equal to 0"),
        ("  defaultCacheDuration: 1h\n", "", "missing required field `defaultCacheDuration`"),
        ("  args:", "  tokenAttributes: {}\n  args:", "unknown field `tokenAttributes`"),
        ("credentialprovider.kubelet.k8s.io/v1", "v9", 'apiVersion: Unsupported value: "v9"'),
        ('["*.registry.example", "team.*.example:5000/apps"]', "[]", "at least 1 item in matchImages is required"),
    ],
)
def test_a_wrong_configuration_is_refused(tmp_path: Path, before: str, after: str, why: str) -> None:
    assert before in CONFIG
    with pytest.raises(ProviderError) as refused:
        read_providers(configured(tmp_path, CONFIG.replace(before, after, 1)), program(tmp_path / "bin"))
    assert why in str(refused.value)


def test_a_folder_of_configurations_is_read_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "b.yaml").write_text(CONFIG.replace("name: cloud", "name: second"))
    (folder / "a.json").write_text(json.dumps({"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig",
        "providers": [{"name": "cloud", "matchImages": ["x"], "defaultCacheDuration": "0s", "apiVersion": V1}]}))  # fmt: skip
    (folder / "notes.txt").write_text("not read")
    programs = program(program(tmp_path / "bin"), name="second")
    assert [p.name for p in read_providers(folder, programs).providers] == ["cloud", "second"]
    (folder / "c.yaml").write_text(CONFIG)
    with pytest.raises(ProviderError, match='Duplicate value: "cloud"'):
        read_providers(folder, programs)
    with pytest.raises(ProviderError, match="no such file or directory"):
        read_providers(tmp_path / "none", programs)


def provider(name: str, default: str = "1h") -> Provider:
    return Provider(name=name, match_images=("*.example",), default_cache_duration=default, api_version=V1)


@pytest.mark.parametrize(
    ("kind", "duration", "asked"),
    [
        ("Image", None, ["a.example/x", "a.example/y", "b.example/x", "a.example/x"]),
        ("Registry", None, ["a.example/x", "b.example/x", "a.example/x"]),
        ("Global", None, ["a.example/x", "a.example/x"]),
        ("Global", "2h", ["a.example/x"]),
        ("Global", "0s", ["a.example/x", "a.example/x", "a.example/y", "b.example/x", "a.example/x"]),
    ],
)
def test_an_answer_counts_for_what_and_as_long_as_the_plugin_says(
    kind: str, duration: str | None, asked: list[str]
) -> None:
    seen: list[str] = []

    async def ask(who: Provider, image: str) -> Answer:
        seen.append(image)
        said: dict[str, Any] = {"cache_key_type": kind, "cache_duration": duration}
        return Answer(V1, "CredentialProviderResponse", **said)

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        plugins = Plugins(Providers(Path(), (provider("one"),)), clock, ask)
        for image in ("a.example/x:1", "a.example/x:2", "a.example/y", "b.example/x"):
            await plugins.logins(image)
        await clock.sleep(3601)
        await plugins.logins("a.example/x")

    run_simulated(main())
    assert seen == asked


def test_the_first_plugin_outranks_the_next_and_the_longer_place_the_shorter() -> None:
    said = {
        "one": {"a.example": {"username": "first"}},
        "two": {"a.example": {"username": "late"}, "a.example/team": {"username": "team"}},
    }

    async def ask(who: Provider, image: str) -> Answer:
        return json_answer(said[who.name])

    async def main() -> list[str]:
        clock = SimulatedClock(asyncio.get_running_loop())
        plugins = Plugins(Providers(Path(), (provider("one"), provider("two"))), clock, ask)
        return [login.credentials.username for login in await plugins.logins("a.example/team/x")]

    assert run_simulated(main()) == ["team", "first"]


def json_answer(auth: Any) -> Answer:

    document = {"kind": "x", "apiVersion": V1, "cacheKeyType": "Image", "auth": auth}
    return msgspec.convert(document, Answer)


class Registry:
    """A runtime that pulls at once, and remembers for whom."""

    def __init__(self) -> None:
        self.pulled: list[Credentials | None] = []

    async def image(self, name: str) -> Image | None:
        return Image(name, (name,), (), 1000) if self.pulled else None

    async def images(self) -> list[Image]:
        return []

    async def pull(self, name: str, credentials: Credentials | None) -> str:
        self.pulled.append(credentials)
        return name


async def test_a_pull_is_tried_with_what_a_plugin_says(tmp_path: Path) -> None:
    providers = read_providers(configured(tmp_path), program(tmp_path / "bin"))
    registry = Registry()
    puller = Puller(registry, FakeSources(), SystemClock(), PullRules(tmp_path / "root", providers=providers))
    wanted = container(image="a.registry.example/web:1")
    await puller.ensure(pod(wanted), wanted, lambda *said: None)
    (used,) = registry.pulled
    assert used is not None
    assert used.username == "robot"
