"""APIService: who serves a group version. Those of this server register themselves (apiserver/local_apiservices.py).

One that names a Service is stored, and its condition says honestly that it cannot be reached: nothing proxies yet.
"""

from collections.abc import Iterable

from pybernetes.aio.clock import rfc3339
from pybernetes.api import names
from pybernetes.api.errors import NotFound, invalid_value, not_supported, required
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call, Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import keep_metadata

GROUP = "apiregistration.k8s.io"
_PORT = 443
_SERVICES = GroupResource("", "services")
_STATES = ("True", "False", "Unknown")


def _default(obj: Object) -> None:
    service = obj.setdefault("spec", {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = _PORT


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    group, version = own.get("group") or "", own.get("version") or ""
    yield from _name(obj["metadata"].get("name") or "", f"{version}.{group}")
    if not group and version != "v1":
        yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if group:
        yield from check("spec.group", group, names.dns1123_subdomain(group))
    yield from check("spec.version", version, names.dns1035_label(version))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = own.get(field) or 0
        if not 0 < value <= most:
            yield invalid_value(f"spec.{field}", value, f"must be positive and less than {most}")
    yield from _service(obj)


def _name(name: str, wanted: str) -> FieldErrors:
    if name and name != wanted and not names.path_segment(name):
        yield invalid_value("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"')


def _service(obj: Object) -> FieldErrors:
    own = spec(obj)
    service, bundle, insecure = own.get("service"), own.get("caBundle") or "", own.get("insecureSkipTLSVerify")
    if service is None:
        if bundle:
            size = len(bundle) * 3 // 4 - bundle.count("=")
            yield invalid_value("spec.caBundle", f"{size} bytes", "local APIServices may not have a caBundle")
        if insecure:
            text = "local APIServices may not have insecureSkipTLSVerify"
            yield invalid_value("spec.insecureSkipTLSVerify", True, text)
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield required(f"spec.service.{field}")
    faults = names.port_number(service.get("port") or 0)
    if faults:
        text = "port is not valid: " + ",".join(faults)
        yield invalid_value("spec.service.port", service.get("port") or 0, text)
    if insecure and bundle:
        yield invalid_value("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    for at, condition in each(status(obj), "conditions", "status"):
        if condition.get("status") not in _STATES:
            yield not_supported(f"{at}.status", condition.get("status") or "", _STATES)


async def _judge(call: Call, obj: Object, old: Object | None) -> None:
    """Whether it can be reached, where that is known without asking."""
    if call.subresource or (old is not None and spec(old).get("service") == spec(obj).get("service")):
        return
    service, now = spec(obj).get("service"), rfc3339(call.registry.clock.now())
    condition = available(now)
    if service is not None:
        name, namespace = service.get("name", ""), service.get("namespace", "")
        try:
            await call.registry.get(_SERVICES, namespace, name)
        except NotFound:
            text = f'service/{name} in "{namespace}" is not present'
            condition = _condition("False", now, "ServiceNotFound", text)
        else:
            text = f'requests are not forwarded to service/{name} in "{namespace}"'
            condition = _condition("False", now, "FailedDiscoveryCheck", text)
    others = [c for c in status(obj).get("conditions") or () if c.get("type") != "Available"]
    obj["status"] = {"conditions": [*others, condition]}


def available(now: str) -> Object:
    """The condition of an APIService that this server answers itself."""
    return _condition("True", now, "Local", "Local APIServices are always available")


def _condition(state: str, now: str, reason: str, message: str) -> Object:
    return {"type": "Available", "status": state, "lastTransitionTime": now, "reason": reason, "message": message}


def _served_by(obj: Object) -> str:
    service = spec(obj).get("service")
    return "Local" if service is None else f"{service.get('namespace', '')}/{service.get('name', '')}"


def _availability(obj: Object) -> str:
    found: Iterable[Object] = status(obj).get("conditions") or ()
    for condition in found:
        if condition.get("type") == "Available":
            state, reason = condition.get("status") or "", condition.get("reason") or ""
            return f"{state} ({reason})" if reason and state != "True" else state
    return "Unknown"


RESOURCE = Resource(
    group=GROUP,
    plural="apiservices",
    storage_prefix=f"{GROUP}/apiservices",
    default=_default,
    validate=_validate,
    validate_status=_validate_status,
    prepare_status=keep_metadata,
    validate_name=names.path_segment,
    before_write=_judge,
    generation=False,
    unconditional_update=False,
    columns=(
        Column("Service", _served_by, description="Who serves it: this server, or a Service."),
        Column("Available", _availability, description="Whether it can be reached."),
        AGE,
    ),
)
