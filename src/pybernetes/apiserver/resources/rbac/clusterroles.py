"""ClusterRole: permissions in the whole cluster, or of any namespace."""

from pybernetes.api import names
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.validation.rbac import GROUP, refuse_escalation, validate_rules

RESOURCE = Resource(
    group=GROUP,
    plural="clusterroles",
    validate=lambda obj: validate_rules(obj, namespaced=False),
    validate_name=names.path_segment,
    before_write=refuse_escalation,
    generation=False,
    update_creates=True,
)
