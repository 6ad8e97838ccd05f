"""Quoting as Go does it (%q, strconv.Quote): in messages and where the downward API shows labels."""

from pybernetes.api.types.meta_v1 import LabelSelector

_ASCII, _BASIC = 0x80, 0xFFFF
_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quoted(value: str) -> str:
    """The text between double quotes; what cannot be printed is escaped."""
    return f'"{"".join(_escaped(sign) for sign in value)}"'


def label_selector(selector: LabelSelector | None) -> str:
    """As Go prints a pointer to it: in events, and in the names of external metrics."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted(selector.matchLabels.items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{term.key},Operator:{term.operator},Values:[{' '.join(term.values)}],}},"
        for term in selector.matchExpressions
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )


def _escaped(sign: str) -> str:
    if sign in _ESCAPES:
        return _ESCAPES[sign]
    if sign.isprintable():
        return sign
    number = ord(sign)
    if number < _ASCII:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= _BASIC else f"\\U{number:08x}"
