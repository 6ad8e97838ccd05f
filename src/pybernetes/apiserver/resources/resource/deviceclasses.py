"""DeviceClass: what an administrator calls a kind of device: selectors and configuration under one name."""

from pybernetes.api.errors import invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources._columns import AGE, spec
from pybernetes.apiserver.validation.devices import GROUP, MOST, configuration, items, selectors
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.rules.resourcenames import is_extended


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    yield from selectors(own, "spec")
    yield from items(own.get("config"), MOST, "spec.config", configuration)
    name = own.get("extendedResourceName")
    if name is not None and not is_extended(name):
        yield invalid_value("spec.extendedResourceName", name, "must be a valid extended resource name")


RESOURCE = Resource(group=GROUP, plural="deviceclasses", validate=_validate, columns=(AGE,))
