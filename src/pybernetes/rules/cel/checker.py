"""The types of CEL expressions: what cannot be right whatever the values are. For warnings about policies.

Only what is certain is a fault: functions that are not known here give a value of any type, and so does what the
schema leaves open. Messages and places are the language's own (cel-go).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from pybernetes.rules.cel.syntax import Call, Entries, Items, Literal, Name, Node, Select, SyntaxFault, parse


class Type(Struct, frozen=True):
    """A type. `parts`: of a list its items, of a map its keys and values. An object has `fields`."""

    name: str
    parts: tuple["Type", ...] = ()
    fields: "Callable[[str], Type | None] | None" = None

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parts))})" if self.parts else self.name


class Fault(Struct, frozen=True):
    """Where, as an offset into the text, and why."""

    at: int
    why: str


ANY = Type("dyn")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL = Type("string"), Type("bytes"), Type("null")
TIMESTAMP, DURATION = Type("timestamp"), Type("duration")
_NUMBERS = (INT, UINT, DOUBLE)
_LITERALS = {"bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES, "null": NULL}
_PLAIN = (BOOL, *_NUMBERS, STRING, BYTES)
_ORDERED = (*_PLAIN, TIMESTAMP, DURATION)
_SAME = {
    "_+_": (*_NUMBERS, STRING, BYTES, DURATION),
    "_-_": (*_NUMBERS, DURATION),
    "_*_": _NUMBERS,
    "_/_": _NUMBERS,
    "_%_": (INT, UINT),
}
"""Operators whose two sides and result are one of these."""
_TIMES = {
    ("_+_", TIMESTAMP, DURATION): TIMESTAMP,
    ("_+_", DURATION, TIMESTAMP): TIMESTAMP,
    ("_-_", TIMESTAMP, TIMESTAMP): DURATION,
    ("_-_", TIMESTAMP, DURATION): TIMESTAMP,
}
_SIZED = ("string", "bytes", "list", "map")
_TESTS = frozenset({"startsWith", "endsWith", "contains", "matches"})
_RESULTS = {
    **dict.fromkeys(("lowerAscii", "upperAscii", "trim", "replace", "substring", "join", "format", "find"), STRING),
    **dict.fromkeys(("indexOf", "lastIndexOf"), INT),
    **dict.fromkeys(("isSorted", "isQuantity", "isURL", "isIP", "isCIDR"), BOOL),
    **dict.fromkeys(("split", "findAll"), Type("list", (STRING,))),
}
"""What some functions give, whatever they are given."""
_CONVERSIONS = {
    "int": INT,
    "uint": UINT,
    "double": DOUBLE,
    "string": STRING,
    "bytes": BYTES,
    "bool": BOOL,
    "timestamp": TIMESTAMP,
    "duration": DURATION,
    "dyn": ANY,
    "type": ANY,
}
_QUESTIONS = frozenset({"all", "exists", "exists_one", "existsOne"})
_MACROS = _QUESTIONS | {"map", "filter"}


def list_of(item: Type) -> Type:
    """A list."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """A map."""
    return Type("map", (key, value))


def check(text: str, variables: Mapping[str, Type]) -> tuple[Type, list[Fault]]:
    """The type of an expression that may use these variables, and its faults in the order of the text."""
    checker = _Checker(variables)
    try:
        found = checker.type_of(parse(text))
    except SyntaxFault as fault:
        return ANY, [Fault(fault.at, f"Syntax error: {fault}")]
    except RecursionError:
        return ANY, []  # longer than anybody writes: it is not judged
    return found, sorted(checker.faults, key=lambda fault: fault.at)


def shown(text: str, faults: Iterable[Fault]) -> str:
    """As cel-go prints issues: each with its line and a caret below."""
    parts = []
    for fault in faults:
        before = text[: fault.at]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1)
        source = text.split("\n")[line - 1]
        parts.append(f"ERROR: <input>:{line}:{column + 1}: {fault.why}\n | {source}\n | {'.' * column}^")
    return "\n".join(parts)


def _joined(types: Sequence[Type]) -> Type:
    """What all of them are."""
    return types[0] if types and all(one == types[0] for one in types) else ANY


def _may_equal(one: Type, other: Type) -> bool:
    if ANY in (one, other):
        return True
    if NULL in (one, other):
        return one == other or not (one in _PLAIN or other in _PLAIN)
    if one in _NUMBERS and other in _NUMBERS:
        return True
    if one.fields is not None or other.fields is not None:
        return one.fields is not None and other.fields is not None
    return one.name == other.name and all(map(_may_equal, one.parts, other.parts))


class _Checker:
    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._variables = dict(variables)
        self.faults: list[Fault] = []

    def type_of(self, node: Node) -> Type:
        """Of any part; notes what is wrong in it."""
        match node:
            case Literal():
                return _LITERALS[node.kind]
            case Name():
                return self._name(node)
            case Select():
                return self._select(node)
            case Items():
                return list_of(_joined([self.type_of(item) for item in node.items]))
            case Entries():
                return self._entries(node)
            case Call():
                return self._call(node)

    def _fault(self, at: int, why: str) -> Type:
        self.faults.append(Fault(at, why))
        return ANY

    def _name(self, node: Name) -> Type:
        if node.name in self._variables:
            return self._variables[node.name]
        if node.name in _CONVERSIONS:
            return ANY  # the type itself is meant
        return self._fault(node.at, f"undeclared reference to '{node.name}' (in container '')")

    def _select(self, node: Select) -> Type:
        operand = self.type_of(node.operand)
        if operand.fields is not None:
            found = operand.fields(node.field)
            found = found or self._fault(node.at, f"undefined field '{node.field}'")
        elif operand.name == "map":
            found = operand.parts[1]
        elif operand == ANY:
            found = ANY
        else:
            found = self._fault(node.at, f"type '{operand}' does not support field selection")
        return ANY if node.optional else found

    def _entries(self, node: Entries) -> Type:
        values = [self.type_of(value) for _, value in node.entries]
        if node.name:
            return ANY
        return map_of(_joined([self.type_of(key) for key, _ in node.entries]), _joined(values))

    def _call(self, node: Call) -> Type:
        if node.function == "has" and node.target is None:
            for argument in node.arguments:
                self.type_of(argument)
            return BOOL
        if node.target is not None and self._binds(node):
            return self._bound(node)
        if node.target is not None and node.function in _MACROS and _is_macro(node):
            return self._macro(node)
        target = () if node.target is None else (self.type_of(node.target),)
        types = (*target, *(self.type_of(argument) for argument in node.arguments))
        found = _result(node.function, types, method=node.target is not None)
        if found is not None:
            return found
        names = ", ".join(map(str, types))
        applied = f"{types[0]}.({', '.join(map(str, types[1:]))})" if node.target is not None else f"({names})"
        return self._fault(node.at, f"found no matching overload for '{node.function}' applied to '{applied}'")

    def _binds(self, node: Call) -> bool:
        return isinstance(node.target, Name) and (node.target.name, node.function) == ("cel", "bind")

    def _bound(self, node: Call) -> Type:
        """cel.bind(name, value, expression)."""
        if len(node.arguments) != 3 or not isinstance(node.arguments[0], Name):
            return ANY
        name, value, body = node.arguments
        assert isinstance(name, Name)
        return self._within({name.name: self.type_of(value)}, body)

    def _macro(self, node: Call) -> Type:
        assert node.target is not None
        over = self.type_of(node.target)
        if over != ANY and over.name not in ("list", "map"):
            why = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            over = self._fault(node.target.at, why)
        names = [one.name for one in node.arguments[:-1] if isinstance(one, Name)]
        item = over.parts[0] if over.parts else ANY
        if node.function in ("map", "filter") or len(names) == 1:
            known = {names[0]: item}
        else:  # of a list the index and the item, of a map the key and the value
            known = dict(zip(names, (INT, item) if over.name == "list" else (over.parts or (ANY, ANY)), strict=False))
        results = [self._within(known, part) for part in node.arguments[len(known) :]]
        if node.function == "map":
            return list_of(results[-1])
        conditions = results if node.function == "filter" else results[-1:]
        for result, part in zip(conditions, node.arguments[len(known) :], strict=False):
            if result not in (BOOL, ANY):
                self._fault(part.at, f"expected type 'bool' but found '{result}'")
        return list_of(item) if node.function == "filter" else BOOL

    def _within(self, known: Mapping[str, Type], node: Node) -> Type:
        outer = self._variables
        self._variables = {**outer, **known}
        try:
            return self.type_of(node)
        finally:
            self._variables = outer


def _is_macro(node: Call) -> bool:
    return len(node.arguments) > 1 and isinstance(node.arguments[0], Name)


def _result(function: str, types: Sequence[Type], *, method: bool) -> Type | None:
    """What a function gives for arguments of these types; None where it takes no such arguments."""
    if function.startswith("_") or function in ("!_", "-_", "@in"):
        return _operation(function, types)
    if function == "size" and len(types) == 1:
        return INT if types[0] == ANY or types[0].name in _SIZED else None
    if function in _TESTS and method and len(types) == 2:
        return BOOL if all(one in (STRING, ANY) or one.fields is not None for one in types) else None
    if not method and function in _CONVERSIONS:
        return _CONVERSIONS[function]
    return _RESULTS.get(function, ANY)


def _operation(function: str, types: Sequence[Type]) -> Type | None:
    match function:
        case "_&&_" | "_||_" | "!_":
            return BOOL if all(one in (BOOL, ANY) for one in types) else None
        case "-_":
            return types[0] if types[0] in (INT, DOUBLE, DURATION, ANY) else None
        case "_?_:_":
            condition, first, second = types
            fits = condition in (BOOL, ANY) and _may_equal(first, second)
            return _joined((first, second)) if fits else None
        case "_==_" | "_!=_":
            return BOOL if _may_equal(*types) else None
        case "_<_" | "_<=_" | "_>_" | "_>=_":
            fits = all(one in (*_ORDERED, ANY) for one in types) and _may_equal(*types) and NULL not in types
            return BOOL if fits else None
        case "@in":
            return BOOL if _may_be_in(*types) else None
        case "_[_]":
            return _item(*types)
    return _arithmetic(function, *types) if function in _SAME else ANY


def _may_be_in(item: Type, of: Type) -> bool:
    return of == ANY or (of.name in ("list", "map") and _may_equal(item, of.parts[0]))


def _item(of: Type, index: Type) -> Type | None:
    if of == ANY:
        return ANY
    if of.name == "list":
        return of.parts[0] if index in (*_NUMBERS, ANY) else None
    if of.name == "map":
        return of.parts[1] if _may_equal(index, of.parts[0]) else None
    return None


def _arithmetic(function: str, left: Type, right: Type) -> Type | None:
    known = _SAME[function]
    if ANY in (left, right):
        other = right if left == ANY else left
        fits = other in (*known, ANY, TIMESTAMP) or (function == "_+_" and other.name == "list")
        return ANY if fits else None
    if function == "_+_" and left.name == right.name == "list":
        return left if left == right else list_of(ANY)
    return left if left == right and left in known else _TIMES.get((function, left, right))
