"""ClusterRole aggregation: a ClusterRole with an aggregationRule holds the rules of all ClusterRoles that it selects."""

from collections.abc import Iterable, Iterator

from pybernetes.api.objects import Key
from pybernetes.api.selectors import of_label_selector
from pybernetes.api.types import rbac_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers.runtime import Context, Controller, Done, Outcome, Watch, allow

_NAME = "clusterrole-aggregation-controller"
"""Also that of the fields' manager, by which tools tell these rules from their own."""


def _aggregating(role: rbac_v1.ClusterRole, ctx: Context) -> Iterable[Key]:
    """Any ClusterRole may count to any that aggregates; there are few of those."""
    return (key_of(other) for other in ctx.cache(rbac_v1.ClusterRole) if other.aggregationRule is not None)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One ClusterRole that aggregates others."""
    roles = ctx.cache(rbac_v1.ClusterRole)
    role = roles.get(key)
    if role is None or role.aggregationRule is None:
        return Done()
    rules = tuple(dict.fromkeys(_selected_rules(role, roles)))
    if rules != tuple(role.rules):
        await ctx.api(rbac_v1.ClusterRole).apply(role, {"rules": rules}, _NAME)
    return Done()


def _selected_rules(role: rbac_v1.ClusterRole, roles: Iterable[rbac_v1.ClusterRole]) -> Iterator[rbac_v1.PolicyRule]:
    """Selector by selector, each in the order of the names."""
    others = sorted((other for other in roles if other.metadata.name != role.metadata.name), key=key_of)
    for selector in role.aggregationRule.clusterRoleSelectors if role.aggregationRule else ():
        wanted = of_label_selector(selector)
        for other in others:
            if wanted.matches(other.metadata.labels):
                yield from other.rules


CONTROLLER = Controller(
    name=_NAME,
    queue="ClusterRoleAggregator",
    watches=(Watch(kind=rbac_v1.ClusterRole, keys=_aggregating),),
    reconcile=reconcile,
    rules=(allow("escalate get list patch update watch", "clusterroles", "rbac.authorization.k8s.io"),),
)
