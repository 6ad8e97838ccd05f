"""What names, labels and their like must look like: each function gives messages about a bad value, meta.py uses them.

The wording is upstream's (apimachinery/pkg/util/validation), since clients and tests compare it.
"""

import ipaddress
import re
from collections.abc import Iterator

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_C_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_ENV_NAME = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
_PORT_NAME = r"[-a-z0-9]+"

_MATCHES = {
    pattern: re.compile(rf"(?:{pattern})\Z")
    for pattern in (_LABEL, _SUBDOMAIN, _DNS1035, _QUALIFIED, _LABEL_VALUE, _C_IDENTIFIER, _CONFIG_KEY, _ENV_NAME)
}


def _matches(pattern: str, value: str) -> bool:
    return _MATCHES[pattern].match(value) is not None


def too_long_text(limit: int) -> str:
    """`must be no more than N characters`."""
    return f"must be no more than {limit} characters"


def _regex_text(text: str, pattern: str, *examples: str) -> str:
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def dns_label(value: str) -> Iterator[str]:
    """RFC 1123 label: namespaces, container names."""
    if len(value) > 63:
        yield too_long_text(63)
    if not _matches(_LABEL, value):
        if _matches(_SUBDOMAIN, value):
            yield "must not contain dots"
        else:
            yield _regex_text(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
                "and end with an alphanumeric character",
                _LABEL,
                "my-name",
                "123-abc",
            )


def dns_subdomain(value: str) -> Iterator[str]:
    """RFC 1123 subdomain: the name of most objects."""
    if len(value) > 253:
        yield too_long_text(253)
    if not _matches(_SUBDOMAIN, value):
        yield _regex_text(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character",
            _SUBDOMAIN,
            "example.com",
        )


def dns1035_label(value: str) -> Iterator[str]:
    """RFC 1035 label: the name of Services."""
    if len(value) > 63:
        yield too_long_text(63)
    if not _matches(_DNS1035, value):
        yield _regex_text(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character",
            _DNS1035,
            "my-name",
            "abc-123",
        )


def qualified_name(value: str) -> Iterator[str]:
    """Keys of labels and annotations: `[prefix/]name`."""
    text = (
        "must consist of alphanumeric characters, '-', '_' or '.', "
        "and must start and end with an alphanumeric character"
    )
    shown = _regex_text(text, _QUALIFIED, "MyName", "my.name", "123-abc")
    parts = value.split("/")
    if len(parts) > 2:
        yield f"a qualified name {shown} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return
    name = parts[-1]
    if len(parts) == 2:
        if not parts[0]:
            yield "prefix part must be non-empty"
        else:
            yield from (f"prefix part {message}" for message in dns_subdomain(parts[0]))
    if not name:
        yield "name part must be non-empty"
    elif len(name) > 63:
        yield f"name part {too_long_text(63)}"
    if not _matches(_QUALIFIED, name):
        yield f"name part {shown}"


def label_value(value: str) -> Iterator[str]:
    """Values of labels."""
    if len(value) > 63:
        yield too_long_text(63)
    if not _matches(_LABEL_VALUE, value):
        yield _regex_text(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character",
            _LABEL_VALUE,
            "MyValue",
            "my_value",
            "12345",
        )


def path_segment(value: str) -> Iterator[str]:
    """Names that only have to fit into a URL path: roles, bindings."""
    if value in (".", ".."):
        yield f"may not be '{value}'"
        return
    for illegal in ("/", "%"):
        if illegal in value:
            yield f"may not contain '{illegal}'"


def config_key(value: str) -> Iterator[str]:
    """Keys of ConfigMap and Secret data: they become file names."""
    if len(value) > 253:
        yield too_long_text(253)
    if not _matches(_CONFIG_KEY, value):
        yield _regex_text(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            _CONFIG_KEY,
            "key.name",
            "KEY_NAME",
            "key-name",
        )
    if value == ".":
        yield "must not be '.'"
    elif value == "..":
        yield "must not be '..'"
    elif value.startswith(".."):
        yield "must not start with '..'"


def environment_name(value: str) -> Iterator[str]:
    """Names of environment variables: printable ASCII without `=` (relaxed since 1.30)."""
    if not value:
        yield "environment variable name must be non-empty"
    if any(not " " <= char <= "~" or char == "=" for char in value):
        yield "a valid environment variable name must consist only of printable ASCII characters other than '='"


def port_name(value: str) -> Iterator[str]:
    """IANA service names: container ports."""
    if len(value) > 15:
        yield "must be no more than 15 characters"
    if not re.fullmatch(_PORT_NAME, value):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", value):
        yield "must contain at least one letter (a-z)"
    if "--" in value:
        yield "must not contain consecutive hyphens"
    if value and (value[0] == "-" or value[-1] == "-"):
        yield "must not begin or end with a hyphen"


def port_number(value: object) -> Iterator[str]:
    """1 to 65535."""
    if not isinstance(value, int) or not 1 <= value <= 65535:
        yield "must be between 1 and 65535, inclusive"


def percent(value: str) -> Iterator[str]:
    """`25%`."""
    if not re.fullmatch("[0-9]+%", value):
        yield _regex_text(
            "a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", "1%", "93%"
        )


def ip_address(value: str) -> Iterator[str]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        yield "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def cidr(value: str) -> Iterator[str]:
    """A network in CIDR notation."""
    address, slash, bits = value.partition("/")
    try:
        if not slash or not bits.isdecimal():
            raise ValueError(value)
        ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        yield "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def before_suffix(prefix: str) -> str:
    """A generateName as names are checked: its last dash stands for what will follow."""
    return f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix
