"""SelfSubjectRulesReview: what may I do in this namespace? (`kubectl auth can-i --list`)"""

from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import Object
from pybernetes.apiserver.authz.node import node_name
from pybernetes.apiserver.authz.rbac import aggregate
from pybernetes.apiserver.resource import Call, Resource
from pybernetes.apiserver.resources._columns import spec
from pybernetes.apiserver.resources.authorization._review import GROUP
from pybernetes.rules.rbac import Rule


def _resource_rule(rule: Rule) -> Object:
    found: Object = {
        "verbs": sorted(rule.verbs),
        "apiGroups": sorted(rule.groups),
        "resources": sorted(rule.resources),
    }
    if rule.names:
        found["resourceNames"] = sorted(rule.names)
    return found


async def _review(call: Call, body: Object) -> Object:
    namespace = spec(body).get("namespace")
    if not namespace:
        raise BadRequest("no namespace on request")
    rules = call.registry.rules.rules(call.user, namespace)
    body["status"] = {
        "resourceRules": [_resource_rule(rule) for rule in rules if rule.resources],
        "nonResourceRules": [
            {"verbs": sorted(rule.verbs), "nonResourceURLs": sorted(rule.urls)} for rule in rules if rule.urls
        ],
        "incomplete": False,
    }
    faults = list(call.registry.rules.missing(call.user, namespace))
    if node_name(call.user) is not None:
        faults.insert(0, "node authorizer does not support user rule resolution")
        body["status"]["incomplete"] = True
    if faults:
        body["status"]["evaluationError"] = aggregate(faults)
    return body


RESOURCE = Resource(group=GROUP, plural="selfsubjectrulesreviews", create=_review, generation=False)
