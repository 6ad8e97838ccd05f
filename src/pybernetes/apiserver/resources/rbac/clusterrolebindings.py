"""ClusterRoleBinding: who has a role in the whole cluster."""

from pybernetes.api import names
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.rbac._columns import BINDING_COLUMNS
from pybernetes.apiserver.validation.rbac import (
    GROUP,
    default_binding,
    refuse_binding,
    validate_binding,
    validate_binding_update,
)

RESOURCE = Resource(
    group=GROUP,
    plural="clusterrolebindings",
    default=default_binding,
    validate=lambda obj: validate_binding(obj, namespaced=False),
    validate_update=validate_binding_update,
    validate_name=names.path_segment,
    before_write=refuse_binding,
    generation=False,
    update_creates=True,
    columns=BINDING_COLUMNS,
)
