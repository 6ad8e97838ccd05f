"""References inside the kinds of networking.k8s.io: to objects of other kinds, and to what serves an Ingress."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, reference_name


def reference(ref: Mapping[str, Any], path: str) -> FieldErrors:
    """apiGroup, kind and name of another object."""
    group = ref.get("apiGroup")
    if group is not None:
        yield from check(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    yield from reference_name(f"{path}.kind", ref.get("kind"))
    yield from reference_name(f"{path}.name", ref.get("name"))


def backend(value: Mapping[str, Any], path: str) -> FieldErrors:
    """A Service with one of its ports, or any object: never both."""
    resource, service = value.get("resource"), value.get("service")
    if resource is not None and service is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from reference(resource, f"{path}.resource")
    elif service is not None:
        yield from _service(service, path)
    else:
        yield invalid_value(path, "", "resource or service backend is required")


def _service(service: Mapping[str, Any], path: str) -> FieldErrors:
    called = service.get("name") or ""
    if not called:
        yield required(f"{path}.service.name")
    else:
        yield from check(f"{path}.service.name", called, names.dns1123_label(called))
    port = service.get("port") or {}
    name, number = port.get("name") or "", port.get("number") or 0
    if name and number:
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif name:
        yield from check(f"{path}.service.port.name", name, names.port_name(name))
    elif number:
        yield from check(f"{path}.service.port.number", number, names.port_number(number))
    else:
        yield required(path, "port name or number is required")
