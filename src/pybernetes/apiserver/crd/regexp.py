"""Patterns of schemas: Go's regular expressions (RE2) read as Python's. validation.py matches with them."""

import re
from functools import lru_cache

from pybernetes.apiserver.crd import linear

_POSIX = {
    **{"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\\x00-\\x7F", "blank": "\\t ", "cntrl": "\\x00-\\x1F\\x7F"},
    **{"digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "space": "\\t\\n\\v\\f\\r ", "upper": "A-Z"},
    **{"punct": "!-/:-@\\[-`{-~", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f"},
}
_UNICODE = {
    **{
        "L": "^\\W\\d_",
        "Lu": "A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0410-\u042f",
        "Ll": "a-z\u00df-\u00f6\u00f8-\u00ff\u03b1-\u03c9\u0430-\u044f",
        "N": "\\d",
        "Nd": "\\d",
    },
    **{"P": "!-#%-*,-/:;?@\\[-\\]_{}", "Z": "\\s", "Zs": "\\s"},
}


_REPEAT = re.compile(r"(?:[*+?]|\{(\d+)(?:,(\d*))?\})\??", re.ASCII)
_MOST_REPEATED = 1000
_NOT_GO = ("Z", "N", "u", "U")
"""Escapes that Python knows and Go does not."""


class BadPattern(ValueError):
    """A pattern that Go would not compile; its text is Go's where it is known."""


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """Raises BadPattern. Look-around and back-references, which RE2 does not know, are faults as well."""
    try:
        return re.compile(_translated(pattern), _flags(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(f"error parsing regexp: {error}: `{pattern}`") from None


def _flags(pattern: str) -> int:
    # \d, \w and \s are ASCII in Go; a class of letters of all languages needs the other meaning.
    return 0 if re.search(r"\\[pP]", pattern) else re.ASCII


def _translated(pattern: str) -> str:
    out: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            text, at = _escape(pattern, at, in_class)
        elif not in_class:
            in_class = letter == "["
            text, at = _outside(pattern, at)
        elif pattern.startswith("[:", at):
            text, at = _posix(pattern, at)
        else:
            in_class = letter != "]" or pattern[at - 1] == "[" or pattern[at - 2 : at] == "[^"
            text, at = "\\[" if letter == "[" else letter, at + 1
        out.append(text)
    return "".join(out)


def _outside(pattern: str, at: int) -> tuple[str, int]:
    """What stands at a position outside of classes, and where what follows it begins."""
    letter = pattern[at]
    if letter == "$":
        return "\\Z" if "(?m" not in pattern else "$", at + 1
    if pattern.startswith("(?", at):
        return _group(pattern, at)
    repeat = _REPEAT.match(pattern, at)
    if repeat is None:
        return "\\{" if letter == "{" else letter, at + 1
    least, most = int(repeat[1] or 0), int(repeat[2] or repeat[1] or 0)
    if least > most or most > _MOST_REPEATED:
        raise BadPattern(f"error parsing regexp: invalid repeat count: `{repeat[0].removesuffix('?')}`")
    again = _REPEAT.match(pattern, repeat.end())
    if again is not None:
        raise BadPattern(f"error parsing regexp: invalid nested repetition operator: `{repeat[0]}{again[0]}`")
    return repeat[0], repeat.end()


def _posix(pattern: str, at: int) -> tuple[str, int]:
    """A named class inside of a class."""
    end = pattern.find(":]", at)
    name = pattern[at + 2 : end] if end > 0 else ""
    text = _POSIX.get(name.removeprefix("^"))
    if text is None:
        raise BadPattern(f"error parsing regexp: invalid character class range: `{pattern[at : at + 9]}`")
    if name.startswith("^"):
        known = re.compile(f"[{text}]")
        others = [f"\\x{code:02x}" for code in range(128) if not known.match(chr(code))]
        text = "".join(others) + "\\x80-\U0010ffff"
    return text, end + 2


def _escape(pattern: str, at: int, in_class: bool) -> tuple[str, int]:
    """The escape at a position, and where what follows it begins."""
    following = pattern[at + 1 : at + 2]
    if following == "z":
        return "\\Z", at + 2
    if following in "pP" and following:
        found = re.match(r"\{(\^?)(\w+)\}|(\^?)(\w)", pattern[at + 2 :])
        name = (found[2] or found[4]) if found else ""
        if name not in _UNICODE or not found:
            raise BadPattern(f"error parsing regexp: invalid character class range: `{pattern[at : at + 6]}`")
        text = _UNICODE[name]
        if not in_class:
            negated = (following == "P") != bool(found[1] or found[3])
            text = f"[{_opposite(text) if negated else text}]"
        elif text.startswith("^"):
            text = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u04ff\u4e00-\u9fff"
        return text, at + 2 + found.end()
    if following == "Q":
        end = pattern.find("\\E", at)
        end = len(pattern) if end < 0 else end
        return re.escape(pattern[at + 2 : end]), end + 2
    if (following.isdigit() and following != "0") or following in _NOT_GO:
        raise BadPattern(f"error parsing regexp: invalid escape sequence: `\\{following}`")
    hexadecimal = re.match(r"x\{([0-9A-Fa-f]{1,6})\}", pattern[at + 1 :])
    if hexadecimal:
        return re.escape(chr(min(int(hexadecimal[1], 16), 0x10FFFF))), at + 1 + hexadecimal.end()
    return pattern[at : at + 2], at + 2


def _opposite(text: str) -> str:
    return text[1:] if text.startswith("^") else f"^{text}"


def _group(pattern: str, at: int) -> tuple[str, int]:
    rest = pattern[at:]
    if re.match(r"\(\?(=|!|<=|<!)", rest) or rest.startswith(("(?P=", "(?#", "(?(", "(?>")):
        raise BadPattern(f"error parsing regexp: invalid or unsupported Perl syntax: `{rest[:4]}`")
    if rest.startswith("(?<"):
        return "(?P<", at + 3
    flags = re.match(r"\(\?([imsU]+)\)", rest)
    if flags:
        # Python wants such a group at the very beginning; a scoped one says the same there.
        return f"(?{flags[1].replace('U', '')})" if at == 0 else "", at + flags.end()
    return "(?", at + 2


_STEPS = 20_000
"""What `re` may try at most; beyond that the text is read letter by letter."""


def found(pattern: str, text: str) -> bool:
    """Whether the pattern is found in a text, in time that grows with the text and not faster. Raises BadPattern."""
    made = compiled(pattern)
    count, nested = _danger(pattern)
    if (len(text) > 14 if nested else len(text) ** (count + 1) > _STEPS) and count:
        automaton = _automaton(pattern)
        if automaton is not None:
            return automaton.search(text)
    return made.search(text) is not None


@lru_cache(maxsize=4096)
def _danger(pattern: str) -> tuple[int, bool]:
    return linear.loops(compiled(pattern))


@lru_cache(maxsize=256)
def _automaton(pattern: str) -> linear.Automaton | None:
    try:
        return linear.Automaton(compiled(pattern))
    except linear.Unsupported:
        return None
