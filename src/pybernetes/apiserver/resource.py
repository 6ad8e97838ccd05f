"""What an API resource is to the generic pipeline. Each file of resources/ exports one `RESOURCE`, all used alike.

Kind, names, scope, verbs and subresources come from `api.facts`; here is only what the facts cannot say: defaults,
validation, how an update is prepared, what a table shows. All functions work on canonical dicts (see api.canonical).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from pybernetes.aio.clock import seconds_of
from pybernetes.api.errors import FieldError
from pybernetes.api.objects import GroupResource, Object, User
from pybernetes.wire.http import Request, Response

if TYPE_CHECKING:
    from pybernetes.apiserver.registry import Registry

Errors: TypeAlias = Iterable[FieldError]


def _no_default(obj: Object) -> None:
    """Nothing beyond the schema."""


def _valid(obj: Object) -> Errors:
    return ()


def _valid_update(obj: Object, old: Object) -> Errors:
    return ()


def _no_prepare(obj: Object, old: Object | None) -> None:
    """Nothing to set."""


def _gone(obj: Object) -> bool:
    return False


def _no_prepare_status(obj: Object, old: Object) -> None:
    """Nothing to keep."""


def _silent(obj: Object, old: Object | None) -> Iterable[str]:
    return ()


def _same(obj: Object) -> Object:
    return obj


async def no_hook(call: "Call", obj: Object, old: Object | None) -> None:
    """Nothing to allocate."""


class Since(NamedTuple):
    """A cell that tells how long ago something was: `5m`, or `3 (5m ago)` with texts around it."""

    time: float
    """Seconds since 1970."""
    before: str = ""
    after: str = ""


def since(time: object, before: str = "", after: str = "") -> "Since | str":
    """The cell of an RFC 3339 time; `<unknown>` where there is none."""
    return Since(seconds_of(time), before, after) if isinstance(time, str) and time else "<unknown>"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the Table (meta.k8s.io/v1 TableColumnDefinition). `priority` 0 is shown always, 1 with -o wide."""

    name: str
    cell: Callable[[Any], object]
    """What is shown of an object, any JSON or a Since. From the object and nothing else: it is kept as long as that."""
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    of: Callable[[Object], Any] | None = None
    """What `cell` is given in place of the object; made once a row for all columns that have the same."""


class Call(Struct):
    """One request as handlers, hooks and admission see it, after authentication. Nobody reaches back up."""

    registry: "Registry"
    """Reads and writes of any resource inside the server (no authn, no authz, no admission)."""
    user: User
    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection, connect."""
    resource: "Resource"
    subresource: str
    namespace: str
    name: str
    request: Request
    dry_run: bool = False
    field_manager: str = ""
    """Who says that it writes (the query's fieldManager); empty: the User-Agent tells."""
    warnings: list[str] = []
    """Sent as 299 Warning headers."""
    audit_annotations: dict[str, str] = {}
    """What admission says for the audit log."""
    undo: list[Callable[[], Awaitable[None]]] = []
    """How to give back what admission took for this write (quota); done when the write fails."""
    ended: list[Callable[[], None]] = []
    """Called when the write is over, however it ended, dry runs too: ends what was only promised to it."""


SubresourceHandler: TypeAlias = Callable[[Call, Object], Awaitable[Object]]
"""Called with the decoded and canonical body; returns the object to answer with."""
ConnectHandler: TypeAlias = Callable[[Call], Awaitable[Response]]
"""Called with the request as it came (log, exec, attach, portforward, proxy); streams or upgrades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the object itself, read and written through a subresource: resize, ephemeralcontainers, approval, finalize."""

    prepare: Callable[[Object, Object], None] = _no_prepare_status
    """Called with (new, old): resets everything that may not be written here to what `old` has."""
    validate: Callable[[Object, Object], Errors] = _valid_update
    """Called with (new, old): all faults."""
    generation: bool = False
    """metadata.generation is raised when `spec` changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A subresource that is more than the generic `status` and `scale`. Exactly one of the three is set."""

    create: SubresourceHandler | None = None
    connect: ConnectHandler | None = None
    part: Part | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """Another group or version that shows the same stored objects: autoscaling/v1 beside v2, events.k8s.io beside core.

    `read` and `write` see everything but kind and apiVersion, which the pipeline sets.
    """

    group: str
    version: str
    read: Callable[[Object], Object] = _same
    """The stored form as this one."""
    write: Callable[[Object], Object] = _same
    """This form as the stored one."""
    validate: Callable[[Object], Errors] = _valid
    """Faults beyond the Resource's own, of new objects that come this way, in the stored form."""
    validate_update: Callable[[Object, Object], Errors] = _valid_update
    """The same of updates: (new, old), both in the stored form."""
    columns: tuple[Column, ...] | None = None
    """Of this form; None: the Resource's, which are then asked about this form."""
    selectable_fields: Mapping[str, Callable[[Object], str]] | None = None
    """Of the stored form, for requests that come this way; None: the Resource's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """Where `scale` finds its numbers in the parent, as dotted paths."""

    spec: str = "spec.replicas"
    status: str = "status.replicas"
    selector: str = "spec.selector"
    """A LabelSelector, or a plain map (ReplicationController)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource beyond its facts. `group` and `plural` find the facts; the storage version is `version`."""

    group: str
    plural: str
    version: str = "v1"
    default: Callable[[Object], None] = _no_default
    """Sets defaults in place, on create, update and every decoded write."""
    validate: Callable[[Object], Errors] = _valid
    """All faults of a new object, metadata aside (the pipeline validates that with `validate_name`)."""
    validate_update: Callable[[Object, Object], Errors] = _valid_update
    """Called with (new, old) after `validate` on update: immutable fields and transitions."""
    ratchets: bool = False
    """On update `validate_update` alone is asked: what has not changed need not be mended (custom resources)."""
    validate_status: Callable[[Object, Object], Errors] = _valid_update
    """Called with (new, old) on writes of status."""
    validate_name: Callable[[str], Iterable[str]] | None = None
    """Messages about a bad name; None is a DNS-1123 subdomain."""
    prepare: Callable[[Object, Object | None], None] = _no_prepare
    """Before validation: drops or copies what the client may not set; `old` is None on create."""
    prepare_status: Callable[[Object, Object], None] = _no_prepare_status
    """Called with (new, old) on writes of status, before validation; spec is the stored one already."""
    warn: Callable[[Object, Object | None], Iterable[str]] = _silent
    """Texts of Warning headers about (new, old or None) of a write that is otherwise well."""
    also: tuple[Alias, ...] = ()
    """Other groups and versions of the same objects."""
    deprecated: str = ""
    """Text of a Warning header on everything that is asked of it: the kind has a successor."""
    made: Callable[[Call], Awaitable[Sequence[Object]]] | None = None
    """Set by kinds that are never stored (ComponentStatus): all there are, made whenever one is read."""
    status_on_create: bool = False
    """The client may give status at creation (Node); else the pipeline drops it before `prepare`."""
    stays: Callable[[Object], bool] = _gone
    """Asked about an object with a deletionTimestamp: True keeps it though metadata.finalizers is empty (Namespace's
    spec.finalizers); DELETE then only sets deletionTimestamp. May note in the object that it is terminating."""
    generation: bool = True
    """metadata.generation is kept and raised when `spec` changes (kinds without spec: False)."""
    annotations_count: bool = False
    """Changed annotations raise metadata.generation, too (Deployment: its controller copies them to ReplicaSets)."""
    unconditional_update: bool = True
    """PUT without resourceVersion is allowed (AllowUnconditionalUpdate)."""
    update_creates: bool = False
    """PUT of a name that is not there creates it (AllowCreateOnUpdate: Lease, Endpoints, ...)."""
    before_write: Callable[[Call, Object, Object | None], Awaitable[None]] = no_hook
    """After mutating admission, before storing: allocations (Service addresses). In a dry run (call.dry_run) nothing
    may be stored; what is promised to a write ends by call.ended."""
    after_delete: Callable[[Call, Object, Object | None], Awaitable[None]] = no_hook
    """After an object is gone from the store: releases."""
    grace: Callable[[Object, int | None], int] | None = None
    """Graceful deletion (Pods): seconds of grace from (object, asked); None or 0 deletes at once."""
    indelible: Mapping[str, str] = field(default_factory=dict)
    """Names that DELETE refuses, and why; to delete a whole collection is not refused."""
    create: SubresourceHandler | None = None
    """Set by kinds that are answered and never stored (reviews, Binding): takes the place of create."""
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    scale: ScalePaths | None = None
    columns: tuple[Column, ...] = ()
    """Without the first (Name) and, where not given, the last (Age): the pipeline adds them."""
    row_order: Callable[[Object], tuple[int, str]] | None = None
    """Sorts the rows of a list's Table, where they come in another order than their names (FlowSchema: precedence)."""
    selectable_fields: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    """Field selectors beyond metadata.name and metadata.namespace."""
    glance: type | None = None
    """A TypedDict of what those and listeners that are content with a glance look at: to decode no more is quicker, where
    there may be very many objects. None: everything."""
    storage_prefix: str = ""
    """The place below /registry/ where it is not the plural (`minions`, `services/specs`)."""

    @property
    def group_resource(self) -> GroupResource:
        """As errors name it."""
        return GroupResource(self.group, self.plural)
