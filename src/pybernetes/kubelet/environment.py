"""The environment of a container: envFrom, env, $(VAR) references, Service variables. specs/container.py hands it to CRI."""

import asyncio
import base64
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pybernetes.api.errors import NotFound
from pybernetes.api.types import core_v1
from pybernetes.kernel.inside import read_inside
from pybernetes.kubelet import downward
from pybernetes.kubelet.env_file import MOST_FILE, parse_env_file
from pybernetes.kubelet.sources import Sources

log = logging.getLogger(__name__)

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


class ConfigError(Exception):
    """What a container refers to is not there: CreateContainerConfigError, tried again."""


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replaces $(NAME) of known names; $$ is a dollar, so $$(NAME) stays $(NAME); unknown references stay as they are."""

    def replaced(found: re.Match[str]) -> str:
        if found.group(0) == "$$":
            return "$"
        return known.get(found.group(1), found.group(0))

    return _REFERENCE.sub(replaced, text)


def expand_all(text: str, known: Mapping[str, str]) -> str:
    """The same where every reference must be known (subPathExpr). Raises ConfigError."""
    names = (found.group(1) for found in _REFERENCE.finditer(text) if found.group(0) != "$$")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f'missing value for "{unknown[0]}"')
    return expand(text, known)


def service_variables(pod: core_v1.Pod, services: Iterable[core_v1.Service]) -> dict[str, str]:
    """Docker-link variables of the Services that the Pod may reach by name, and always of `default/kubernetes`."""
    chosen: dict[str, core_v1.Service] = {}
    links = pod.spec.enableServiceLinks is not False
    for service in services:
        meta, spec = service.metadata, service.spec
        if spec is None or spec.clusterIP in ("", "None"):
            continue
        if meta.namespace == pod.metadata.namespace and links:
            chosen[meta.name] = service
        elif meta.namespace == "default" and meta.name == "kubernetes":
            chosen.setdefault(meta.name, service)
    found: dict[str, str] = {}
    for name in sorted(chosen):
        found |= _links(chosen[name])
    return found


def _links(service: core_v1.Service) -> dict[str, str]:
    spec = service.spec
    if not spec.ports:
        return {}
    prefix = service.metadata.name.upper().replace("-", "_")
    address = spec.clusterIP
    shown = f"[{address}]" if ":" in address else address
    first = spec.ports[0]
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first.port)}
    for port in spec.ports:
        if port.name:
            found[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for index, port in enumerate(spec.ports):
        protocol = (port.protocol or "TCP").upper()
        url = f"{protocol.lower()}://{shown}:{port.port}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        part = f"{prefix}_PORT_{port.port}_{protocol}"
        found |= {part: url, f"{part}_PROTO": protocol.lower(), f"{part}_PORT": str(port.port), f"{part}_ADDR": address}
    return found


class Environment:
    """Makes one container's environment. Reads each ConfigMap and Secret once."""

    def __init__(
        self,
        pod: core_v1.Pod,
        ips: tuple[str, ...],
        node: downward.Facts,
        sources: Sources,
        volumes: Mapping[str, Path],
    ) -> None:
        self._pod = pod
        self._ips = ips
        self._node = node
        self._sources = sources
        self._volumes = volumes
        self._read: dict[tuple[str, str], Mapping[str, str] | None] = {}

    async def of(self, container: core_v1.Container) -> dict[str, str]:
        """Names and values in upstream's order. Raises ConfigError."""
        services = service_variables(self._pod, self._sources.services())
        result: dict[str, str] = {}
        for source in container.envFrom:
            result |= await self._all_of(source)
        for variable in container.env:
            if variable.valueFrom is None:
                result[variable.name] = expand(variable.value, {**services, **result})
                continue
            value = await self._value(variable.valueFrom, container)
            if value is not None:
                result[variable.name] = value
        return {**{name: value for name, value in services.items() if name not in result}, **result}

    async def _all_of(self, source: core_v1.EnvFromSource) -> dict[str, str]:
        if source.configMapRef is not None:
            data = await self._data("configmap", source.configMapRef.name, source.configMapRef.optional)
        elif source.secretRef is not None:
            data = await self._data("secret", source.secretRef.name, source.secretRef.optional)
        else:
            data = None
        return {source.prefix + key: value for key, value in (data or {}).items()}

    async def _value(self, source: core_v1.EnvVarSource, container: core_v1.Container) -> str | None:
        try:
            if source.fieldRef is not None:
                return downward.field_value(self._pod, source.fieldRef.fieldPath, self._ips, self._node)
            if source.resourceFieldRef is not None:
                return downward.resource_value(self._pod, source.resourceFieldRef, container, self._node)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if source.fileKeyRef is not None:
            return await self._from_file(source.fileKeyRef)
        for kind, ref in (("configmap", source.configMapKeyRef), ("secret", source.secretKeyRef)):
            if ref is None:
                continue
            data = await self._data(kind, ref.name, ref.optional)
            if data is not None and ref.key in data:
                return data[ref.key]
            if not ref.optional:
                shown = "ConfigMap" if kind == "configmap" else "Secret"
                raise ConfigError(f"couldn't find key {ref.key} in {shown} {self._pod.metadata.namespace}/{ref.name}")
        return None

    async def _from_file(self, ref: core_v1.FileKeySelector) -> str | None:
        """A value of an env file that another container of the Pod has written into a volume (KEP-3721)."""
        if ref.volumeName not in self._volumes:
            raise ConfigError(f'cannot find the volume "{ref.volumeName}" referenced by FileKeyRef')
        volume = self._volumes[ref.volumeName]
        try:
            text = await asyncio.to_thread(read_inside, volume, ref.path, MOST_FILE)
            value = parse_env_file(text.decode(errors="surrogateescape")).get(ref.key)
        except (OSError, ValueError) as error:
            if ref.optional and isinstance(error, FileNotFoundError):
                return None
            log.warning("cannot use env file pod=%s volume=%s error=%s", self._pod.metadata.name, ref.volumeName, error)
            raise ConfigError("couldn't parse env file") from None
        if value is None and not ref.optional:
            raise ConfigError(f'environment variable key "{ref.key}" not found in file "{volume / ref.path}"')
        return value

    async def _data(self, kind: str, name: str, optional: bool | None) -> Mapping[str, str] | None:
        """The text values of a ConfigMap or Secret; None where it is missing and may be."""
        namespace = self._pod.metadata.namespace
        if (kind, name) not in self._read:
            try:
                if kind == "configmap":
                    self._read[kind, name] = (await self._sources.config_map(namespace, name)).data
                else:
                    secret = await self._sources.secret(namespace, name)
                    self._read[kind, name] = {
                        key: base64.b64decode(value).decode(errors="surrogateescape")
                        for key, value in secret.data.items()
                    }
            except NotFound as error:
                self._read[kind, name] = None
                if not optional:
                    raise ConfigError(error.message) from None
        found = self._read[kind, name]
        if found is None and not optional:
            raise ConfigError(f'{kind} "{name}" not found')
        return found
