"""The group system:masters may do everything, whatever the other authorizers say. First in the pipeline's list."""

from pybernetes.apiserver.extension import NOT_MINE, Attributes, Decision

MASTERS = "system:masters"
_ALLOWED = (Decision.ALLOW, "")


class Superusers:
    """Upstream's privileged group authorizer."""

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """ALLOW or NO_OPINION."""
        return _ALLOWED if MASTERS in attributes.user.groups else NOT_MINE
