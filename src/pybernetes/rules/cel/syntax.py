"""Reads CEL expressions into trees (the language's own grammar, cel-spec doc/langdef.md). checker.py goes through them.

Operators are calls of functions with the names that the language gives them: `a > b` calls `_>_`. Macros are calls, too.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class Literal(Struct, frozen=True):
    """A value of a `kind`: int uint double string bytes bool null."""

    at: int
    kind: str
    text: str


class Name(Struct, frozen=True):
    """A variable, or the first part of a longer name."""

    at: int
    name: str


class Select(Struct, frozen=True):
    """A field of something; `at` is the dot. `optional`: `a.?b`."""

    at: int
    operand: "Node"
    field: str
    optional: bool = False


class Call(Struct, frozen=True):
    """A function, method, operator or macro; `at` is its bracket or sign."""

    at: int
    function: str
    arguments: tuple["Node", ...]
    target: "Node | None" = None


class Items(Struct, frozen=True):
    """A list."""

    at: int
    items: tuple["Node", ...]


class Entries(Struct, frozen=True):
    """A map, or an object of the type `name`; then the keys are Names."""

    at: int
    entries: tuple[tuple["Node", "Node"], ...]
    name: str = ""


Node: TypeAlias = Literal | Name | Select | Call | Items | Entries

DEEPEST = 250
"""Brackets and operators within each other, as upstream allows."""


class SyntaxFault(ValueError):
    """What is no expression, and where: an offset into the text."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at


_TOKEN = re.compile(
    r"""(?P<space>(?:\s+|//[^\n]*)+)
    |(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^\\"\n])*"|'(?:\\.|[^\\'\n])*'))
    |(?P<double>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>(?:0[xX][0-9a-fA-F]+|\d+)[uU]?)
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*|`[a-zA-Z0-9_./-]+(?:\ [a-zA-Z0-9_./-]+)*`)
    |(?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_RESERVED = frozenset({"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"})
_RESERVED |= {"package", "namespace", "return", "var", "void", "while"}
_RELATIONS = frozenset({"<", "<=", ">=", ">", "==", "!=", "in"})
_END = "<EOF>"


class _Token(Struct, frozen=True):
    at: int
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SyntaxFault(at, f"token recognition error at: '{text[at]}'")
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(_Token(at, kind, match[0]))
        at = match.end()
    return [*found, _Token(len(text), "end", _END)]


def parse(text: str) -> Node:
    """The tree of an expression. Raises SyntaxFault."""
    parser = _Parser(_tokens(text))
    tree = parser.expression()
    parser.expect(_END)
    return tree


class _Parser:
    """One method for each level of the grammar, the loosest first."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _is(self, *texts: str) -> bool:
        return self._token.kind in ("sign", "name", "end") and self._token.text in texts

    def _take(self) -> _Token:
        token = self._token
        if token.kind != "end":
            self._next += 1
        return token

    def expect(self, text: str) -> _Token:
        """The next token, which must be this one."""
        if not self._is(text):
            raise SyntaxFault(self._token.at, f"mismatched input '{self._token.text}' expecting '{text}'")
        return self._take()

    def expression(self) -> Node:
        """A whole one."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise SyntaxFault(self._token.at, f"expression recursion limit exceeded: {DEEPEST}")
        condition = self._or()
        if self._is("?"):
            at = self._take().at
            first = self._or()
            self.expect(":")
            condition = Call(at, "_?_:_", (condition, first, self.expression()))
        self._depth -= 1
        return condition

    def _left(self, signs: frozenset[str], below: Callable[[], Node]) -> Node:
        """Operators that bind from the left."""
        tree = below()
        while self._is(*signs):
            token = self._take()
            name = "@in" if token.text == "in" else f"_{token.text}_"
            tree = Call(token.at, name, (tree, below()))
        return tree

    def _or(self) -> Node:
        return self._left(frozenset({"||"}), self._and)

    def _and(self) -> Node:
        return self._left(frozenset({"&&"}), self._relation)

    def _relation(self) -> Node:
        return self._left(_RELATIONS, self._sum)

    def _sum(self) -> Node:
        return self._left(frozenset("+-"), self._product)

    def _product(self) -> Node:
        return self._left(frozenset("*/%"), self._unary)

    def _unary(self) -> Node:
        signs: list[_Token] = []
        while self._is("!", "-") and (not signs or self._token.text == signs[0].text):
            signs.append(self._take())
        if len(signs) == 1 and signs[0].text == "-" and self._token.kind in ("int", "double"):
            token = self._take()
            return self._members(Literal(signs[0].at, _number(token), f"-{token.text}"))
        tree = self._members(self._primary())
        for sign in signs[: len(signs) % 2]:  # two of a kind take each other away
            tree = Call(sign.at, f"{sign.text}_", (tree,))
        return tree

    def _members(self, tree: Node) -> Node:
        while self._is(".", "["):
            sign = self._take()
            optional = self._is("?") and bool(self._take())
            if sign.text == "[":
                tree = Call(sign.at, "_[?_]" if optional else "_[_]", (tree, self.expression()))
                self.expect("]")
                continue
            name = self._name()
            if self._is("(") and not optional:
                at = self._take().at
                tree = Call(at, name, self._arguments(")"), tree)
            else:
                tree = Select(sign.at, tree, name, optional)
        return tree

    def _name(self) -> str:
        token = self._take()
        if token.kind != "name" or token.text in ("in", "true", "false", "null"):
            raise SyntaxFault(token.at, f"mismatched input '{token.text}' expecting IDENTIFIER")
        return token.text.strip("`")

    def _arguments(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._is(end):
            if self._is("?"):
                self._take()
            found.append(self.expression())
            if not self._is(end):
                self.expect(",")
        self._take()
        return tuple(found)

    def _primary(self) -> Node:
        if self._is("."):
            self._take()
        token = self._take()
        if token.kind in ("int", "double"):
            return Literal(token.at, _number(token), token.text)
        if token.kind == "string":
            prefix = token.text[: min(token.text.find(q) for q in "\"'" if q in token.text)].lower()
            return Literal(token.at, "bytes" if "b" in prefix else "string", token.text)
        if token.kind == "name" and token.text != "in":
            return self._named(token)
        match token.text if token.kind == "sign" else "":
            case "(":
                tree = self.expression()
                self.expect(")")
                return tree
            case "[":
                return Items(token.at, self._arguments("]"))
            case "{":
                return Entries(token.at, self._entries())
        raise SyntaxFault(token.at, f"mismatched input '{token.text}' expecting an expression")

    def _named(self, token: _Token) -> Node:
        if token.text in ("true", "false"):
            return Literal(token.at, "bool", token.text)
        if token.text == "null":
            return Literal(token.at, "null", token.text)
        if token.text in _RESERVED:
            raise SyntaxFault(token.at, f"reserved identifier: {token.text}")
        if self._is("("):
            return Call(self._take().at, token.text, self._arguments(")"))
        last, name = self._next, token.text
        while self._is(".") and self._tokens[self._next + 1].kind == "name":
            name += f".{self._tokens[self._next + 1].text}"
            self._next += 2
        if self._is("{"):
            return Entries(self._take().at, self._entries(), name)
        self._next = last
        return Name(token.at, token.text.strip("`"))

    def _entries(self) -> tuple[tuple[Node, Node], ...]:
        found: list[tuple[Node, Node]] = []
        while not self._is("}"):
            if self._is("?"):
                self._take()
            key = self.expression()
            self.expect(":")
            found.append((key, self.expression()))
            if not self._is("}"):
                self.expect(",")
        self._take()
        return tuple(found)


def _number(token: _Token) -> str:
    return "double" if token.kind == "double" else "uint" if token.text[-1] in "uU" else "int"
