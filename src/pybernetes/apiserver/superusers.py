"""The group system:masters may do everything, whatever the other authorizers say. First in the pipeline's list."""

from pybernetes.apiserver.extension import Attributes, Decision

MASTERS = "system:masters"


class Superusers:
    """Upstream's privileged group authorizer."""

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """ALLOW or NO_OPINION."""
        return (Decision.ALLOW if MASTERS in attributes.user.groups else Decision.NO_OPINION), ""
