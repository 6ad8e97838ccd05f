"""Admission chain: the plugins that are on, in upstream's order. writes.py and deletes.py pass every write through it."""

from collections.abc import Awaitable, Iterable, Mapping
from typing import TypeVar

from pybernetes.aio.discover import discover
from pybernetes.api.errors import ApiError, InternalError
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Admit, Hooks
from pybernetes.apiserver.registry import Registry
from pybernetes.apiserver.resource import Call

T = TypeVar("T")


class AdmissionPluginError(ValueError):
    """A flag names an admission plugin that is not there, or its configuration is wrong."""


PLACES = {
    "PodGroupProtection": 205,
    "PodGroupWorkloadExists": 302,
    "NodeDeclaredFeatureValidator": 310,
    "JobValidation": 315,
    "MutatingAdmissionPolicy": 350,
    "MutatingAdmissionWebhook": 360,
    "ValidatingAdmissionPolicy": 370,
    "ValidatingAdmissionWebhook": 380,
}
"""Upstream's plugins that have a place in the order and do nothing here: what calls webhooks and policies is not there
yet, the others belong to features that are off. Flags may name them."""


class AdmissionChain:
    """Mutating plugins first, then validating ones. A refusal is the ApiError that a plugin raises.

    Which plugins a kind of request concerns is found once and kept: most writes pass two or three of them.
    """

    def __init__(self, plugins: Iterable[tuple[Admission, Hooks]]) -> None:
        self._plugins = sorted(plugins, key=lambda pair: (pair[0].order, pair[0].name))
        self.names = tuple(plugin.name for plugin, _ in self._plugins)
        self._found: dict[tuple[str, str, str, str], tuple[tuple[Admit, ...], tuple[Admit, ...]]] = {}

    async def mutate(self, request: AdmissionRequest) -> None:
        """Plugins change request.object in place."""
        for admit in self._concerned(request)[0]:
            await admit(request)

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises what a plugin raises."""
        for admit in self._concerned(request)[1]:
            await admit(request)

    async def admit(self, request: AdmissionRequest) -> None:
        """Both, for what has nothing between them: deletions, connections, kinds that answer by themselves."""
        await self.mutate(request)
        await self.validate(request)

    async def connect(self, call: Call, options: Object) -> None:
        """Admission of a streaming subresource: a refusal must come before the upgrade."""
        await self.admit(AdmissionRequest(call, "CONNECT", options, None))

    def _concerned(self, request: AdmissionRequest) -> tuple[tuple[Admit, ...], tuple[Admit, ...]]:
        resource = request.call.resource
        key = (request.operation, resource.group, resource.plural, request.call.subresource)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._find(request, str(GroupResource(resource.group, resource.plural)))
        return found

    def _find(self, request: AdmissionRequest, resource: str) -> tuple[tuple[Admit, ...], tuple[Admit, ...]]:
        names = {resource, "*", "*/*"}
        if request.call.subresource:
            names = {f"{resource}/{request.call.subresource}", f"{resource}/*", "*/*"}
        hooks = [h for p, h in self._plugins if request.operation in p.operations and not names.isdisjoint(p.resources)]
        return tuple(h.mutate for h in hooks if h.mutate), tuple(h.validate for h in hooks if h.validate)


async def held(call: Call, write: Awaitable[T]) -> T:
    """Awaits a write; when it is refused, what was taken for it (quota, addresses) is given back.

    Not after a fault of the store or a timeout: the object may be there, and too much charged is the safe side.
    """
    try:
        return await write
    except ApiError as error:
        while call.undo and (error.code < 500 or isinstance(error, InternalError)):  # a range that is full
            await call.undo.pop()()
        raise
    finally:
        call.undo.clear()
        while call.ended:
            call.ended.pop()()


def known() -> dict[str, Admission]:
    """Every plugin there is, those of other installed packages included, by name."""
    found = discover("pybernetes.apiserver.admission", "ADMISSION", Admission, group="pybernetes.admission")
    here = {plugin.name for plugin in found.values()}
    places = [Admission(name=name, order=order) for name, order in PLACES.items() if name not in here]
    return {plugin.name: plugin for plugin in sorted([*found.values(), *places], key=lambda one: (one.order, one.name))}


def chosen(
    registry: Registry,
    enable: Iterable[str] = (),
    disable: Iterable[str] = (),
    configuration: Mapping[str, Object] | None = None,
) -> AdmissionChain:
    """The plugins that are on by default or enabled, and not disabled. Raises AdmissionPluginError."""
    by_name, given = known(), configuration or {}
    on, off = set(enable), set(disable)
    for flag, names in (("enable", on), ("disable", off), ("configured", set(given))):
        for name in sorted(names - by_name.keys()):
            where = f"{flag}-admission-plugins plugin" if flag != "configured" else "configured admission plugin"
            raise AdmissionPluginError(f'{where} "{name}" is unknown; known: {", ".join(sorted(by_name))}')
    if on & off:
        both = ", ".join(sorted(on & off))
        raise AdmissionPluginError(f"[{both}] in enable-admission-plugins and disable-admission-plugins overlapped")
    wanted = [p for p in by_name.values() if (p.default_on or p.name in on) and p.name not in off]
    return AdmissionChain((plugin, _started(plugin, registry, given.get(plugin.name, {}))) for plugin in wanted)


def _started(plugin: Admission, registry: Registry, configuration: Object) -> Hooks:
    if plugin.start is None:
        return Hooks(plugin.mutate, plugin.validate)
    try:
        return plugin.start(registry, configuration)
    except ValueError as error:
        raise AdmissionPluginError(f"failed to initialize admission plugin {plugin.name}: {error}") from error
