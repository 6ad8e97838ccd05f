"""Priority: a Pod's class becomes a number and a preemption policy; one class at most is everybody's."""

from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._followed import PODS, Followed, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.staticpods import SYSTEM_CLASSES

CLASSES = GroupResource("scheduling.k8s.io", "priorityclasses")
_PREEMPTS = "PreemptLowerPriority"


class Priorities:
    """The plugin of one server."""

    def __init__(self, registry: Registry) -> None:
        self._classes = Followed(registry, CLASSES)

    async def mutate(self, request: AdmissionRequest) -> None:
        """Resolves the class of a new Pod; an update that left the numbers out keeps them."""
        if request.call.resource.group_resource != PODS:
            return
        spec = request.object.get("spec") or {}
        if request.old is not None:
            for field in ("priority", "preemptionPolicy"):
                kept = (request.old.get("spec") or {}).get(field)
                if spec.get(field) is None and kept is not None:
                    spec[field] = kept
            return
        found = self._resolve(request, spec.get("priorityClassName") or "")
        if found["metadata"]["name"]:
            spec["priorityClassName"] = found["metadata"]["name"]
        wanted = {"priority": found.get("value") or 0, "preemptionPolicy": found.get("preemptionPolicy") or _PREEMPTS}
        words = {"priority": "integer value of priority", "preemptionPolicy": "string value of PreemptionPolicy"}
        for field, value in wanted.items():
            if spec.get(field) not in (None, value):
                what = f"the {words[field]} ({spec[field]}) must not be provided in pod spec"
                why = f"priority admission controller computed {value} from the given PriorityClass name"
                raise refused(request, f"{what}; {why}")
            spec[field] = value

    async def validate(self, request: AdmissionRequest) -> None:
        """A second default class is refused."""
        if request.call.resource.group_resource != CLASSES or not request.object.get("globalDefault"):
            return
        default = self._default()
        if default is None:
            return
        name = default["metadata"]["name"]
        if request.operation == "CREATE" or name != request.call.name:
            raise refused(request, f"PriorityClass {name} is already marked as default. Only one default can exist")

    def _resolve(self, request: AdmissionRequest, name: str) -> Object:
        if not name:
            return self._default() or {"metadata": {"name": ""}}
        found = self._classes.get(name)
        if found is None and name in SYSTEM_CLASSES:
            found = {"metadata": {"name": name}, "value": SYSTEM_CLASSES[name]}
        if found is None:
            raise refused(request, f"no PriorityClass with name {name} was found")
        return found

    def _default(self) -> Object | None:
        """Of several that a race left, the lowest."""
        marked = [one for one in self._classes.of() if one.get("globalDefault")]
        return min(marked, key=lambda one: int(one.get("value") or 0), default=None)


def _start(registry: Registry, configuration: Object) -> Hooks:
    plugin = Priorities(registry)
    return Hooks(plugin.mutate, plugin.validate)


ADMISSION = Admission(
    name="Priority", order=140, resources=frozenset({"pods", "priorityclasses.scheduling.k8s.io"}), start=_start
)
