"""Probes and lifecycle hooks."""

import re
from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import NON_NEGATIVE, FieldErrors, check

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_SCHEMES = ("HTTP", "HTTPS")
_HEADER = "[-A-Za-z0-9]+"
_HEADER_REGEX = re.compile(_HEADER)
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', "
    f"regex used for validation is '{_HEADER}')"
)
_SIGNALS = frozenset(
    {
        *("SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT"),
        *("SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT"),
        *("SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2"),
        *("SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMAX"),
        *(f"SIGRTMIN+{offset}" for offset in range(1, 16)),
        *(f"SIGRTMAX-{offset}" for offset in range(1, 15)),
    }
)
_WINDOWS_SIGNALS = ("SIGKILL", "SIGTERM")


def validate_probes(container: Mapping[str, Any], path: str, grace: int | None) -> FieldErrors:
    """The three probes of a container that may have them."""
    for name in PROBES:
        probe = container.get(name)
        if probe is None:
            continue
        at = f"{path}.{name}"
        yield from _handler(probe, at, grace, _PROBE_HANDLERS)
        for field in _COUNTS:
            if (probe.get(field) or 0) < 0:
                yield invalid_value(f"{at}.{field}", probe[field], NON_NEGATIVE)
        own_grace = probe.get("terminationGracePeriodSeconds")
        if own_grace is not None and own_grace <= 0:
            yield invalid_value(f"{at}.terminationGracePeriodSeconds", own_grace, "must be greater than 0")
        if name == "readinessProbe":
            if own_grace is not None:
                why = "must not be set for readinessProbes"
                yield invalid_value(f"{at}.terminationGracePeriodSeconds", own_grace, why)
        elif probe.get("successThreshold") != 1:
            yield invalid_value(f"{at}.successThreshold", probe.get("successThreshold") or 0, "must be 1")


def validate_lifecycle(
    container: Mapping[str, Any], path: str, grace: int | None, os: Mapping[str, Any] | None
) -> FieldErrors:
    """postStart, preStop and the stop signal."""
    lifecycle = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            yield from _handler(lifecycle[name], f"{path}.lifecycle.{name}", grace, _HOOK_HANDLERS)
    signal = lifecycle.get("stopSignal")
    if signal is None:
        return
    at, system = f"{path}.lifecycle.stopSignal", (os or {}).get("name") or ""
    if not system:
        yield field_forbidden(at, "may not be set for containers with empty `spec.os.name`")
    elif system == "windows" and signal not in _WINDOWS_SIGNALS:
        yield not_supported(at, signal, _WINDOWS_SIGNALS)
    elif system == "linux" and signal not in _SIGNALS:
        yield not_supported(at, signal, sorted(_SIGNALS))


def _handler(action: Mapping[str, Any], path: str, grace: int | None, known: tuple[str, ...]) -> FieldErrors:
    given = [name for name in known if action.get(name) is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    for name in given[1:]:
        yield field_forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
    name = given[0]
    body = action[name]
    if name == "exec":
        if not body.get("command"):
            yield required(f"{path}.exec.command")
    elif name == "httpGet":
        yield from _http(body, f"{path}.httpGet")
    elif name == "sleep":
        seconds = body.get("seconds") or 0
        if grace is not None and not 0 <= seconds <= grace:
            why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            yield invalid_value(f"{path}.sleep", seconds, why)
    else:
        yield from port(body.get("port"), f"{path}.{name}.port")


def _http(body: Mapping[str, Any], path: str) -> FieldErrors:
    if not body.get("path"):
        yield required(f"{path}.path")
    yield from port(body.get("port"), f"{path}.port")
    if body.get("scheme") not in _SCHEMES:
        yield not_supported(f"{path}.scheme", body.get("scheme") or "", _SCHEMES)
    for header in body.get("httpHeaders") or ():
        name = header.get("name") or ""
        if not _HEADER_REGEX.fullmatch(name):
            yield invalid_value(f"{path}.httpHeaders", name, _HEADER_TEXT)


def port(value: int | str | None, path: str) -> FieldErrors:
    """A number, or the name of a port."""
    if isinstance(value, str):
        yield from check(path, value, names.port_name(value))
    elif value is None or not 1 <= value <= 65535:
        yield from check(path, value or 0, names.port_number(value or 0))
