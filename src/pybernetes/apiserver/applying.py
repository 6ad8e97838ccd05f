"""Server-side apply: the body of an apply request, and what it makes of what is stored. handlers.py reads, writes.py stores.

The values are merged by rules/patch; here is what a request may be, the reset of what its path cannot write, and the
passage from kubectl's client-side apply.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api import errors
from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.form import Form
from pybernetes.apiserver.managedfields import ManagedFields, bare, worked_form, write
from pybernetes.apiserver.options import Validation
from pybernetes.apiserver.resource import Call, ScalePaths
from pybernetes.apiserver.scale import check_replicas
from pybernetes.apiserver.validation.meta import ANNOTATIONS_LIMIT
from pybernetes.rules.patch import apply, fields
from pybernetes.rules.patch.fields import FieldSet
from pybernetes.rules.patch.managers import APPLY, UPDATE, Conflicts, Managed, Manager, Step, applied, decoded, updated
from pybernetes.wire.codecs import json, yaml
from pybernetes.wire.http import Request

MEDIA = "application/apply-patch+yaml"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_FIRST = "before-first-apply"
_TYPE_META = ("apiVersion", "kind")


class Configuration:
    """A well typed configuration and how it is to be applied."""

    def __init__(self, value: Object, form: Form, *, force: bool = False) -> None:
        _check(value, form)
        self.value = value
        self.form = form
        self.force = force

    @property
    def metadata(self) -> Object:
        """As applied; empty where there is none."""
        return self.value.get("metadata") or {}


def read(request: Request, form: Form, *, force: bool, validation: Validation, warnings: list[str]) -> Configuration:
    """The configuration of a request. Raises BadRequest."""
    value, duplicates = _decoded(request.body)
    found = Configuration(value, form, force=force)
    for text in duplicates:
        problem = f"error converting YAML to JSON: {text}"
        if validation == "Strict":
            raise errors.BadRequest(f"error strict decoding YAML: {problem}")
        if validation == "Warn":
            warnings.append(problem)
    return found


def _decoded(body: bytes) -> tuple[Any, Sequence[str]]:
    """JSON is YAML; without a duplicate it is read as what it is, which is quicker."""
    if body.lstrip()[:1] == b"{":
        try:
            value = json.decode(body, "")
            if not json.duplicate_fields(body, value):
                return value, ()
        except (errors.BadRequest, TypeError, RecursionError):
            pass
    try:
        value, duplicates = yaml.decode_strictly(body)
    except errors.BadRequest as error:
        raise errors.BadRequest(f"error decoding YAML: {error}") from None
    if value is not None and not isinstance(value, dict):
        kind = {str: "string", list: "array", bool: "bool"}.get(type(value), "number")
        why = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        raise errors.BadRequest(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}")
    return value or {}, duplicates


def _check(value: Object, form: Form) -> None:
    version, kind = (text if isinstance(text := value.get(name), str) else "" for name in _TYPE_META)
    gvk = f"{version if '/' in version else '/' + version}, Kind={kind}"
    if (version, kind) != (form.gvk.api_version, form.gvk.kind):
        raise errors.BadRequest(f"invalid object type: {gvk}")
    metadata = value.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    if named.get("managedFields") is not None:
        raise errors.BadRequest("metadata.managedFields must be nil")
    try:
        problems = apply.faults(value, form.node)
    except RecursionError:
        problems = ["exceeded max depth"]
    if problems:
        place = f"{named.get('namespace') or ''}/{named.get('name') or ''}; {gvk}"
        raise errors.BadRequest(f"failed to create typed patch object ({place}): {apply.refusal(problems)}")


class Applying:
    """Applies configurations to what is stored; keeps the account."""

    def __init__(self, account: ManagedFields) -> None:
        self._account = account

    def make(self, call: Call, served: Served, config: Configuration, old: Object | None) -> Object:
        """The wanted object, canonical and with its account. Raises Conflict, BadRequest."""
        form = worked_form(served)
        step = self._account.step(call, served, APPLY)
        wanted = _writable(_in_form(config, served), served, call.subresource)
        live = bare(old if old is not None else self._account.zero(served))
        live["metadata"].pop("resourceVersion", None)
        managed = self._owners(old, live, served, step)
        try:
            new, managed = _applied(managed, live, wanted, step, force=config.force)
        except RecursionError:
            raise errors.BadRequest("error decoding YAML: exceeded max depth") from None
        if step.manager.name == _KUBECTL:
            new = _remembering(new, config.value)
        made = form.walk(new).object
        made.setdefault("metadata", {})
        write(made, _without_reset(call, served, (live, made), managed, step))
        return made

    def scale(self, call: Call, served: Served, config: Configuration, old: Object) -> Object:
        """The parent with the replicas that a Scale applies; without them where it leaves them out."""
        replicas = (config.value.get("spec") or {}).get("replicas")
        check_replicas(replicas or 0, call.name)
        path = (served.resource.scale or ScalePaths()).spec.split(".")
        wanted: Any = replicas
        for name in reversed(path):
            wanted = {name: wanted}
        step = self._account.step(call, served, APPLY)
        live = bare(old)
        live["metadata"].pop("resourceVersion", None)
        managed = self._owners(old, live, served, step)
        shown = _Shown("autoscaling/v1", fields.shown([f"f:{name}" for name in path]))
        wanted = {} if replicas is None else wanted
        new, managed = _applied(managed, live, wanted, step, force=config.force, shown=shown)
        made = worked_form(served).walk(new).object
        for name in ("uid", "resourceVersion"):
            if config.metadata.get(name):
                made["metadata"][name] = config.metadata[name]
        write(made, managed)
        return made

    def _owners(self, old: Object | None, live: Object, served: Served, step: Step) -> Managed:
        """Who owns what before; of an object that nobody has kept account of, somebody does as a whole."""
        entries = (old or {}).get("metadata", {}).get("managedFields") or ()
        try:
            managed = decoded(entries)
        except ValueError as error:
            raise errors.BadRequest(f"failed to decode managed fields: {error}") from None
        if managed or old is None:
            return managed
        zero = bare(self._account.zero(served))
        first = Manager(_FIRST, UPDATE, step.version, step.manager.subresource)
        there = _writable(live, served, step.manager.subresource)
        return updated({}, zero, there, Step(first, step.version, step.time, step.node))


def _applied(
    managed: Managed, live: Object, wanted: Object, step: Step, *, force: bool, shown: "_Shown | None" = None
) -> tuple[Object, Managed]:
    try:
        return applied(managed, live, wanted, step, force=force)
    except Conflicts as conflicts:
        owned = dict(conflicts.owned)
        if step.manager.name == _KUBECTL and shown is None:
            allowed = _client_side(live, step)
            left = {who: rest for who, found in owned.items() if (rest := fields.difference(found, allowed))}
            if not left:
                return applied(managed, live, wanted, step, force=True)
            owned = left
        raise _refusal(Conflicts(owned), shown) from None


class _Shown(Struct, frozen=True):
    """A subresource of another kind: its version, and the path of its `.spec.replicas` in the parent."""

    version: str
    replicas: str


def _refusal(conflicts: Conflicts, shown: _Shown | None) -> errors.Conflict:
    """As upstream names all owners and paths."""
    found = conflicts.each()
    if shown is not None:
        found = [
            (
                who._replace(version=shown.version if who.version else ""),
                ".spec.replicas" if path == shown.replicas else path,
            )
            for who, path in found
        ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path} for who, path in found
    ]
    if len(found) == 1:
        who, path = found[0]
        text = f"Apply failed with 1 conflict: conflict with {who}: {path}"
    else:
        lines = []
        for owner in dict.fromkeys(who for who, _ in found):
            lines.append(f"conflicts with {owner}:")
            lines += [f"- {path}" for who, path in found if who == owner]
        text = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    return errors.Conflict(text, details={"causes": causes})


# --- what a path can write


def _writable(value: Object, served: Served, subresource: str) -> Object:
    """Without what this path resets: of the object itself its status, of status everything else."""
    if subresource == "status":
        return {name: part for name, part in value.items() if name in ("metadata", "status", *_TYPE_META)}
    if "status" in served.facts.subresources and subresource not in served.resource.subresources:
        return {name: part for name, part in value.items() if name != "status"}
    return value


def _without_reset(
    call: Call, served: Served, step_made: tuple[Object, Object], managed: Managed, step: Step
) -> Managed:
    """Nobody comes to own what a subresource sets back to what it was."""
    own = served.resource.subresources.get(call.subresource)
    part = own.part if own is not None else None
    entry = managed.get(step.manager)
    if entry is None or not call.subresource or (part is None and call.subresource != "status"):
        return managed
    live, made = step_made
    prepared = worked_form(served).walk(made).object
    (part.prepare if part is not None else served.resource.prepare_status)(prepared, live)
    # (What the two have set to `live` is shared with it, but nothing is written from here on.)
    removed, changed = fields.compare(bare(made), bare(prepared), step.node)
    left = fields.difference(fields.difference(entry.fields, removed), changed)
    rest = {who: other for who, other in managed.items() if who != step.manager}
    return {**rest, step.manager: replace(entry, fields=left)} if left else rest


def _in_form(config: Configuration, served: Served) -> Object:
    """The configuration in the form that is worked on; another version of the kind is brought there."""
    if config.form is worked_form(served):
        return config.value
    empty = served.worked(config.form.walk({"metadata": {}}).object)
    there: Object = _beyond(served.worked(config.form.walk(config.value).object), empty)
    stored = served.stored.facts
    return {**there, "apiVersion": stored.api_version, "kind": stored.kind}


def _beyond(value: Any, empty: Any) -> Any:
    """What a value says beyond an empty one of its type."""
    if not isinstance(value, dict) or not isinstance(empty, dict):
        return value
    return {
        name: _beyond(inner, empty.get(name))
        for name, inner in value.items()
        if name not in empty or inner != empty[name]
    }


# --- from client-side apply


def _client_side(live: Object, step: Step) -> FieldSet:
    """What kubectl's client-side apply set and nobody has changed since: its fields, whoever the account names."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return {}
    try:
        last = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(last, dict) or last.get("apiVersion") != step.version or apply.faults(last, step.node):
        return {}
    removed, changed = fields.compare(last, live, step.node)
    return fields.difference(fields.difference(fields.of_object(last, step.node), changed), removed)


def _remembering(new: Object, config: Object) -> Object:
    """With kubectl's annotation of what was applied last brought up to date, where there is one."""
    metadata = new.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return new
    given = config.get("metadata") or {}
    others = {name: text for name, text in (given.get("annotations") or {}).items() if name != LAST_APPLIED}
    said = {name: value for name, value in given.items() if name != "annotations"}
    if others or given.get("annotations"):
        said["annotations"] = others
    last = orjson.dumps({**config, "metadata": said}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    annotations = {**annotations, LAST_APPLIED: last}
    if sum(len(name.encode()) + len(str(text).encode()) for name, text in annotations.items()) > ANNOTATIONS_LIMIT:
        del annotations[LAST_APPLIED]
    return {**new, "metadata": {**metadata, "annotations": annotations}}
