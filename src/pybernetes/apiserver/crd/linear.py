"""Linear matching: a pattern as an automaton that looks at each letter once, as Go's does. regexp.py uses it where `re` might
try for ages: repetitions inside of repetitions, long texts.

Python's own parser reads the pattern; states of the automaton that were met are kept (a lazy DFA), so that a second text is
matched with one look into a table a letter.
"""

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, TypeAlias

_sre: Any = import_module("re._constants")
_parser: Any = import_module("re._parser")

Test: TypeAlias = Callable[[str], bool]
_MOST_STATES = 20_000
_MOST_KEPT = 4096
"""States of the DFA; with more it begins anew."""
_LETTERS = 512
"""Letters that a state remembers the way of."""


class Unsupported(Exception):
    """Something that depends on more than the next letter."""


def loops(pattern: "re.Pattern[str]") -> tuple[int, bool]:
    """How many repetitions without end there are, and whether one is inside of another or has alternatives inside."""
    return _loops(_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE))


def _loops(items: Iterable[Any]) -> tuple[int, bool]:
    count, nested = 0, False
    for op, value in items:
        for inner in _inside(op, value):
            found, deep = _loops(inner)
            nested = nested or deep or (op in _REPEATS and value[1] > 1 and (found > 0 or _branches(inner)))
            count += found
        if op in _REPEATS and value[1] > value[0] + 1:
            count += 1
    return count, nested


def _branches(items: Iterable[Any]) -> bool:
    return any(op is _sre.BRANCH or any(_branches(inner) for inner in _inside(op, value)) for op, value in items)


_REPEATS = (_sre.MAX_REPEAT, _sre.MIN_REPEAT, _sre.POSSESSIVE_REPEAT)


def _inside(op: Any, value: Any) -> list[Any]:
    if op in _REPEATS:
        return [value[2]]
    if op is _sre.BRANCH:
        return list(value[1])
    return [value[3]] if op is _sre.SUBPATTERN else []


class Automaton:
    """search() of a pattern. Raises Unsupported."""

    def __init__(self, pattern: "re.Pattern[str]") -> None:
        self._tests: list[Test | None] = []
        self._next: list[list[int]] = []
        """Where a state leads: after its letter where it has a test, else at once."""
        self._only: dict[int, str] = {}
        """States that are passed at the start or the end of the text alone."""
        tree = _parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
        self._flags = tree.state.flags | pattern.flags
        self._accept = self._state()
        self._start = self._sequence(list(tree), self._accept, self._flags)
        self._kept: dict[frozenset[int], dict[str, frozenset[int]]] = {}

    def search(self, text: str) -> bool:
        """Whether the pattern is found anywhere in a text."""
        current = self._closed([self._start], at_start=True, at_end=not text)
        last = len(text) - 1
        for index, letter in enumerate(text):
            if self._accept in current:
                return True
            current = self._ends(current, letter) if index == last else self._step(current, letter)
        return self._accept in current

    def _step(self, current: frozenset[int], letter: str) -> frozenset[int]:
        ways = self._kept.get(current)
        if ways is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            ways = self._kept[current] = {}
        found = ways.get(letter)
        if found is None:
            found = self._closed([*self._after(current, letter), self._start], at_start=False, at_end=False)
            if len(ways) < _LETTERS:
                ways[letter] = found
        return found

    def _ends(self, current: frozenset[int], letter: str) -> frozenset[int]:
        return self._closed([*self._after(current, letter), self._start], at_start=False, at_end=True)

    def _after(self, current: frozenset[int], letter: str) -> Iterable[int]:
        for state in current:
            test = self._tests[state]
            if test is not None and test(letter):
                yield from self._next[state]

    def _closed(self, states: Iterable[int], *, at_start: bool, at_end: bool) -> frozenset[int]:
        """What is reached without a letter."""
        found: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in found:
                continue
            found.add(state)
            only = self._only.get(state)
            if (only == "start" and not at_start) or (only == "end" and not at_end):
                continue
            if self._tests[state] is None:
                waiting += self._next[state]
        return frozenset(found)

    # --- made from the parsed pattern, from its end to its beginning

    def _state(self, test: Test | None = None, *following: int) -> int:
        if len(self._tests) >= _MOST_STATES:
            raise Unsupported
        self._tests.append(test)
        self._next.append(list(following))
        return len(self._tests) - 1

    def _sequence(self, items: list[Any], following: int, flags: int) -> int:
        for op, value in reversed(items):
            following = self._item(op, value, following, flags)
        return following

    def _item(self, op: Any, value: Any, following: int, flags: int) -> int:
        if op is _sre.AT:
            return self._anchor(value, following, flags)
        if op is _sre.BRANCH:
            return self._state(None, *[self._sequence(list(one), following, flags) for one in value[1]])
        if op is _sre.SUBPATTERN:
            return self._sequence(list(value[3]), following, (flags | value[1]) & ~value[2])
        if op in _REPEATS:
            return self._repeat(value, following, flags)
        return self._state(_test(op, value, flags), following)

    def _anchor(self, value: Any, following: int, flags: int) -> int:
        if flags & re.MULTILINE and value in (_sre.AT_BEGINNING, _sre.AT_END):
            raise Unsupported
        where = {_sre.AT_BEGINNING: "start", _sre.AT_BEGINNING_STRING: "start", _sre.AT_END_STRING: "end"}.get(value)
        if where is None:
            raise Unsupported
        state = self._state(None, following)
        self._only[state] = where
        return state

    def _repeat(self, value: Any, following: int, flags: int) -> int:
        low, high, items = int(value[0]), value[1], list(value[2])
        if high is _sre.MAXREPEAT:
            again = self._state(None, following)
            self._next[again].append(self._sequence(items, again, flags))
            following = again
        else:
            end = following
            for _ in range(int(high) - low):
                following = self._state(None, end, self._sequence(items, following, flags))
        for _ in range(low):
            following = self._sequence(items, following, flags)
        return following


def _test(op: Any, value: Any, flags: int) -> Test:
    """What one letter must be: asked of `re` itself, which cannot stray over one letter."""
    if op is _sre.LITERAL and not flags & re.IGNORECASE:
        letter = chr(value)
        return lambda given: given == letter
    if op not in (_sre.LITERAL, _sre.NOT_LITERAL, _sre.IN, _sre.ANY):
        raise Unsupported
    if op is _sre.ANY:
        return (lambda given: True) if flags & re.DOTALL else (lambda given: given != "\n")
    if op is _sre.IN:
        negated = value[0][0] is _sre.NEGATE
        text = f"[{'^' if negated else ''}{''.join(_member(*one) for one in value[negated:])}]"
    else:
        text = f"[^{_escaped(value)}]" if op is _sre.NOT_LITERAL else _escaped(value)
    fullmatch = re.compile(text, flags & (re.IGNORECASE | re.ASCII)).fullmatch
    return lambda given: fullmatch(given) is not None


_CATEGORIES = {
    **{_sre.CATEGORY_DIGIT: "\\d", _sre.CATEGORY_NOT_DIGIT: "\\D", _sre.CATEGORY_SPACE: "\\s"},
    **{_sre.CATEGORY_NOT_SPACE: "\\S", _sre.CATEGORY_WORD: "\\w", _sre.CATEGORY_NOT_WORD: "\\W"},
}


def _member(op: Any, value: Any) -> str:
    if op is _sre.RANGE:
        return f"{_escaped(value[0])}-{_escaped(value[1])}"
    return _CATEGORIES[value] if op is _sre.CATEGORY else _escaped(value)


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"
