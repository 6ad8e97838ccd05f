"""Probes and lifecycle hooks."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, non_negative, one_of

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_probes(container: Mapping[str, Any], path: str, grace: int | None) -> FieldErrors:
    """The three probes of a container that may have them."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        at = f"{path}.{name}"
        yield from _handler(probe, at, grace, probe=True)
        for field in _COUNTS:
            yield from non_negative(f"{at}.{field}", probe.get(field))
        own_grace = probe.get("terminationGracePeriodSeconds")
        if name == "readinessProbe":
            if own_grace is not None:
                yield invalid_value(
                    f"{at}.terminationGracePeriodSeconds", own_grace, "must not be set for readinessProbes"
                )
            continue
        if own_grace is not None and own_grace <= 0:
            yield invalid_value(f"{at}.terminationGracePeriodSeconds", own_grace, "must be greater than 0")
        if probe.get("successThreshold") != 1:
            yield invalid_value(f"{at}.successThreshold", probe.get("successThreshold") or 0, "must be 1")


def validate_lifecycle(container: Mapping[str, Any], path: str, grace: int | None) -> FieldErrors:
    """postStart and preStop."""
    lifecycle = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            yield from _handler(lifecycle[name], f"{path}.lifecycle.{name}", grace, probe=False)


def _handler(action: Mapping[str, Any], path: str, grace: int | None, *, probe: bool) -> FieldErrors:
    known = tuple(n for n in _HANDLERS if n != ("sleep" if probe else "grpc"))
    given = [name for name in known if action.get(name) is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    for name in given[1:]:
        yield field_forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
    name = given[0]
    at, body = f"{path}.{name}", action[name]
    if name == "exec":
        if not body.get("command"):
            yield required(f"{at}.command")
    elif name == "httpGet":
        yield from _http(body, at)
    elif name == "tcpSocket":
        yield from port(body.get("port"), f"{at}.port")
    elif name == "grpc":
        yield from check(f"{at}.port", body.get("port") or 0, names.port_number(body.get("port") or 0))
    elif (body.get("seconds") or 0) < 0 or (grace is not None and (body.get("seconds") or 0) > grace):
        yield invalid_value(
            at, body.get("seconds") or 0, f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        )


def _http(body: Mapping[str, Any], path: str) -> FieldErrors:
    if not body.get("path"):
        yield required(f"{path}.path")
    yield from port(body.get("port"), f"{path}.port")
    yield from one_of(f"{path}.scheme", body.get("scheme"), ("HTTP", "HTTPS"))
    for index, header in enumerate(body.get("httpHeaders") or ()):
        name = header.get("name") or ""
        if not name or any(not (char.isascii() and (char.isalnum() or char == "-")) for char in name):
            yield invalid_value(
                f"{path}.httpHeaders[{index}].name",
                name,
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', "
                "regex used for validation is '[-A-Za-z0-9]+')",
            )


def port(value: int | str | None, path: str) -> FieldErrors:
    """A number, or the name of a port."""
    if isinstance(value, str):
        yield from check(path, value, names.port_name(value))
    else:
        yield from check(path, value or 0, names.port_number(value or 0))
