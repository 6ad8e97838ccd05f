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
            out.append(text)
            continue
        if in_class:
            if pattern.startswith("[:", at):
                end = pattern.find(":]", at)
                name = pattern[at + 2 : end].removeprefix("^") if end > 0 else ""
                if name not in _POSIX:
                    raise BadPattern(f"error parsing regexp: invalid character class range: `{pattern[at : at + 9]}`")
                out.append(_POSIX[name])
                at = end + 2
                continue
            in_class = letter != "]" or pattern[at - 1] == "[" or pattern[at - 2 : at] == "[^"
            out.append("\\[" if letter == "[" else letter)
        elif letter == "[":
            in_class = True
            out.append(letter)
        elif letter == "$":
            out.append("\\Z" if "(?m" not in pattern else "$")
        elif pattern.startswith("(?", at):
            text, at = _group(pattern, at)
            out.append(text)
            continue
        else:
            out.append(letter)
        at += 1
    return "".join(out)


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
    if following.isdigit() and following != "0":
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
