"""Names of resources that Nodes have and Pods ask for: Kubernetes' own, and those of vendors."""

from pybernetes.api.names import qualified_name

HUGE_PAGES = "hugepages-"
COMPUTE = ("cpu", "memory", "ephemeral-storage")
"""What every Node has."""
POD_LEVEL = ("cpu", "memory")
"""With huge pages, what may be said of a Pod as a whole (KEP-2837)."""


def is_native(name: str) -> bool:
    """One of Kubernetes' own."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A vendor's, which is counted whole: `example.com/gpu`."""
    return not is_native(name) and not name.startswith("requests.") and not qualified_name(f"requests.{name}")


def is_pod_level(name: str) -> bool:
    """Whether a Pod as a whole may ask for it."""
    return name in POD_LEVEL or name.startswith(HUGE_PAGES)


def overcommits(name: str) -> bool:
    """Whether less may be asked for than the limit: never of huge pages and of what vendors count."""
    return is_native(name) and not name.startswith(HUGE_PAGES)
