"""How the default roles of a cluster write their rules."""

from pybernetes.api.objects import Object

READ = "get list watch"
WRITE = "create delete deletecollection patch update"

Rules = list[Object]


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> Object:
    """A rule on resources; words separated by blanks, groups by commas (core is the empty one)."""
    found: Object = {"verbs": verbs.split(), "apiGroups": groups.split(","), "resources": resources.split()}
    if names:
        found["resourceNames"] = names.split()
    return found


def urls(verbs: str, paths: str) -> Object:
    """A rule on paths that are no resources."""
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}
