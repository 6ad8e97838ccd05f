"""Admission chain: the plugins that are on, in upstream's order. writes.py and deletes.py pass every write through it."""

from collections.abc import Iterable

from pybernetes.aio.discover import discover
from pybernetes.api.objects import Object
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.apiserver.resource import Call

Operation = AdmissionRequest.__annotations__["operation"]


class UnknownPluginError(ValueError):
    """A flag names an admission plugin that is not there."""


class AdmissionChain:
    """Mutating plugins first, then validating ones. A refusal is the ApiError that a plugin raises."""

    def __init__(self, plugins: Iterable[Admission]) -> None:
        ordered = sorted(plugins, key=lambda plugin: (plugin.order, plugin.name))
        self.names = tuple(plugin.name for plugin in ordered)
        self._mutate = [(plugin.operations, plugin.mutate) for plugin in ordered if plugin.mutate]
        self._validate = [(plugin.operations, plugin.validate) for plugin in ordered if plugin.validate]

    async def mutate(self, request: AdmissionRequest) -> None:
        """Plugins change request.object in place."""
        for operations, admit in self._mutate:
            if request.operation in operations:
                await admit(request)

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises what a plugin raises."""
        for operations, admit in self._validate:
            if request.operation in operations:
                await admit(request)

    async def connect(self, call: Call, options: Object) -> None:
        """Admission of a streaming subresource: a refusal must come before the upgrade."""
        request = AdmissionRequest(call, "CONNECT", options, None)
        await self.mutate(request)
        await self.validate(request)


def chosen(enable: Iterable[str] = (), disable: Iterable[str] = ()) -> AdmissionChain:
    """The plugins that are on by default or enabled, and not disabled. Raises UnknownPluginError."""
    found = discover("pybernetes.apiserver.admission", "ADMISSION", Admission, group="pybernetes.admission")
    by_name = {plugin.name: plugin for plugin in found.values()}
    on, off = set(enable), set(disable)
    for name in sorted(on | off):
        if name not in by_name:
            raise UnknownPluginError(f'there is no admission plugin "{name}"; known: {", ".join(sorted(by_name))}')
    return AdmissionChain(p for p in by_name.values() if (p.default_on or p.name in on) and p.name not in off)
