"""What may be plugged into the request's way besides resources: authenticators, authorizers, admission."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from msgspec import Struct

from pybernetes.api.objects import Object, User
from pybernetes.apiserver.resource import Call
from pybernetes.rules.rbac import Rule
from pybernetes.wire.http import Request

if TYPE_CHECKING:
    from pybernetes.apiserver.registry import Registry


class Authenticator(Protocol):
    """One way to know who asks."""

    async def authenticate(self, request: Request) -> User | None:
        """None is "not mine". Raises Unauthorized for credentials that are ours and bad."""


class Reviewer(Protocol):
    """All authenticators, asked about a token by itself: TokenReview."""

    async def review(self, token: str, audiences: Sequence[str]) -> "tuple[User, Sequence[str]] | None":
        """Whose it is, and for which of the audiences; none given: the server's own. Raises Unauthorized."""


class Attributes(Struct, frozen=True):
    """What a request is about, as authorizers judge it (authorization.k8s.io). Non-resource requests have only `path`."""

    user: User
    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Decision(Enum):
    """What an authorizer says; the first that is not NO_OPINION counts, none at all is a refusal."""

    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


NOT_MINE = (Decision.NO_OPINION, "")
"""What an authorizer says of most requests: one for all, since every request passes here."""


class RuleResolver(Protocol):
    """What a user may do as a whole, from RBAC: for escalation checks and SelfSubjectRulesReview."""

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:
        """In a namespace, cluster-wide grants among them."""

    def missing(self, user: User, namespace: str) -> Sequence[str]:
        """Why that may not be all: bindings that name roles which are not there."""

    def role(self, namespace: str, name: str) -> Sequence[Rule] | None:
        """Those of a Role; of a ClusterRole where namespace is empty. None for one that is not there."""


class Authorizer(Protocol):
    """One way to judge."""

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """The decision and its reason; synchronous: judges from caches."""


Operation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


class AdmissionRequest(Struct):
    """A write on its way to the store."""

    call: Call
    operation: Operation
    object: Object
    """Mutating plugins change it in place; empty for DELETE."""
    old: Object | None

    @property
    def audit_annotations(self) -> dict[str, str]:
        """What plugins say for the audit log, by `<plugin's domain>/<key>`."""
        return self.call.audit_annotations


Admit: TypeAlias = Callable[[AdmissionRequest], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a plugin does with a request. A refusal is a raised ApiError."""

    mutate: Admit | None = None
    validate: Admit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """An admission plugin, upstream's name. `order` sorts as upstream's fixed list does. Refusals are raised ApiErrors."""

    name: str
    order: int
    operations: frozenset[Operation] = frozenset({"CREATE", "UPDATE"})
    resources: frozenset[str] = frozenset({"*/*"})
    """What it is asked about: `pods`, `deployments.apps`, `pods/resize`, `pods/*` (its subresources); `*` is every
    resource itself, `*/*` everything."""
    mutate: Admit | None = None
    validate: Admit | None = None
    start: "Callable[[Registry, Object], Hooks] | None" = None
    """In place of the two, for a plugin that keeps state or is configured: called once for each server with its part of
    --admission-control-config-file (empty where there is none). Raises ValueError for a configuration that is wrong."""
    default_on: bool = True
