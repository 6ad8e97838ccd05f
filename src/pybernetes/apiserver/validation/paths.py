"""Paths that begin with a domain: `example.com/some/thing`, as controllers and managers are named."""

import re

from pybernetes.api import names
from pybernetes.api.errors import invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors

_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_REGEX = re.compile(_PATH)


def domain_prefixed_path(field: str, value: str) -> FieldErrors:
    """A domain, a slash and a path as in a URL."""
    if not value:
        yield required(field)
        return
    domain, slash, path = value.partition("/")
    if not slash or not domain or not path:
        yield invalid_value(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    for message in names.dns1123_subdomain(domain):
        yield invalid_value(field, domain, message)
    if not _REGEX.fullmatch(path):
        why = f"Invalid path (regex used for validation is '{_PATH}')"
        yield invalid_value(field, path, why)
