"""Label and field selectors: from text or metav1.LabelSelector to something that matches. Lists and watches use both.

Faults are ValueErrors with upstream's words; the API server makes BadRequests of them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pybernetes.api import errors, names

if TYPE_CHECKING:
    from pybernetes.api.types import meta_v1

_SPACES = " \t\r\n"
_SPECIAL = "=!(),><"
_OPERATORS = {"in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}
_TOKENS = frozenset({")", ",", "!", "(", *_OPERATORS})
_END = ""
_SEPARATORS = "',' or ')'"
_SHOWN_OPERATORS = "in, notin, =, ==, !=, gt, lt"
_EXPRESSIONS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class Requirement(Struct, frozen=True):
    """One term. `operator` is one of in notin = == != gt lt exists and `!` (does not exist); values are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels satisfies the term."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not _is_integer(value):
            return False
        left, right = int(value), int(self.values[0])
        return left > right if self.operator == "gt" else left < right

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
        return f"{self.key}{self.operator}{self.values[0]}"


class Selector(Struct, frozen=True):
    """All requirements must hold; none selects everything. `nothing` matches no object at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """Whether it restricts nothing."""
        return not self.requirements and not self.nothing

    @property
    def exact(self) -> tuple[str, str] | None:
        """A label, with its value, that everything selected has; None where no term names one. Indexes go by it."""
        for term in self.requirements:
            if len(term.values) == 1 and term.operator in ("=", "==", "in"):
                return term.key, term.values[0]
        return None

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        found = labels or {}
        return all(requirement.matches(found) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def parse(text: str) -> Selector:
    """The selector of a query's `labelSelector`. Raises ValueError."""
    return Selector(tuple(sorted(_Parser(text).parse(), key=lambda r: r.key))) if text else EVERYTHING


def of_labels(labels: Mapping[str, str]) -> Selector:
    """Exactly these labels (a Service's or ReplicationController's selector); none selects everything."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))


def of_label_selector(selector: "meta_v1.LabelSelector | Mapping[str, Any] | None") -> Selector:
    """Of a metav1.LabelSelector: none selects nothing, an empty one everything. Raises ValueError."""
    if selector is None:
        return NOTHING
    if isinstance(selector, Mapping):
        labels = selector.get("matchLabels") or {}
        terms = [(e.get("key", ""), e.get("operator", ""), e.get("values")) for e in _expressions(selector)]
    else:
        labels = selector.matchLabels
        terms = [(e.key, e.operator, e.values) for e in selector.matchExpressions]
    found = [_requirement(key, "=", (value,)) for key, value in labels.items()]
    for key, operator, values in terms:
        if operator not in _EXPRESSIONS:
            raise ValueError(f'"{operator}" is not a valid label selector operator')
        found.append(_requirement(key, _EXPRESSIONS[operator], tuple(values or ())))
    return Selector(tuple(sorted(found, key=lambda r: r.key)))


def _expressions(selector: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return selector.get("matchExpressions") or []


class FieldTerm(Struct, frozen=True):
    """`spec.nodeName=n1`; `equal` is False for `!=`. A field that an object lacks counts as the empty string."""

    field: str
    value: str
    equal: bool = True

    def matches(self, fields: Mapping[str, str]) -> bool:
        return (fields.get(self.field, "") == self.value) is self.equal

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{'=' if self.equal else '!='}{escaped}"


class FieldSelector(Struct, frozen=True):
    """All terms must hold; none selects everything."""

    terms: tuple[FieldTerm, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.terms

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these selectable fields is selected."""
        return all(term.matches(fields) for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The one value that the field must have, if any: with `metadata.name` a list is a get."""
        return next((t.value for t in self.terms if t.field == field and t.equal), None)

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


def parse_fields(text: str) -> FieldSelector:
    """The selector of a query's `fieldSelector`; empty terms are skipped. Raises ValueError."""
    return FieldSelector(tuple(_field_term(text, part) for part in sorted(_split(text)) if part))


def _split(text: str) -> list[str]:
    """At commas that are not escaped."""
    parts, current, escaped = [], "", False
    for letter in text:
        if letter == "," and not escaped:
            parts.append(current)
            current = ""
            continue
        escaped = letter == "\\" and not escaped
        current += letter
    return [*parts, current]


def _field_term(text: str, part: str) -> FieldTerm:
    for at in range(len(part)):
        for operator in ("!=", "==", "="):
            if part.startswith(operator, at) and (at == 0 or part[at - 1] != "\\"):
                value = _unescaped(part[at + len(operator) :])
                return FieldTerm(part[:at], value, operator != "!=")
    raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")


def _unescaped(value: str) -> str:
    found, escaped = "", False
    for letter in value:
        if escaped:
            if letter not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{letter}")
            found, escaped = found + letter, False
        elif letter == "\\":
            escaped = True
        elif letter in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {letter}")
        else:
            found += letter
    if escaped:
        raise ValueError("invalid field selector: invalid escape sequence: \\")
    return found


def _tokens(text: str) -> list[str]:
    """Words and operators, the longest operator first; ends with the empty string."""
    found, at = [], 0
    while at < len(text):
        if text[at] in _SPACES:
            at += 1
            continue
        if text[at] in _SPECIAL:
            size = 2 if text[at : at + 2] in ("==", "!=") else 1
        else:
            size = next((n for n, c in enumerate(text[at:]) if c in _SPECIAL or c in _SPACES), len(text) - at)
        found.append(text[at : at + size])
        at += size
    return [*found, _END]


def _is_word(token: str) -> bool:
    """`in` and `notin` are words where a key or a value may stand."""
    return token != _END and (token not in _TOKENS or token in ("in", "notin"))


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def next(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self) -> str:
        return self.tokens[self.at]

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while (token := self.peek()) != _END:
            if not _is_word(token) and token != "!":
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            after = self.next()
            if after == _END:
                break
            if after != ",":
                raise ValueError(f"found '{after}', expected: ',' or 'end of string'")
            if not _is_word(self.peek()) and self.peek() != "!":
                raise ValueError(f"found '{self.peek()}', expected: identifier after ','")
        return found

    def requirement(self) -> Requirement:
        key = self.next()
        absent = key == "!"
        if absent:
            key = self.next()
        if not _is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        if faults := names.qualified_name(key):
            raise ValueError(str(errors.invalid_value("<nil>", key, "; ".join(faults))))
        if absent and self.peek() in (_END, ","):
            return _requirement(key, "!", ())
        if self.peek() in (_END, ","):
            return _requirement(key, "exists", ())
        token = self.next()
        if token not in _OPERATORS:
            raise ValueError(f"found '{token}', expected: {_SHOWN_OPERATORS}")
        operator = _OPERATORS[token]
        values = self.set_values() if operator in ("in", "notin") else self.exact_value()
        return _requirement(key, operator, tuple(sorted(set(values))))

    def set_values(self) -> list[str]:
        token = self.next()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        values, expect_value = [], True
        while True:
            token = self.next()
            if _is_word(token):
                if not expect_value:
                    raise ValueError(f"found '{token}', expected: ',' or ')'")
                values.append(token)
                expect_value = False
            elif token == ",":
                if expect_value:
                    values.append("")
                expect_value = True
            elif token == ")":
                return [*values, ""] if expect_value else values
            else:
                wanted = "',', ')' or identifier" if not values else "',', or identifier"
                raise ValueError(f"found '{token}', expected: {wanted if expect_value else _SEPARATORS}")

    def exact_value(self) -> list[str]:
        if self.peek() in (_END, ","):
            return [""]
        token = self.next()
        if not _is_word(token):
            raise ValueError(f"found '{token}', expected: identifier")
        return [token]


def _requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """A checked one (labels.NewRequirement)."""
    found: list[errors.FieldError] = []
    if faults := names.qualified_name(key):
        found.append(errors.invalid_value("key", key, "; ".join(faults)))
    shown = list(values)
    if operator in ("in", "notin") and not values:
        found.append(errors.invalid_value("values", shown, "for 'in', 'notin' operators, values set can't be empty"))
    elif operator in ("exists", "!") and values:
        found.append(errors.invalid_value("values", shown, "values set must be empty for exists and does not exist"))
    elif operator in ("gt", "lt") and not _is_integer(values[0]):
        text = "for 'Gt', 'Lt' operators, the value must be an integer"
        found.append(errors.invalid_value("values[0]", values[0], text))
    for index, value in enumerate(values):
        if faults := names.label_value(value):
            found.append(errors.invalid_value(f"values[{index}][{key}]", value, "; ".join(faults)))
    if found:
        texts = [str(fault) for fault in found]
        raise ValueError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return Requirement(key, operator, tuple(sorted(values)))


def _is_integer(text: str) -> bool:
    digits = text[1:] if text[:1] in ("+", "-") else text
    return digits.isascii() and digits.isdigit() and -(2**63) <= int(text) < 2**63
