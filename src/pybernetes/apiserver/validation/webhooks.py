"""Webhooks: what to call (a Service or a URL), shared by all kinds that have them, and the admission configurations."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.admissionrules import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    default_rules,
    validate_match_conditions,
    validate_rule,
)
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, optional_one_of, set_missing
from pybernetes.apiserver.validation.meta import label_selector

HTTPS_PORT = 443
_URL_FORM = "; desired format: https://host[/path]"
_REVIEWS = ("v1", "v1beta1")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REINVOCATION = ("IfNeeded", "Never")
_VARIABLES = ("object", "oldObject", "request", "authorizer")


def default_service(client: Mapping[str, Any] | None) -> None:
    """The port of a clientConfig's Service."""
    service = (client or {}).get("service")
    if service is not None:
        set_missing(service, port=HTTPS_PORT)


def validate_client(client: Mapping[str, Any], path: str) -> FieldErrors:
    """clientConfig: exactly one of url and service, well formed."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from validate_url(url, f"{path}.url")
    elif service is not None:
        yield from validate_service(service, f"{path}.service")


def validate_url(url: str, path: str) -> FieldErrors:
    """The URL of a webhook: https, a host, perhaps a path."""
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{_URL_FORM}")
        return
    if found.scheme != "https":
        yield invalid_value(path, found.scheme, "'https' is the only allowed URL scheme" + _URL_FORM)
    user, at, host = found.netloc.rpartition("@")
    if not host:
        yield invalid_value(path, host, "host must be specified" + _URL_FORM)
    if at:
        yield invalid_value(path, user, "user information is not permitted in the URL" + _URL_FORM)
    if found.fragment:
        yield invalid_value(path, found.fragment, "fragments are not permitted in the URL" + _URL_FORM)
    if found.query:
        yield invalid_value(path, found.query, "query parameters are not permitted in the URL" + _URL_FORM)


def validate_service(service: Mapping[str, Any], path: str) -> FieldErrors:
    """The Service of a webhook."""
    if not service.get("name"):
        yield required(f"{path}.name", "service name is required")
    if not service.get("namespace"):
        yield required(f"{path}.namespace", "service namespace is required")
    port = service.get("port") or 0
    faults = names.port_number(port)
    if faults:
        yield invalid_value(f"{path}.port", port, "port is not valid: " + ",".join(faults))
    yield from _url_path(service.get("path") or "", f"{path}.path")


def _url_path(text: str, path: str) -> FieldErrors:
    if text in ("", "/"):
        return
    if text == "//":
        yield invalid_value(path, text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        yield invalid_value(path, text, "must start with a '/'")
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            yield invalid_value(path, text, f"segment[{index}] may not be empty")
        else:
            yield from check(path, text, (f"segment[{index}]: {why}" for why in names.dns1123_subdomain(step)))


def default_configuration(obj: Object, *, mutating: bool) -> None:
    """Both kinds of webhook configuration."""
    for hook in obj.get("webhooks") or ():
        set_missing(hook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        set_missing(hook, namespaceSelector={}, objectSelector={})
        if mutating:
            set_missing(hook, reinvocationPolicy="Never")
        default_service(hook.get("clientConfig"))
        default_rules(hook.get("rules") or ())


def validate_configuration(obj: Object) -> FieldErrors:
    """Both kinds of webhook configuration."""
    seen: set[str] = set()
    for at, hook in each(obj, "webhooks", ""):
        at = at.removeprefix(".")
        yield from _hook(hook, at)
        yield from _review_versions(hook, f"{at}.admissionReviewVersions")
        name = hook.get("name")
        if name and name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)


def _hook(hook: Mapping[str, Any], path: str) -> FieldErrors:
    yield from qualified(hook.get("name") or "", f"{path}.name")
    for at, rule in each(hook, "rules", path):
        yield from validate_rule(rule, at)
    yield from optional_one_of(f"{path}.failurePolicy", hook.get("failurePolicy"), FAILURE_POLICIES)
    yield from optional_one_of(f"{path}.matchPolicy", hook.get("matchPolicy"), MATCH_POLICIES)
    effects = hook.get("sideEffects")
    if effects is None:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(_SIDE_EFFECTS)}")
    elif effects not in _SIDE_EFFECTS:
        yield not_supported(f"{path}.sideEffects", effects, _SIDE_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        yield invalid_value(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        if hook.get(field) is not None:
            yield from label_selector(hook[field], f"{path}.{field}")
    yield from optional_one_of(f"{path}.reinvocationPolicy", hook.get("reinvocationPolicy"), _REINVOCATION)
    yield from validate_client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    yield from validate_match_conditions(hook, path, _VARIABLES)


def qualified(name: str, path: str) -> FieldErrors:
    """A name of at least three segments: `hook.example.com`."""
    faults = names.dns1123_subdomain(name)
    if not name:
        yield required(path)
    elif faults:
        yield invalid_value(path, name, ",".join(faults))
    elif name.count(".") < 2:
        yield invalid_value(path, name, "should be a domain with at least three segments separated by dots")


def _review_versions(hook: Mapping[str, Any], path: str) -> FieldErrors:
    versions = hook.get("admissionReviewVersions") or []
    if not versions:
        yield required(path, f"must specify one of {', '.join(_REVIEWS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid_value(f"{path}[{index}]", version, "duplicate version")
        else:
            yield from check(f"{path}[{index}]", version, names.dns1035_label(version))
    if not set(versions) & set(_REVIEWS):
        yield invalid_value(path, versions, f"must include at least one of {', '.join(_REVIEWS)}")
