"""Audit: what was asked of the API server, by whom, in which order, and what came of it; and assertions about that.

await deploy(cluster)
cluster.audit.assert_order("create namespaces shop", "create deployments.apps shop/web")
with cluster.audit.recording() as calls:
    ...
calls.assert_none(verb="update", agent="my-operator")

Upstream's audit log (policies, stages, backends) belongs to its API server and is another thing.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias, Unpack

from pybernetes.aio.clock import rfc3339_micro
from pybernetes.kubectl.printers.table import layout
from pybernetes.testing.errors import OptionError
from pybernetes.testing.traffic import (
    READERS,
    VERBS,
    Call,
    Reader,
    Selection,
    Word,
    Words,
    selection,
    text_reader,
    texts,
)

KEEP = 10_000
"""Calls that are remembered."""
KEEP_BYTES = 64 * 1024 * 1024
"""Bytes of their bodies together."""
SHOWN = 10
"""Calls that a failed assertion shows."""
_LATEST = 25
"""Calls in a table that is not limited."""

Codes: TypeAlias = int | range | Sequence[int]


class CallWords(Words, total=False):
    """What selects calls that are over: the words of faults, and these."""

    code: Codes
    reason: Word
    manager: Word
    patch: Word
    dry_run: bool


Step: TypeAlias = str | CallWords
"""`verb resource [namespace/]name`, the end of it left out at will; or the words of calls()."""


class IncompleteAuditError(AssertionError):
    """What was asked about is not remembered as a whole. Says how to keep more."""


class Calls(ABC):
    """What can be asked of remembered calls; all words are those of CallWords. Answers are in order of the calls' ends."""

    @abstractmethod
    def _remembered(self) -> tuple[Sequence[Call], int]:
        """The calls, and how many older ones are forgotten."""

    def __len__(self) -> int:
        return len(self._remembered()[0])

    def __iter__(self) -> Iterator[Call]:
        return iter(self._remembered()[0])

    def __str__(self) -> str:
        return self.table()

    def calls(self, **words: Unpack[CallWords]) -> list[Call]:
        """Those that fit. Raises OptionError for words that mean nothing."""
        chosen = _selection(words)
        return [call for call in self._remembered()[0] if chosen.matches(call)]

    def writes(self, **words: Unpack[CallWords]) -> list[Call]:
        """Those of them by which something was stored or deleted, also if the client was not told."""
        return [call for call in self.calls(**words) if call.write]

    def counts(
        self, by: str | Sequence[str] = ("user", "verb", "resource"), **words: Unpack[CallWords]
    ) -> Counter[Any]:
        """How many there are of each user, verb and resource, or of whatever `by` names: attributes of Call."""
        names = texts("by", by)
        for name in names:
            if name not in _ATTRIBUTES:
                raise OptionError(f"by: there is no {name!r} of calls; known: {', '.join(_ATTRIBUTES)}")
        found: Counter[Any] = Counter()
        for call in self.calls(**words):
            values = tuple(getattr(call, name) for name in names)
            found[values[0] if isinstance(by, str) else values] += 1
        return found

    def writers(self, **words: Unpack[CallWords]) -> Counter[tuple[str, str, str, str]]:
        """How often who wrote what: (field manager, verb, resource, namespace/name) to a count."""
        return Counter((call.manager, call.verb, call.resource, call.key) for call in self.writes(**words))

    def table(self, limit: int = _LATEST, **words: Unpack[CallWords]) -> str:
        """The last calls that fit, for people to read."""
        found = self.calls(**words)
        lines = calls_table(found[-limit:])
        if len(found) > limit:
            return f"{lines}\n(the last {limit} of {len(found)})"
        return lines

    # --- assertions

    def assert_count(
        self, count: int | None = None, *, at_least: int = 0, at_most: int | None = None, **words: Unpack[CallWords]
    ) -> list[Call]:
        """Fails unless so many calls fit: exactly `count`, or between the other two. The calls."""
        __tracebackhide__ = True
        low, high = (at_least, at_most) if count is None else (count, count)
        for value in (low, high):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise OptionError(f"a count is a whole number from 0, not {value!r}")
        found, chosen = self.calls(**words), _selection(words)
        if len(found) < low or (high is not None and len(found) > high):
            wanted = f"{low}" if low == high else f"at least {low}" if high is None else f"{low} to {high}"
            raise AssertionError(self._told(f"wanted {wanted} calls with {chosen.shown or 'any words'}", found, chosen))
        if high is not None:
            self._must_be_whole()
        return found

    def assert_none(self, **words: Unpack[CallWords]) -> None:
        """Fails if any call fits."""
        __tracebackhide__ = True
        self.assert_count(0, **words)

    def assert_order(self, *steps: Step, **words: Unpack[CallWords]) -> list[Call]:
        """Fails unless a call of each step came after one of the step before; `words` hold for all of them. The calls.

        Other calls may come between. The first that fits a step is taken.
        """
        __tracebackhide__ = True
        if not steps:
            raise OptionError("assert_order takes steps, such as 'create pods shop/web' or {'verb': 'create'}")
        calls, found, at = self._remembered()[0], list[Call](), 0
        wanted = [_selection({**words, **_step(step)}) for step in steps]
        for number, chosen in enumerate(wanted):
            at, call = next(((i + 1, one) for i, one in enumerate(calls[at:], at) if chosen.matches(one)), (at, None))
            if call is None:
                before = f" after call {found[-1].number} ({wanted[number - 1].shown})" if found else ""
                earlier = [one for one in calls[:at] if chosen.matches(one)]
                raise AssertionError(
                    self._told(f"step {number + 1}, {chosen.shown}, was not found{before}", earlier, chosen)
                )
            found.append(call)
        return found

    def _must_be_whole(self) -> None:
        __tracebackhide__ = True
        forgotten = self._remembered()[1]
        if forgotten:
            raise IncompleteAuditError(
                f"{forgotten} older calls are forgotten, so nothing can be said of them: set audit.keep and "
                "audit.keep_bytes higher, or look at a part with audit.recording()"
            )

    def _told(self, what: str, found: Sequence[Call], chosen: Selection) -> str:
        calls, forgotten = self._remembered()
        lines = [f"{what}; found {len(found)} of {len(calls)} calls:" if calls else f"{what}; there was no call"]
        if found:
            lines.append(calls_table(found[-SHOWN:]))
            if len(found) > SHOWN:
                lines.append(f"(the last {SHOWN})")
        near = _nearest(calls, found, chosen)
        if near:
            lines += ["nearest to it:", calls_table(near, chosen)]
        if forgotten:
            lines.append(f"({forgotten} older calls are forgotten; audit.keep is how many are remembered)")
        return "\n".join(lines)


class Audit(Calls):
    """The calls of one cluster, `cluster.audit`: its own components' among them. The oldest are forgotten first."""

    def __init__(self, keep: int = KEEP, keep_bytes: int = KEEP_BYTES) -> None:
        self._calls: deque[Call] = deque()
        self.keep = keep
        """How many calls are remembered; set it at will, 0 remembers none."""
        self.keep_bytes = keep_bytes
        """How many bytes of their bodies."""
        self.count = 0
        """All there were."""
        self.size = 0
        """Bytes of bodies that are remembered now."""

    def add(self, call: Call) -> None:
        """Takes in a call that is over. Many a second pass here: nothing is read of it yet."""
        self.count += 1
        call.number = self.count
        self.size += call.size
        self._calls.append(call)
        if len(self._calls) > self.keep or self.size > self.keep_bytes:
            self._forget()

    def _forget(self) -> None:
        while self._calls and (len(self._calls) > self.keep or self.size > self.keep_bytes):
            self.size -= self._calls.popleft().size

    @property
    def forgotten(self) -> int:
        """How many there were that are not remembered."""
        return self.count - len(self._calls)

    def clear(self) -> None:
        """Forgets all, as if nothing had been asked so far."""
        self._calls.clear()
        self.count = self.size = 0

    def recording(self) -> "Recording":
        """A context manager that has the calls of its section alone, also after its end."""
        return Recording(self)

    def _remembered(self) -> tuple[Sequence[Call], int]:
        calls = list(self._calls)  # in one step: the cluster may run in another thread
        return calls, self.count - len(calls)


class Recording(Calls):
    """The calls that ended within a `with`."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._begun: int | None = None
        self._kept: tuple[Sequence[Call], int] | None = None

    def __enter__(self) -> "Recording":
        self._begun, self._kept = self._audit.count, None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept = self._remembered()

    def _remembered(self) -> tuple[Sequence[Call], int]:
        if self._kept is not None:
            return self._kept
        if self._begun is None:
            raise OptionError("a recording begins with `with audit.recording() as calls:`")
        begun = self._begun
        calls, forgotten = self._audit._remembered()
        return [call for call in calls if call.number > begun], max(0, forgotten - begun)


# --- words


def _codes(word: str, value: Any) -> Callable[[Call], object]:
    wanted = (value,) if isinstance(value, int) else value
    if isinstance(value, bool) or not isinstance(wanted, Sequence) or not all(isinstance(one, int) for one in wanted):
        raise OptionError(
            f"{word}: {value!r} is not allowed; allowed: 409, (404, 409), range(400, 500); 0 is an answer lost"
        )
    return lambda call: call.code in wanted


def _flag(word: str, value: Any) -> Callable[[Call], object]:
    if not isinstance(value, bool):
        raise OptionError(f"{word}: {value!r} is not allowed; allowed: True or False")
    return lambda call: call.dry_run is value


_READERS: Mapping[str, Reader] = {
    **READERS,
    "code": _codes,
    "reason": text_reader(lambda call: call.reason),
    "manager": text_reader(lambda call: call.manager),
    "patch": text_reader(lambda call: call.patch),
    "dry_run": _flag,
}
_ATTRIBUTES = (
    *("user", "impersonated", "agent", "manager", "verb", "resource", "group", "version", "subresource", "namespace"),
    *("name", "key", "path", "code", "done", "reason", "patch", "dry_run", "fault"),
)


def _selection(words: Mapping[str, Any]) -> Selection:
    return selection(words, _READERS)


def _step(step: Step) -> Mapping[str, Any]:
    """The words of a step. Raises OptionError."""
    if isinstance(step, Mapping):
        return step
    if not isinstance(step, str):
        raise OptionError(f"a step is 'create pods shop/web' or a dict of words, not {step!r}")
    parts = step.split()
    if not 1 <= len(parts) <= 3 or parts[0] not in VERBS:
        raise OptionError(f"step {step!r}: wanted 'verb resource [namespace/]name'; verbs: {', '.join(VERBS)}")
    words: dict[str, Any] = dict(zip(("verb", "resource", "name"), parts, strict=False))
    if "/" in words.get("name", ""):
        words["namespace"], _, words["name"] = words["name"].partition("/")
    return words


# --- for people


def calls_table(calls: Iterable[Call], chosen: Selection | None = None, *, within: str = "") -> str:
    """Calls as a table; with a selection, what of it does not fit is the last column. The namespace that all are within
    is left out."""
    head = ("#", "TIME", "CODE", "VERB", "RESOURCE", "OBJECT", "MS", "WHO")
    rows = [_row(call, chosen, within) for call in calls]
    return "\n".join(layout([(*head, "DIFFERS IN") if chosen is not None else head, *rows]))


def _row(call: Call, chosen: Selection | None, within: str) -> tuple[str, ...]:
    row = (
        str(call.number),
        f"{rfc3339_micro(call.time)[11:23]}",
        _outcome(call),
        "apply" if call.patch == "apply" else call.verb,
        call.resource or call.path,
        _short(call.key.removeprefix(f"{within}/"), 48),
        f"{call.seconds * 1000:.1f}",
        _who(call),
    )
    return row if chosen is None else (*row, ", ".join(chosen.differs(call)))


def _outcome(call: Call) -> str:
    """Code and reason, and what is out of the ordinary about them."""
    notes = []
    if call.fault:
        notes.append("fault, but written" if call.write else "fault")
    if call.dry_run:
        notes.append("dry run")
    told = f"{call.code} {call.reason}".rstrip() if call.code else "lost"
    return f"{told} ({', '.join(notes)})" if notes else told


def _who(call: Call) -> str:
    """The user and the program; of the cluster's own components the program alone, which says more."""
    words = [word for word in call.agent.partition(" ")[0].split("/") if word and not word.lstrip("v")[:1].isdigit()]
    program = words[-1] if words else ""
    if call.user.startswith("system:") and not call.user.startswith("system:serviceaccount:") and program:
        return program
    user = f"{call.impersonated} by {call.user}" if call.impersonated else call.user or "nobody"
    return _short(f"{user} ({program})" if program else user, 48)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _nearest(calls: Sequence[Call], found: Sequence[Call], chosen: Selection) -> list[Call]:
    """Calls that fit in all but few words, the fewest first; of those the last ones, in order."""
    seen, ranked = {call.number for call in found}, list[tuple[int, int, Call]]()
    for call in calls:
        missing = len(chosen.differs(call))
        if call.number not in seen and 0 < missing < max(2, len(chosen.terms)):
            ranked.append((missing, -call.number, call))
    best = sorted(ranked, key=lambda one: one[:2])[:SHOWN]
    return sorted((call for _, _, call in best), key=lambda call: call.number)
