"""Traffic: one request to the API server as a Call, and the words that select calls. faults.py and audit.py share them.

`Traffic` stands before the API server's handler, on both ways in: it finds out once who asks, lets faults act and has
the audit take down what came of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api import facts
from pybernetes.api.errors import ApiError, BadRequest
from pybernetes.api.objects import Object, User
from pybernetes.apiserver.managedfields import program_of
from pybernetes.apiserver.requestinfo import RequestInfo, parse_request
from pybernetes.testing.errors import OptionError
from pybernetes.wire.codecs import json, protobuf, yaml
from pybernetes.wire.codecs.messages import MAGIC
from pybernetes.wire.http import Handler, Peer, Request, Response

if TYPE_CHECKING:
    from pybernetes.apiserver.server import ApiServer
    from pybernetes.testing.audit import Audit
    from pybernetes.testing.faults import Faults

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
WRITES = ("create", "update", "patch", "delete", "deletecollection")
PATCHES = {
    "application/apply-patch+yaml": "apply",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/json-patch+json": "json",
}
"""Content types of patches, by the words of `kubectl patch --type`."""
_ANSWERED_ONLY = ("authentication.k8s.io", "authorization.k8s.io")
"""Groups whose objects are questions: creating one writes nothing."""

Word: TypeAlias = str | Sequence[str]
"""One word or several, of which one must fit; `*` and `?` stand for letters as in a shell."""


class Words(TypedDict, total=False):
    """What selects calls. All that are given must fit; docs/reference/testing.md explains them."""

    verb: Word
    resource: Word
    namespace: Word
    name: Word
    user: Word
    agent: Word
    path: Word
    where: "Callable[[Call], object]"


class Call:
    """One request and what came of it. What is not on its face is read when it is asked for."""

    def __init__(self, request: Request, time: float) -> None:
        self.request = request
        self.number = 0
        """Counts all calls of a cluster, from 1, in the order in which they were answered."""
        self.time = time
        """When it came: seconds since 1970 on the cluster's clock."""
        self.seconds = 0.0
        """Until its answer (of a stream: the beginning of it), on the cluster's clock."""
        self.code = 0
        """What the client was told; 0: nothing, the connection was lost or the client has left."""
        self.done = 0
        """What the API server answered; 0 where a fault kept the request from it, or it was not waited for."""
        self.fault = ""
        """The fault rule that decided its answer."""
        self.answer = b""
        """The body of a refusal, and of what was created."""

    def __repr__(self) -> str:
        who = self.user or "somebody"
        return f"<Call {self.number}: {self.verb} {self.resource or self.path} {self.key} by {who}: {self.code}>"

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Decoded query parameters."""
        return self.request.query() if "?" in self.request.target else {}

    @cached_property
    def info(self) -> RequestInfo:
        """The request line, as the API server reads it."""
        try:
            return parse_request(self.request, self.query)
        except BadRequest:
            return RequestInfo(self.request.method.lower(), self.request.path)

    @property
    def verb(self) -> str:
        """`get`, `list`, `watch`, `create`, ... (RBAC's); of a path that is no resource the method in lower case."""
        return self.info.verb

    @property
    def path(self) -> str:
        """The decoded path."""
        return self.info.path

    @property
    def group(self) -> str:
        """Of the resource; empty for core."""
        return self.info.group

    @property
    def version(self) -> str:
        """Of the resource, as the path has it."""
        return self.info.version

    @cached_property
    def resource(self) -> str:
        """`pods`, `deployments.apps`, `pods/status`, `deployments.apps/scale`; empty for other paths."""
        info = self.info
        name = f"{info.resource}.{info.group}" if info.group else info.resource
        return f"{name}/{info.subresource}" if info.subresource else name

    @property
    def subresource(self) -> str:
        """`status`, `binding`, ...; empty where there is none."""
        return self.info.subresource

    @property
    def namespace(self) -> str:
        """Empty for cluster-scoped objects, and for all namespaces at once."""
        return self.info.namespace

    @cached_property
    def name(self) -> str:
        """Of the object; of a create the one in its body, or that the server has made. Empty for collections."""
        if self.info.name or self.verb != "create":
            return self.info.name
        for body in (self.body, _decoded("", self.answer)):
            metadata = body.get("metadata") if isinstance(body, dict) else None
            name = metadata.get("name") if isinstance(metadata, dict) else None
            if isinstance(name, str) and name:
                return name
        return ""

    @property
    def key(self) -> str:
        """`namespace/name`, as far as there are such."""
        where = self.namespace if self.namespace and self.info.resource != "namespaces" else ""
        return f"{where}/{self.name or '*'}" if where else self.name

    @property
    def user(self) -> str:
        """Who asked, as the API server authenticated them; empty where it did not."""
        known = self.request.peer.user
        return known.name if known is not None else ""

    @property
    def impersonated(self) -> str:
        """As whom it was to be judged (`kubectl --as`); empty where nobody was named."""
        return self.request.headers.get("impersonate-user")

    @property
    def agent(self) -> str:
        """The User-Agent header."""
        return self.request.headers.get("user-agent")

    @cached_property
    def manager(self) -> str:
        """Under which name a write stands in metadata.managedFields."""
        return _first(self.query, "fieldManager") or program_of(self.request) or "unknown"

    @cached_property
    def dry_run(self) -> bool:
        """Whether nothing was to be stored."""
        return bool(_first(self.query, "dryRun"))

    @property
    def patch(self) -> str:
        """`apply`, `merge`, `strategic` or `json`; empty for what is no patch."""
        return PATCHES.get(self.request.media_type, "") if self.verb == "patch" else ""

    @cached_property
    def body(self) -> Any:
        """What was sent: a dict, of a JSON patch a list; None for nothing, or for what cannot be read."""
        return _decoded(self.request.media_type, self.request.body)

    @property
    def write(self) -> bool:
        """Whether something was stored or deleted by it, whatever the client was told."""
        stores = self.info.is_resource and self.verb in WRITES and self.group not in _ANSWERED_ONLY
        return stores and 200 <= self.done < 300 and not self.dry_run

    @cached_property
    def refusal(self) -> Object:
        """The metav1.Status of a refusal; empty where there is none."""
        found = _decoded("", self.answer) if self.code >= 400 else None
        return found if isinstance(found, dict) else {}

    @property
    def reason(self) -> str:
        """Of a refusal: `Conflict`, `NotFound`, ...; else empty."""
        return str(self.refusal.get("reason") or "")

    @property
    def message(self) -> str:
        """Of a refusal, else empty."""
        return str(self.refusal.get("message") or "")

    @property
    def size(self) -> int:
        """Bytes that are kept of it."""
        return len(self.request.body) + len(self.answer)


def _first(query: Mapping[str, Sequence[str]], name: str) -> str:
    found = query.get(name)
    return found[0] if found else ""


def _decoded(media: str, body: bytes) -> Any:
    """A body by its content type, or by what it begins with; None for what cannot be read."""
    if not body:
        return None
    try:
        if body.startswith(MAGIC):
            return protobuf.decode_object(body)
        return yaml.decode(body) if media.endswith("yaml") else json.decode(body)
    except (ApiError, ValueError):
        return None


# --- words that select


class Term(Struct, frozen=True):
    """One of the words of a selection."""

    word: str
    holds: Callable[[Call], object]


class Selection:
    """Calls that fit all of some words."""

    def __init__(self, terms: Sequence[Term], shown: str) -> None:
        self.terms = terms
        self.shown = shown
        """The words as they were given."""

    def matches(self, call: Call) -> bool:
        """Whether all words fit."""
        return all(term.holds(call) for term in self.terms)

    def differs(self, call: Call) -> list[str]:
        """The words that do not fit."""
        return [term.word for term in self.terms if not term.holds(call)]


Reader: TypeAlias = Callable[[str, Any], Callable[[Call], object]]
"""(word, its value) to the question about a call. Raises OptionError."""


def selection(words: Mapping[str, Any], readers: Mapping[str, Reader]) -> Selection:
    """The Selection of some words; None is as if it was not given. Raises OptionError."""
    terms, shown = list[Term](), list[str]()
    for word, value in words.items():
        if word not in readers:
            raise OptionError(f"there is no word {word!r} for calls; known: {', '.join(readers)}")
        if value is not None:
            terms.append(Term(word, readers[word](word, value)))
            shown.append(f"{word}={value!r}" if not callable(value) else word)
    return Selection(terms, ", ".join(shown))


def texts(word: str, value: Any) -> tuple[str, ...]:
    """One text or several as a tuple. Raises OptionError."""
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, Sequence | set | frozenset) or not all(isinstance(one, str) for one in found) or not found:
        raise OptionError(f"{word}: {value!r} is not allowed; allowed: a text, or several in a sequence")
    return tuple(found)


_METHODS = {"post": "create", "put": "update", "head": "get"}


def _verbs(word: str, value: Any) -> Callable[[Call], object]:
    chosen = texts(word, value)
    for one in chosen:
        if one not in VERBS:
            hint = f" ({one.upper()} is {_METHODS[one.lower()]})" if one.lower() in _METHODS else ""
            raise OptionError(f"verb: there is no {one!r}{hint}; known: {', '.join(VERBS)}")
    return lambda call: call.verb in chosen


def _resources(word: str, value: Any) -> Callable[[Call], object]:
    wanted = [_resource(one) for one in texts(word, value)]

    def holds(call: Call) -> bool:
        info = call.info
        return info.is_resource and any(
            fnmatchcase(info.resource, plural)
            and (group is None or fnmatchcase(info.group, group))
            and (fnmatchcase(info.subresource, sub) if sub and info.subresource else sub == info.subresource)
            for plural, group, sub in wanted
        )

    return holds


def _resource(text: str) -> tuple[str, str | None, str]:
    """(plural, group or None for any, subresource) of `pods`, `deployments.apps`, `pods/status`. Raises OptionError."""
    main, slash, sub = text.partition("/")
    plural, dot, group = main.partition(".")
    if not plural or (slash and not sub) or "/" in sub or text != text.lower():
        raise OptionError(
            f"resource: {text!r} is not allowed; allowed: a plural as `pods`, `deployments.apps`, `pods/status`, `*/scale`"
        )
    for known in facts.resources():
        if plural in (known.singular, *known.short_names) and not facts.resource(known.group, plural):
            raise OptionError(f"resource: there is no {plural!r}; did you mean {known.plural!r}?")
    return plural, group if dot else None, sub


def text_reader(read: Callable[[Call], str]) -> Reader:
    """The reader of a word that is compared with a text of the call."""

    def reader(word: str, value: Any) -> Callable[[Call], object]:
        wanted = texts(word, value)
        return lambda call: any(fnmatchcase(read(call), one) for one in wanted)

    return reader


def _users(word: str, value: Any) -> Callable[[Call], object]:
    wanted = texts(word, value)
    return lambda call: any(
        fnmatchcase(call.user, one) or (call.impersonated != "" and fnmatchcase(call.impersonated, one))
        for one in wanted
    )


def _agents(word: str, value: Any) -> Callable[[Call], object]:
    """The whole header, or one of the words between its slashes and blanks."""
    wanted = texts(word, value)

    def holds(call: Call) -> bool:
        agent = call.agent
        parts = (agent, *agent.replace("/", " ").split())
        return any(fnmatchcase(part, one) for part in parts for one in wanted)

    return holds


def _where(word: str, value: Any) -> Callable[[Call], object]:
    if not callable(value):
        raise OptionError(f"{word}: {value!r} is not allowed; allowed: a function of the call")
    question: Callable[[Call], object] = value
    return question


READERS: Mapping[str, Reader] = {
    "verb": _verbs,
    "resource": _resources,
    "namespace": text_reader(lambda call: call.namespace),
    "name": text_reader(lambda call: call.name),
    "user": _users,
    "agent": _agents,
    "path": text_reader(lambda call: call.path),
    "where": _where,
}


# --- the middleware


class Traffic:
    """A middleware around an API server's handler, for one cluster."""

    def __init__(self, clock: Clock, faults: "Faults", audit: "Audit") -> None:
        self._clock = clock
        self.faults = faults
        self.audit = audit
        self._authenticate: Callable[[Request], Awaitable[User]] | None = None
        self.faults.clock = clock
        self.under_way = 0
        """Requests that are not answered yet; a stream is, once it has begun."""

    def around(self, handler: Handler) -> Handler:
        """The handler inside; a wire.http.Middleware."""
        clock, faults, audit = self._clock, self.faults, self.audit

        async def answer(request: Request) -> Response:
            if request.peer.user is None:
                request = await self._identified(request)
            began = clock.monotonic()
            call = Call(request, clock.now())
            self.under_way += 1
            try:
                if faults.quiet:
                    response = await handler(request)
                    call.done = response.status
                else:
                    response = await faults.answer(call, handler)
                call.code = response.status
                body = response.body
                if type(body) is bytes:
                    if response.status >= 400 or request.method == "POST":
                        call.answer = body
                else:
                    faults.opened(call, response)
                return response
            finally:
                self.under_way -= 1
                call.seconds = clock.monotonic() - began
                audit.add(call)

        return answer

    def attach(self, server: "ApiServer") -> None:
        """Once the server is made, in the loop in which it runs: from now on its authenticators say who asks.

        What they find goes on with the request, so that the server does not ask them again.
        """
        self._authenticate = server.authenticator.authenticate
        self.faults.attach(asyncio.get_running_loop(), lambda: server.cache.revision)

    async def _identified(self, request: Request) -> Request:
        if self._authenticate is None:
            return request
        try:
            user = await self._authenticate(request)
        except ApiError:
            return request  # the server refuses it in its own words
        peer = request.peer
        known = Peer(peer.address, peer.certificate, user)
        return Request(request.method, request.target, request.headers, request.body, known, request.warnings)
