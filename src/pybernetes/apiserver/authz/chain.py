"""The chain of authorizers as one: reviews ask it the same question that the pipeline asks."""

from collections.abc import Sequence

from pybernetes.apiserver.extension import Attributes, Authorizer, Decision


class AuthorizerChain:
    """The first decision that is not NO_OPINION counts."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = authorizers

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """NO_OPINION with all reasons where nobody decided."""
        reasons = []
        for authorizer in self._authorizers:
            decision, reason = authorizer.authorize(attributes)
            if decision is not Decision.NO_OPINION:
                return decision, reason
            if reason:
                reasons.append(reason)
        return Decision.NO_OPINION, "\n".join(reasons)
