"""Credential provider plugins (KEP-2133): programs of the node that say who pulls, such as those of clouds' registries.

--image-credential-provider-config names them, --image-credential-provider-bin-dir has them. puller.py asks for the logins of
an image; what a plugin says is kept in memory for as long as it allows. See "Configure a kubelet image credential provider".
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.kubelet.cri.model import Credentials
from pybernetes.kubelet.images.credentials import Login, full_name, matches
from pybernetes.kubelet.images.records import bare
from pybernetes.rules import durations
from pybernetes.wire.codecs import yaml

log = logging.getLogger(__name__)

_CONFIG = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_SPEAKS = tuple(f"credentialprovider.kubelet.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_KINDS = ("CredentialProviderConfig", "CredentialProviderRequest", "CredentialProviderResponse")
_SUFFIXES = (".json", ".yaml", ".yml")
_PATIENCE = 60.0


class ProviderError(ValueError):
    """What is wrong with the configuration or the folder of plugins."""


class Variable(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the environment's."""

    name: str
    value: str = ""


class Provider(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A plugin as the configuration has it."""

    name: str
    match_images: tuple[str, ...]
    default_cache_duration: str
    api_version: str
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()


class Providers(Struct, frozen=True):
    """All plugins, in order, and the folder of their programs."""

    folder: Path
    providers: tuple[Provider, ...]


class _Config(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    kind: str
    providers: tuple[Provider, ...] = ()


class _Auth(Struct, frozen=True):
    username: str = ""
    password: str = ""


class Answer(Struct, frozen=True, rename="camel"):
    """A CredentialProviderResponse."""

    api_version: str
    kind: str
    cache_key_type: str = ""
    cache_duration: str | None = None
    auth: Mapping[str, _Auth] | None = None


def read_providers(config: Path, folder: Path) -> Providers:
    """The plugins of a file, or of the files of a folder in order of their names. Blocking. Raises ProviderError."""
    try:
        files = sorted(f for f in config.iterdir() if f.suffix in _SUFFIXES) if config.is_dir() else [config]
        found = tuple(provider for file in files for provider in _read(file))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ProviderError(f'error inspecting credential provider config path "{error.filename}": {why}') from None
    problems = list(_problems(found))
    if problems:
        raise ProviderError(f"invalid credential provider configuration {config}: {'; '.join(problems)}")
    for provider in found:
        program = folder / provider.name
        if not os.access(program, os.X_OK) or program.is_dir():
            raise ProviderError(f"plugin binary executable {program} did not exist")
    return Providers(folder, found)


def _read(file: Path) -> tuple[Provider, ...]:
    try:
        documents = [document.value for document in yaml.documents(file.read_bytes())]
        config = msgspec.convert(documents[0] if len(documents) == 1 else None, _Config)
    except ValueError as error:  # msgspec.ValidationError is one
        raise ProviderError(f"invalid credential provider configuration {file}: {error}") from None
    if config.kind != _KINDS[0] or config.api_version not in _CONFIG:
        raise ProviderError(f"{file} is not a CredentialProviderConfig of {_CONFIG[0]}")
    return config.providers


def _problems(providers: Sequence[Provider]) -> Iterator[str]:
    if not providers:
        yield "providers: Required value: at least 1 item in plugins is required"
    for at, provider in enumerate(providers):
        place, name = f"providers[{at}]", provider.name
        if not name:
            yield f"{place}.name: Required value: name is required"
        elif name in (".", "..") or "/" in name or " " in name:
            yield f'{place}.name: Invalid value: "{name}": it is no name of a program in a folder'
        if name in [other.name for other in providers[:at]]:
            yield f'{place}.name: Duplicate value: "{name}"'
        if not provider.match_images:
            yield f"{place}.matchImages: Required value: at least 1 item in matchImages is required"
        if provider.api_version not in _SPEAKS:
            yield f'{place}.apiVersion: Unsupported value: "{provider.api_version}": supported: {", ".join(_SPEAKS)}'
        try:
            if durations.seconds_of(provider.default_cache_duration) < 0:
                yield f"{place}.defaultCacheDuration: Invalid value: must be greater than or equal to 0"
        except ValueError as error:
            yield f"{place}.defaultCacheDuration: Invalid value: {error}"


Ask = Callable[[Provider, str], Awaitable[Answer]]


class Plugins:
    """What the plugins of this node say. One program of a kind runs at a time."""

    def __init__(self, providers: Providers, clock: Clock, ask: Ask | None = None) -> None:
        self._providers = providers.providers
        self._clock = clock
        self._ask = ask or _Program(providers.folder).ask
        self._kept: dict[tuple[str, str, str], tuple[float, Mapping[str, _Auth]]] = {}
        self._locks = {provider.name: asyncio.Lock() for provider in providers.providers}

    async def logins(self, image: str) -> list[Login]:
        """Of an image, the most specific first. A plugin that fails says nothing: the image may be public."""
        name = full_name(bare(image))
        found: dict[str, _Auth] = {}
        for provider in self._providers:
            if any(matches(pattern, name) for pattern in provider.match_images):
                found = {**await self._said(provider, name), **found}
        places = sorted((place for place in found if matches(place, name)), key=len, reverse=True)
        return [Login(Credentials(found[p].username, found[p].password, server=p)) for p in places]

    async def _said(self, provider: Provider, image: str) -> Mapping[str, _Auth]:
        async with self._locks[provider.name]:
            now = self._clock.monotonic()
            keys = {"Image": image, "Registry": image.partition("/")[0], "Global": ""}
            for kind, key in keys.items():
                ends, auth = self._kept.get((provider.name, kind, key), (now, {}))
                if now < ends:
                    return auth
            try:
                answer = await self._ask(provider, image)
                seconds = durations.seconds_of(answer.cache_duration or provider.default_cache_duration)
                key = keys[answer.cache_key_type]
            except (OSError, ValueError, KeyError) as error:
                log.error("no credentials plugin=%s image=%s error=%s", provider.name, image, error)
                return {}
            auth = answer.auth or {}
            self._kept = {at: kept for at, kept in self._kept.items() if now < kept[0]}
            self._kept[provider.name, answer.cache_key_type, key] = (now + seconds, auth)
            return auth


class _Program:
    """The plugins' programs: a request on stdin, the answer on stdout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def ask(self, provider: Provider, image: str) -> Answer:
        """Raises OSError, ValueError; TimeoutError, which is an OSError, after a minute."""
        request = msgspec.json.encode({"kind": _KINDS[1], "apiVersion": provider.api_version, "image": image})
        process = await asyncio.create_subprocess_exec(
            self._folder / provider.name,
            *provider.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **{variable.name: variable.value for variable in provider.env}},
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                out, err = await process.communicate(request)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise ValueError(f"it ended with {process.returncode}: {err.decode(errors='replace').strip()}")
        answer = msgspec.json.decode(out, type=Answer)
        if (answer.kind, answer.api_version) != (_KINDS[2], provider.api_version):
            raise ValueError(
                f"it answered with {answer.api_version} {answer.kind}, not {provider.api_version} {_KINDS[2]}"
            )
        return answer
