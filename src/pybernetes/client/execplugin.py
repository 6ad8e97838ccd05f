"""Exec credential plugins (client.authentication.k8s.io/v1): a command of the user's that prints a token.

kubeconfig.Connection asks it; clouds ship such commands. The token is kept until it expires or the server refuses it.
"""

import asyncio
import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct, field

from pybernetes.aio.clock import parse_time

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
EARLY = 30.0
"""Seconds before its end that a token is no longer used."""


class PluginError(ConnectionError):
    """The plugin gave no token; the text says why and what to do."""


class Variable(Struct, frozen=True):
    """One variable of the command's environment."""

    name: str
    value: str = ""


class Plugin(Struct, frozen=True, kw_only=True, rename="camel"):
    """`exec` of a kubeconfig's user."""

    command: str
    args: tuple[str, ...] | None = ()
    env: tuple[Variable, ...] | None = ()
    api_version: str = VERSIONS[0]
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class _Status(Struct):
    token: str = ""
    client_certificate_data: str = field(default="", name="clientCertificateData")
    expiration: str = field(default="", name="expirationTimestamp")


class _Credential(Struct):
    status: _Status | None = None


def plugin_of(settings: Mapping[str, object]) -> Plugin:
    """Reads `exec`. Raises ValueError for settings that no plugin has."""
    plugin = msgspec.convert(settings, Plugin)
    if plugin.api_version not in VERSIONS:
        raise ValueError(f"exec plugin: invalid apiVersion {plugin.api_version!r}; known: {', '.join(VERSIONS)}")
    return plugin


class ExecToken:
    """Tokens from a plugin. One process at a time, however many requests wait."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._token = ""
        self._end = float("inf")
        self._lock = asyncio.Lock()

    async def token(self, now: float) -> str:
        """The token; `now` is seconds since 1970. Raises PluginError."""
        async with self._lock:
            if not self._token or now >= self._end - EARLY:
                await self._run()
            return self._token

    def refused(self) -> None:
        """The server said 401: the next request asks the plugin anew."""
        self._token = ""

    async def _run(self) -> None:
        plugin = self._plugin
        info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = {**os.environ, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        environment |= {variable.name: variable.value for variable in plugin.env or ()}
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command, *(plugin.args or ()), env=environment,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            hint = f"; {plugin.install_hint.strip()}" if plugin.install_hint else ""
            raise PluginError(f"exec plugin: executable {plugin.command} cannot be run: {error}{hint}") from error
        out, _ = await process.communicate()
        if process.returncode:
            raise PluginError(f"exec plugin: executable {plugin.command} failed with exit code {process.returncode}")
        self._take(out)

    def _take(self, out: bytes) -> None:
        try:
            status = msgspec.json.decode(out, type=_Credential).status
            end = parse_time(status.expiration) if status and status.expiration else None
        except (msgspec.DecodeError, ValueError) as error:
            raise PluginError(f"exec plugin: {self._plugin.command} printed no ExecCredential: {error}") from error
        if status is None or not status.token:
            what = (
                "a certificate, which is not supported yet" if status and status.client_certificate_data else "no token"
            )
            raise PluginError(f"exec plugin: {self._plugin.command} gave {what}")
        self._token = status.token
        self._end = float("inf") if end is None else end
