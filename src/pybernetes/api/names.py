"""What names may look like, with upstream's words for those that may not. Validation and selectors.py ask it.

Every check returns the list of faults, empty for a good name, as apimachinery's util/validation does.
"""

import re
from collections.abc import Callable
from functools import cache

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and nothing that looks like another letter: what follows a generateName."""
SUFFIX_LENGTH = 5
GENERATED_BASE_LENGTH = 63 - SUFFIX_LENGTH
"""A longer generateName is cut to this many characters before the suffix."""

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character"
)
_SUBDOMAIN = _LABEL + "(\\." + _LABEL + ")*"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character"
)
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
    " character, and end with an alphanumeric character"
)
_WILDCARD = "\\*\\." + _SUBDOMAIN
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of"
    " lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_VALUE = "(" + _QUALIFIED + ")?"
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start"
    " and end with an alphanumeric character"
)
_ENV = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_ENV_TEXT = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must"
    " not start with a digit"
)
_RELAXED_ENV = re.compile("[ -<>-~]+")
_RELAXED_ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_CONFIG_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PERCENT = "[0-9]+%"
_PERCENT_TEXT = "a valid percent string must be a numeric string followed by an ending '%'"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_C_IDENTIFIER_TEXT = "a valid C identifier must start with alphabetic character or '_', followed by a string of"


def dns1123_label(value: str) -> list[str]:
    """Namespaces, containers, volumes."""
    if "." in value and re.fullmatch(_SUBDOMAIN, value):
        return [*_too_long(value, LABEL_LENGTH), "must not contain dots"]
    return _too_long(value, LABEL_LENGTH) + _unlike(value, _LABEL, _LABEL_TEXT, "my-name", "123-abc")


def dns1123_subdomain(value: str) -> list[str]:
    """Most objects."""
    return _too_long(value, SUBDOMAIN_LENGTH) + _unlike(value, _SUBDOMAIN, _SUBDOMAIN_TEXT, "example.com")


def dns1035_label(value: str) -> list[str]:
    """Services."""
    return _too_long(value, LABEL_LENGTH) + _unlike(value, _DNS1035, _DNS1035_TEXT, "my-name", "abc-123")


def wildcard_dns1123_subdomain(value: str) -> list[str]:
    """`*.example.com`: hosts of an Ingress."""
    return _too_long(value, SUBDOMAIN_LENGTH) + _unlike(value, _WILDCARD, _WILDCARD_TEXT, "*.example.com")


def qualified_name(value: str) -> list[str]:
    """Keys of labels and annotations, resource names, condition types: `name` or `domain/name`."""
    parts = value.split("/")
    faults: list[str] = []
    if len(parts) > 2:
        text = _fault(_QUALIFIED, _QUALIFIED_TEXT, "MyName", "my.name", "123-abc")
        return [f"a qualified name {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if len(parts) == 2:
        prefix_faults = dns1123_subdomain(parts[0]) if parts[0] else ["must be non-empty"]
        faults += [f"prefix part {fault}" for fault in prefix_faults]
    name = parts[-1]
    if not name:
        faults.append("name part must be non-empty")
    faults += [f"name part {fault}" for fault in _too_long(name, LABEL_LENGTH)]
    faults += [
        f"name part {fault}" for fault in _unlike(name, _QUALIFIED, _QUALIFIED_TEXT, "MyName", "my.name", "123-abc")
    ]
    return faults


def label_value(value: str) -> list[str]:
    """May be empty."""
    return _too_long(value, LABEL_LENGTH) + _unlike(value, _VALUE, _VALUE_TEXT, "MyValue", "my_value", "12345")


def env_name(value: str) -> list[str]:
    """The strict form of an environment variable's name; containers allow the relaxed one since 1.34."""
    return _unlike(value, _ENV, _ENV_TEXT, "my.env-name", "MY_ENV.NAME", "MyEnvName1") + _climbs(value)


def relaxed_env_name(value: str) -> list[str]:
    """Any printable ASCII but `=`."""
    if not value:
        return ["environment variable name must be non-empty"]
    return [] if _RELAXED_ENV.fullmatch(value) else [_RELAXED_ENV_TEXT]


def config_key(value: str) -> list[str]:
    """Keys of ConfigMaps and Secrets: they become file names."""
    faults = _too_long(value, SUBDOMAIN_LENGTH)
    return faults + _unlike(value, _CONFIG_KEY, _CONFIG_KEY_TEXT, "key.name", "KEY_NAME", "key-name") + _climbs(value)


def port_name(value: str) -> list[str]:
    """IANA service names (RFC 6335): names of container ports."""
    faults = _too_long(value, 15)
    if not re.fullmatch("[-a-z0-9]+", value):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        faults.append("must contain at least one letter (a-z)")
    if "--" in value:
        faults.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


def port_number(value: int) -> list[str]:
    """1 to 65535."""
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def path_segment(value: str) -> list[str]:
    """Names that need only fit into a URL: roles, webhooks' objects."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{letter}'" for letter in "/%" if letter in value]


def percent(value: str) -> list[str]:
    """`25%`."""
    return _unlike(value, _PERCENT, _PERCENT_TEXT, "1%", "93%")


def c_identifier(value: str) -> list[str]:
    """Names in shell and C."""
    text = f"{_C_IDENTIFIER_TEXT} alphanumeric characters or '_'"
    return _unlike(value, _C_IDENTIFIER, text, "my_name", "MY_NAME", "MyName")


def generated(base: str, choose: Callable[[str], str]) -> str:
    """A name for a generateName. `choose` picks one letter of an alphabet: chance is the caller's."""
    return base[:GENERATED_BASE_LENGTH] + "".join(choose(SUFFIX_ALPHABET) for _ in range(SUFFIX_LENGTH))


def _too_long(value: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} bytes"] if len(value.encode()) > limit else []


def _unlike(value: str, pattern: str, text: str, *examples: str) -> list[str]:
    return [] if _compiled(pattern).fullmatch(value) else [_fault(pattern, text, *examples)]


_compiled = cache(re.compile)  # the patterns above


def _fault(pattern: str, text: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def _climbs(value: str) -> list[str]:
    """A file of that name must not lead out of its folder."""
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []
