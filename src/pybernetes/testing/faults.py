"""Faults: rules by which requests to the API server fail, wait or lose their answer, and by which watches end.

with cluster.faults.add(verb="update", resource="deployments", error="Conflict", times=3) as rule:
    ...
assert rule.hits == 3

A rule looks at requests alone, whoever sends them: controllers, scheduler, nodes and kubectl alike. streams.py is how an
open watch is cut.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Unpack
from urllib.parse import urlencode

from msgspec.structs import replace

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.aio.loopthread import done
from pybernetes.api import errors
from pybernetes.api.errors import BY_REASON, ApiError
from pybernetes.api.objects import GroupResource, User
from pybernetes.apiserver.bulk import Bulk
from pybernetes.apiserver.extension import Attributes
from pybernetes.apiserver.flowcontrol.filter import LATE
from pybernetes.apiserver.pipeline import forbidden, refusal
from pybernetes.apiserver.storage import MODIFIED
from pybernetes.testing.errors import FORKED, OptionError, WrongLoopError
from pybernetes.testing.streams import Stream, ended
from pybernetes.testing.traffic import READERS, Call, Selection, Words, selection
from pybernetes.wire.http import Dropped, Handler, Request, Response

TOO_OLD = "too old resource version"
_ASIDE = ("resourceVersion", "timeoutSeconds", "allowWatchBookmarks")
"""What differs between a watch and the one that takes it up again."""


class RuleWords(Words, total=False):
    """What a rule is made of: words that select requests, and Effect's fields."""

    error: str | ApiError
    message: str
    retry_after: int
    delay: float
    drop: bool
    written: bool
    events: int
    expire: bool
    stale: bool
    times: int
    after: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What happens to requests that a rule selects. Raises OptionError for what does not go together."""

    error: str | ApiError | None = None
    """Refused with this reason of the API (`Conflict`, `InternalError`, ...), or this very error."""
    message: str = ""
    """In the place of the error's usual text."""
    retry_after: int | None = None
    """Seconds of the Retry-After header; TooManyRequests has 1 without it, others none."""
    delay: float = 0.0
    """Seconds of the cluster's clock before the request is worked on, or (`written`) before its answer."""
    drop: bool = False
    """The connection is lost. Watches that are open are cut at once."""
    written: bool = False
    """Only the answer suffers: the request is done before. Requests that the server refuses are left alone."""
    events: int | None = None
    """Watches alone: each one, open or new, is cut after so many more events (bookmarks aside); with `error` by an ERROR
    event."""
    expire: bool = False
    """With `drop`: the next watch of who was cut begins with 410, so that it must list again."""
    stale: bool = False
    """Lists that may be old (resourceVersion 0 or one that has passed) show the state in which the rule was added."""
    times: int | None = None
    """Ends after so many hits; None: never."""
    after: int = 0
    """Leaves the first so many alone."""
    probability: float = 1.0
    """Chance of each to be hit, by the clock's chance: a seed repeats it."""

    def __post_init__(self) -> None:
        for name in ("drop", "written", "expire", "stale"):
            _check(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        _check(
            isinstance(self.error, ApiError | None) or self.error in BY_REASON,
            "error",
            self.error,
            ", ".join(BY_REASON),
        )
        _check(isinstance(self.message, str), "message", self.message, "a text")
        for name, least in (("retry_after", 0), ("events", 0), ("times", 1), ("after", 0)):
            value = getattr(self, name)
            _check(value is None or (_is_number(value, int) and value >= least), name, value, f"a count from {least}")
        _check(_is_number(self.delay, int | float) and self.delay >= 0, "delay", self.delay, "seconds, 0 or more")
        fits = _is_number(self.probability, int | float) and 0 < self.probability <= 1
        _check(fits, "probability", self.probability, "more than 0, 1 at most")
        self._check_together()

    def _check_together(self) -> None:
        chosen = [name for name in ("error", "drop", "stale") if getattr(self, name)]
        if len(chosen) > 1:
            raise OptionError(f"a rule does one thing: {chosen[0]} and {chosen[1]} do not go together")
        if not chosen and not self.delay:
            raise OptionError("a rule does something: give it error, drop, stale or delay")
        needs = (
            ("message", "error", self.message, self.error),
            ("retry_after", "error", self.retry_after is not None, self.error),
            ("expire", "drop", self.expire, self.drop),
            ("events", "drop or error", self.events is not None, self.drop or self.error),
        )
        for name, other, given, there in needs:
            if given and not there:
                raise OptionError(f"{name} goes with {other} only")
        if self.written and (self.stale or self.events is not None):
            raise OptionError("written is for answers of requests: it goes neither with stale nor with events")

    @property
    def shown(self) -> str:
        """As it was given."""
        said = ((one.name, getattr(self, one.name), one.default) for one in fields(self))
        return ", ".join(f"{name}={value!r}" for name, value, default in said if value != default)


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _check(fits: bool, name: str, value: Any, allowed: str) -> None:
    if not fits:
        raise OptionError(f"{name}: {value!r} is not allowed; allowed: {allowed}")


class Rule:
    """One rule at work; a context manager that removes it. Made by Faults.add()."""

    def __init__(self, faults: "Faults", chosen: Selection, effect: Effect, revision: int) -> None:
        self.effect = effect
        self.hits = 0
        """How often it has struck."""
        self.seen = 0
        """How many requests and watches it could have struck: those that were skipped are among them."""
        self.revision = revision
        """Of the API server when it was added: what `stale` shows."""
        self._faults = faults
        self._selection = chosen

    def __repr__(self) -> str:
        return f"<Rule {self}: {self.hits} hits>"

    def __str__(self) -> str:
        return ", ".join(text for text in (self._selection.shown, self.effect.shown) if text)

    def __enter__(self) -> "Rule":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Ends it; may be called twice. What waits for its delay goes on waiting."""
        self._faults.remove(self)

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.effect.times is not None and self.hits >= self.effect.times

    def selects(self, call: Call) -> bool:
        """Whether it is about this call. Only watches can end after some events."""
        if self.spent or (self.effect.events is not None and call.verb != "watch"):
            return False
        return self._selection.matches(call)

    def strikes(self) -> bool:
        """One occasion: whether it is hit."""
        if self.spent:
            return False
        self.seen += 1
        if self.seen <= self.effect.after:
            return False
        if self.effect.probability < 1 and self._faults.clock.random.random() >= self.effect.probability:
            return False
        self.hits += 1
        return True

    def error(self, call: Call) -> ApiError:
        """What a call is refused with."""
        effect = self.effect
        if isinstance(effect.error, ApiError):
            return effect.error
        assert effect.error is not None
        error = _usual(effect.error, call)
        if effect.message:
            error.message = effect.message
            error.args = (effect.message,)
        if effect.retry_after is not None:
            error.details["retryAfterSeconds"] = effect.retry_after
        return error


class Faults:
    """The rules of one cluster, `cluster.faults`. They may be added and removed at any time, from any thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        """The cluster's, once it runs."""
        self.rules: tuple[Rule, ...] = ()
        """Those in force, in the order in which they were added. The first that refuses or drops a request decides."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._revision: Callable[[], int] = int
        self._streams: dict[Stream, None] = {}
        self._owed: dict[tuple[str, ...], tuple[str, str]] = {}
        """Watches that begin with 410: who watches what, to the content type and the rule."""

    def attach(self, loop: asyncio.AbstractEventLoop, revision: Callable[[], int]) -> None:
        """The API server runs in this loop from now on; `revision` is its newest."""
        self._loop, self._revision, self._process = loop, revision, os.getpid()

    def add(self, **words: Unpack[RuleWords]) -> Rule:
        """A new rule, in force until it is removed. Raises OptionError for words that mean nothing, with what is allowed."""
        given: dict[str, Any] = dict(words)
        known = [one.name for one in fields(Effect)]
        for word in given:
            if word not in known and word not in READERS:
                raise OptionError(f"there is no word {word!r} for rules; known: {', '.join((*READERS, *known))}")
        effect = Effect(**{name: value for name, value in given.items() if name in known and value is not None})
        chosen = selection({name: value for name, value in given.items() if name in READERS}, READERS)
        if effect.events is not None and given.get("verb") not in (None, "watch"):
            raise OptionError(f"events are those of watches: verb is 'watch' or left out, not {given['verb']!r}")
        rule = Rule(self, chosen, effect, self._revision())
        self._in_loop(lambda: self._begin(rule))
        return rule

    def remove(self, rule: Rule) -> None:
        """Ends a rule; one that has ended already may be given."""
        self._in_loop(lambda: self._end(lambda other: other is rule))

    def clear(self) -> None:
        """Ends all rules, and forgets which watches were to begin with 410."""
        self._in_loop(lambda: self._end(lambda other: True))
        self._owed.clear()

    @property
    def quiet(self) -> bool:
        """Whether no request can be hit."""
        return not self.rules and not self._owed

    def _begin(self, rule: Rule) -> None:
        self.rules = (*self.rules, rule)
        for stream in tuple(self._streams):
            if rule.selects(stream.call):
                self._watched(rule, stream, fresh=False)

    def _end(self, which: Callable[[Rule], bool]) -> None:
        self.rules = tuple(rule for rule in self.rules if not which(rule))

    def _in_loop(self, act: Callable[[], None]) -> None:
        """Acts at once, in the loop's own thread where the loop runs in another."""
        loop = self._loop
        if loop is not None and os.getpid() != self._process:
            raise WrongLoopError(FORKED)
        if loop is None or not loop.is_running() or asyncio._get_running_loop() is loop:
            act()
            return
        asyncio.run_coroutine_threadsafe(done(act), loop).result()

    # --- requests

    async def answer(self, call: Call, handler: Handler) -> Response:
        """What a request is answered, by the rules or by the handler. Raises Dropped where the connection is lost."""
        owed = self._owed.pop(_watch_of(call), None) if call.verb == "watch" and self._owed else None
        if owed is not None and _named_revision(call) not in ("", "0"):
            call.fault = owed[1]
            return ended(owed[0], errors.Expired(TOO_OLD))
        acting = [rule for rule in self.rules if rule.selects(call)]
        request = call.request
        for rule in acting:
            if rule.effect.written or rule.effect.events is not None:
                continue
            older = _older(call, rule.revision) if rule.effect.stale else None
            if (rule.effect.stale and older is None) or not rule.strikes():
                continue
            if older is not None:
                call.fault, request = str(rule), older
            response = await self._hit(rule, call)
            if response is not None:
                return response
        response = await handler(request)
        call.done = response.status
        return response if response.status >= 400 else await self._done(acting, call, response)

    async def _done(self, acting: Sequence[Rule], call: Call, response: Response) -> Response:
        """What becomes of the answer to a request that is done."""
        for rule in acting:
            if not rule.effect.written or not rule.strikes():
                continue
            try:
                instead = await self._hit(rule, call)
            except Dropped:
                await _closed(response)
                raise
            if instead is not None:
                await _closed(response)
                return instead
        return response

    async def _hit(self, rule: Rule, call: Call) -> Response | None:
        """Waits as a rule says; the refusal it gives, None where it only waits. Raises Dropped."""
        if rule.effect.delay:
            await self.clock.sleep(rule.effect.delay)
        if rule.effect.drop:
            call.fault = str(rule)
            raise Dropped(f"connection lost by a fault: {rule}")
        if rule.effect.error:
            call.fault = str(rule)
            return refusal(call.request, rule.error(call))
        return None

    # --- watches

    def opened(self, call: Call, response: Response) -> None:
        """Takes in a stream that has begun, so that rules can cut it."""
        body = response.body
        if isinstance(body, bytes | Bulk):
            return
        stream = Stream(call, body, response.headers.get("content-type"), self._streams)
        response.body = stream
        for rule in self.rules:
            if rule.effect.events is not None and rule.selects(call):
                self._watched(rule, stream, fresh=True)

    def _watched(self, rule: Rule, stream: Stream, *, fresh: bool) -> None:
        """A rule and a stream have met."""
        effect = rule.effect
        if effect.events:
            stream.count(effect.events, lambda: self._cut(rule, stream))
        elif effect.events == 0 or (effect.drop and not effect.written and not fresh):
            self._cut(rule, stream)

    def _cut(self, rule: Rule, stream: Stream) -> bool:
        call = stream.call
        if rule not in self.rules or not rule.strikes():
            return False
        if rule.effect.drop:
            if rule.effect.expire and call.verb == "watch":
                self._owed[_watch_of(call)] = (stream.media, str(rule))
            stream.cut(Dropped(f"watch cut by a fault: {rule}"))
        else:
            stream.cut(rule.error(call))
        return True


async def _closed(response: Response) -> None:
    """Whoever drops a Response closes its stream."""
    close = getattr(response.body, "aclose", None)
    if close is not None:
        await close()


def _named_revision(call: Call) -> str:
    return next(iter(call.query.get("resourceVersion", ())), "")


def _watch_of(call: Call) -> tuple[str, ...]:
    """What a watch and the one that takes it up again have in common."""
    query = sorted((name, value) for name, values in call.query.items() if name not in _ASIDE for value in values)
    return (call.user, call.agent, call.path, *(text for pair in query for text in pair))


def _older(call: Call, revision: int) -> Request | None:
    """The same list as of a revision; None where that would not be what was asked for."""
    query, named = call.query, _named_revision(call)
    if call.verb != "list" or "continue" in query or query.get("resourceVersionMatch", [""]) == ["Exact"]:
        return None
    if not named.isdigit() or int(named) > revision:
        return None
    asked = {name: values for name, values in query.items() if name != "resourceVersionMatch"}
    asked |= {"resourceVersion": [str(revision)], "resourceVersionMatch": ["Exact"]}
    request = call.request
    return Request(
        request.method,
        f"{request.raw_path}?{urlencode(asked, doseq=True)}",
        request.headers,
        request.body,
        request.peer,
    )


def _usual(reason: str, call: Call) -> ApiError:
    """The error as the API server itself words it."""
    info, resource = call.info, GroupResource(call.group, call.info.resource)
    match reason:
        case "Conflict":
            return errors.conflict(resource, call.name, MODIFIED)
        case "AlreadyExists":
            return errors.already_exists(resource, call.name)
        case "NotFound":
            return errors.not_found(resource, call.name)
        case "Forbidden":
            about = Attributes(User(call.user), call.verb, call.path, call.group, call.version, info.resource)
            about = replace(about, subresource=info.subresource, namespace=info.namespace, name=call.name)
            return forbidden(about, "")
        case "Unauthorized":
            return errors.Unauthorized()
        case "TooManyRequests":
            text = "Too many requests, please try again later."
            return errors.TooManyRequests(text, details={"retryAfterSeconds": 1})
        case "InternalError":
            cause = "a fault was asked for"
            return errors.InternalError(f"Internal error occurred: {cause}", details={"causes": [{"message": cause}]})
        case _:
            return BY_REASON[reason](_TEXTS.get(reason, "the server rejected our request for an unknown reason"))


_TEXTS = {
    "ServiceUnavailable": "the server is currently unable to handle the request",
    "Timeout": LATE,
    "Expired": TOO_OLD,
    "Invalid": "the server rejected our request due to an error in our request",
    "MethodNotAllowed": "the server does not allow this method on the requested resource",
    "RequestEntityTooLarge": "Request entity too large: limit is 3145728",
}
